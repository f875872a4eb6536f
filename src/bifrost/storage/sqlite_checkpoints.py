"""Moving what was committed from SQLite's log into its file, on a thread: this is where the disk is waited for.

SQLite would do it inside the commit that makes the log long, and commits happen on the event loop.
"""

import asyncio
import sqlite3
from pathlib import Path

import structlog

EVERY_COMMITS = 500
"""A commit writes some 2 to 10 pages of 4 kB; so the log is 4 to 20 MB when it is moved."""

LONG_PAGES = 8_000
"""A log that became this long although it was moved: new commits were faster. They are held up for a moment."""

SAFETY_PAGES = 20_000
"""Where SQLite moves the log itself, should the thread not get to it."""

log = structlog.get_logger()


class Checkpoints:
    """Counts the commits of a process and moves the log now and then. `writing` is held by whoever writes."""

    def __init__(self, path: Path, writing: asyncio.Lock) -> None:
        self._path = path
        self._writing = writing
        self._commits = 0
        self._moving: asyncio.Task[None] | None = None

    def committed(self) -> None:
        self._commits += 1
        if self._commits >= EVERY_COMMITS and self._moving is None:
            self._commits = 0
            self._moving = asyncio.create_task(self._move())
            self._moving.add_done_callback(self._moved)

    async def close(self) -> None:
        """Wait for a move that has begun: its thread still uses the file."""
        if self._moving is not None:
            await asyncio.wait([self._moving])

    async def _move(self) -> None:
        if await asyncio.to_thread(self._checkpoint) < LONG_PAGES:
            return
        async with self._writing:
            await asyncio.to_thread(self._checkpoint)

    def _moved(self, moving: "asyncio.Task[None]") -> None:
        self._moving = None
        if not moving.cancelled() and moving.exception() is not None:
            # the log only grows a little longer; a disk that is full is reported by the writes themselves
            log.warning("checkpoint_failed", reason=type(moving.exception()).__name__)

    def _checkpoint(self) -> int:
        """How many pages the log has. What is in use by a reader stays for the next time."""
        connection = sqlite3.connect(self._path, isolation_level=None)
        try:
            _busy, pages, _moved = connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        finally:
            connection.close()
        return int(pages)
