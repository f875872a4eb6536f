"""Moving what was committed from SQLite's log into its file, on a thread: this is where the disk is waited for.

SQLite would do it inside the commit that makes the log long, and commits happen on the event loop.

The log also holds pages as they were before something was deleted from them, so it is emptied a while after a commit.
"""

import asyncio
import sqlite3
from collections.abc import Coroutine
from pathlib import Path

import structlog

EVERY_COMMITS = 1_500
"""A commit writes some 2 to 9 pages of 4 kB; so the log is 12 to 54 MB when it is moved.

Of a longer one more is the same pages again, which are written once, and the disk is waited for less often: of a third
of this length it cost a twentieth of a sign-in more.
"""

LONG_PAGES = 24_000
"""A log that became this long although it was moved: new commits were faster. They are held up for a moment."""

SAFETY_PAGES = 60_000
"""Where SQLite moves the log itself, should the thread not get to it."""

EMPTIED_SECONDS = 30.0
"""After a commit: so long the log still has what was deleted. Until then one emptying does for all commits."""

EMPTYING_MILLISECONDS = 200
"""How long emptying waits for readers and writers, who need the file for less than a millisecond each."""

log = structlog.get_logger()


class Checkpoints:
    """Counts the commits of a process and moves the log now and then. `writing` is held by whoever writes."""

    def __init__(self, path: Path, writing: asyncio.Lock) -> None:
        self._path = path
        self._writing = writing
        self._commits = 0
        self._moving: asyncio.Task[None] | None = None
        self._emptying: asyncio.TimerHandle | None = None

    def committed(self) -> None:
        self._commits += 1
        if self._emptying is None:
            self._empty_later()
        if self._commits >= EVERY_COMMITS and self._moving is None:
            self._commits = 0
            self._begin(self._move())

    async def close(self) -> None:
        """Wait for a move that has begun: its thread still uses the file. The last to close a file empties the log."""
        if self._emptying is not None:
            self._emptying.cancel()
            self._emptying = None
        if self._moving is not None:
            await asyncio.wait([self._moving])

    def _empty_later(self) -> None:
        self._emptying = asyncio.get_running_loop().call_later(EMPTIED_SECONDS, self._due)

    def _due(self) -> None:
        self._emptying = None
        if self._moving is None:
            self._begin(self._empty())
        else:
            self._empty_later()

    def _begin(self, work: Coroutine[None, None, None]) -> None:
        self._moving = asyncio.create_task(work)
        self._moving.add_done_callback(self._moved)

    async def _empty(self) -> None:
        """Most of it without anybody noticing; then, for a moment, nobody writes."""
        await asyncio.to_thread(self._checkpoint)
        async with self._writing:
            left = await asyncio.to_thread(self._checkpoint, "TRUNCATE")
        if left and self._emptying is None:
            self._empty_later()  # others were in the way

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

    def _checkpoint(self, mode: str = "PASSIVE") -> int:
        """How many pages the log has. What is in use by a reader stays for the next time."""
        connection = sqlite3.connect(self._path, isolation_level=None)
        try:
            connection.execute(f"PRAGMA busy_timeout = {EMPTYING_MILLISECONDS}")
            _busy, pages, _moved = connection.execute(f"PRAGMA wal_checkpoint({mode})").fetchone()
        finally:
            connection.close()
        return int(pages)
