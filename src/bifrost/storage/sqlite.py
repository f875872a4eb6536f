"""SQLite in WAL mode: one writing connection a process and one reading; several processes share the file."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiosqlite
import structlog

from bifrost.storage.database import Connection, StorageUnavailable
from bifrost.storage.sqlite_driver import DRIVER, InlineReader, ThreadWriter

BUSY_TIMEOUT_MILLISECONDS = 5_000
"""How long a transaction waits before it begins: for others of this process and for other processes together."""

CHECK_MILLISECONDS = 1_000
"""How long `check_writable` waits."""

UNNOTICED_MILLISECONDS = 100
"""A turn that came this soon leaves the connection's time-out as it is."""

READ_TIMEOUT_MILLISECONDS = 50
"""Reads happen on the event loop; in WAL mode they wait only while the file is being recovered."""

RETRY_SECONDS = 0.01
_PRIMARY_CODE = 0xFF
"""The part of a SQLite result code that names the kind of error."""

_PRAGMAS = (
    # WAL with NORMAL survives a killed process; a power cut may lose the last commits but never corrupts the file
    "PRAGMA synchronous = NORMAL",
    "PRAGMA foreign_keys = ON",
)

log = structlog.get_logger()


class SqliteDatabase:
    driver = DRIVER

    def __init__(self, path: Path, *, busy_milliseconds: int = BUSY_TIMEOUT_MILLISECONDS) -> None:
        self.target = str(path)
        self._path = path
        self._busy_milliseconds = busy_milliseconds
        self._waits_milliseconds = busy_milliseconds
        """What the writing connection is set to."""
        self._writer: aiosqlite.Connection | None = None
        self._reader: sqlite3.Connection | None = None
        self._writing = asyncio.Lock()

    async def open(self) -> None:
        with _failures_translated():
            try:
                await self._connect()
            except BaseException:
                # a connection that is left open keeps its thread, and the thread keeps the process
                await self.close()
                raise

    async def _connect(self) -> None:
        if not self._path.exists():
            self._path.touch(mode=0o600)
        self._writer = await aiosqlite.connect(self._path, isolation_level=None)
        self._writer.row_factory = sqlite3.Row
        self._waits_milliseconds = self._busy_milliseconds
        await self._writer.execute_fetchall(f"PRAGMA busy_timeout = {self._busy_milliseconds}")
        await self._change_to_wal(self._writer)
        for pragma in _PRAGMAS:
            await self._writer.execute_fetchall(pragma)
        self._reader = sqlite3.connect(self._path, isolation_level=None)
        self._reader.row_factory = sqlite3.Row
        self._reader.execute(f"PRAGMA busy_timeout = {READ_TIMEOUT_MILLISECONDS}")
        self._reader.execute("PRAGMA query_only = ON")

    async def _change_to_wal(self, writer: aiosqlite.Connection) -> None:
        """A new file changes its mode once; whoever comes second is refused at once, whatever the time-out."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._busy_milliseconds / 1_000
        while True:
            try:
                await writer.execute_fetchall("PRAGMA journal_mode = WAL")
                return
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode & _PRIMARY_CODE != sqlite3.SQLITE_BUSY or loop.time() >= deadline:
                    raise
            await asyncio.sleep(RETRY_SECONDS)

    async def close(self) -> None:
        if self._reader:
            self._reader.close()
        if self._writer:
            await self._writer.close()
        self._reader = self._writer = None

    @asynccontextmanager
    async def read(self) -> AsyncIterator[Connection]:
        with _failures_translated():
            if self._reader is None:
                raise StorageUnavailable
            yield InlineReader(self._reader)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        async with self._begun(self._busy_milliseconds) as connection:
            yield connection

    async def check_writable(self) -> None:
        async with self._begun(min(CHECK_MILLISECONDS, self._busy_milliseconds)):
            pass

    @asynccontextmanager
    async def _begun(self, milliseconds: int) -> AsyncIterator[ThreadWriter]:
        """The turn of this process and then the file's lock, in so much time altogether."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + milliseconds / 1_000
        with _failures_translated():
            async with self._turn(deadline) as writer:
                connection = ThreadWriter(writer)
                try:
                    await self._wait_until(connection, deadline, loop.time())
                    await connection.run("BEGIN IMMEDIATE")
                    yield connection
                    await connection.run("COMMIT")
                except BaseException:
                    # statements of one connection run in the order they were asked for, so that a rollback asked
                    # for after a cancelled statement, be it the BEGIN, still comes after it
                    await asyncio.shield(_rolled_back(writer))
                    raise

    @asynccontextmanager
    async def _turn(self, deadline: float) -> AsyncIterator[aiosqlite.Connection]:
        async with asyncio.timeout_at(deadline):
            await self._writing.acquire()
        try:
            if self._writer is None:
                raise StorageUnavailable
            yield self._writer
        finally:
            self._writing.release()

    async def _wait_until(self, connection: ThreadWriter, deadline: float, now: float) -> None:
        """Who waited for a turn may wait for the file only as long as is left; that costs a statement of its own."""
        left = max(0, round((deadline - now) * 1_000))
        left = self._busy_milliseconds if self._busy_milliseconds - left < UNNOTICED_MILLISECONDS else left
        if left != self._waits_milliseconds:
            self._waits_milliseconds = left
            await connection.run(f"PRAGMA busy_timeout = {left}")

    @asynccontextmanager
    async def migration_lock(self) -> AsyncIterator[Connection]:
        async with self.transaction() as connection:
            yield connection

    async def run_script(self, connection: Connection, script: str) -> None:
        # `executescript` would commit first; a migration is one transaction
        for statement in _statements(script):
            await connection.run(statement)


async def _rolled_back(connection: aiosqlite.Connection) -> None:
    try:
        await connection.execute_fetchall("ROLLBACK")
    except sqlite3.OperationalError:
        if connection.in_transaction:
            raise
        # there was nothing to roll back: it had not begun, or it had ended


def _statements(script: str) -> list[str]:
    statements, pending = [], ""
    for line in script.splitlines(keepends=True):
        pending += line
        if sqlite3.complete_statement(pending):
            statements.append(pending)
            pending = ""
    return statements


class _failures_translated:  # noqa: N801 - reads as a clause: with _failures_translated()
    """Locked, full, unreadable or closed: all mean that the storage is not available."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, (sqlite3.OperationalError, sqlite3.DatabaseError, OSError)) and not isinstance(
            error, (sqlite3.IntegrityError, sqlite3.ProgrammingError)
        ):
            reason = _reason(error)
            log.error("storage_unavailable", reason=reason)
            raise StorageUnavailable(reason=reason) from error


def _reason(error: BaseException) -> str:
    if isinstance(error, TimeoutError):
        return "other writes took too long"
    return error.strerror or str(error) if isinstance(error, OSError) else str(error)
