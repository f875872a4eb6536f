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
"""How long a write waits for another process."""

READ_TIMEOUT_MILLISECONDS = 50
"""Reads happen on the event loop; in WAL mode they wait only while the file is being recovered."""

_PRAGMAS = (
    "PRAGMA journal_mode = WAL",
    # WAL with NORMAL survives a killed process; a power cut may lose the last commits but never corrupts the file
    "PRAGMA synchronous = NORMAL",
    "PRAGMA foreign_keys = ON",
)

log = structlog.get_logger()


class SqliteDatabase:
    driver = DRIVER

    def __init__(self, path: Path) -> None:
        self._path = path
        self._writer: aiosqlite.Connection | None = None
        self._reader: sqlite3.Connection | None = None
        self._writing = asyncio.Lock()

    async def open(self) -> None:
        with _failures_translated():
            if not self._path.exists():
                self._path.touch(mode=0o600)
            self._writer = await aiosqlite.connect(self._path, isolation_level=None)
            self._writer.row_factory = sqlite3.Row
            for pragma in (*_PRAGMAS, f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MILLISECONDS}"):
                await self._writer.execute_fetchall(pragma)
            self._reader = sqlite3.connect(self._path, isolation_level=None)
            self._reader.row_factory = sqlite3.Row
            self._reader.execute(f"PRAGMA busy_timeout = {READ_TIMEOUT_MILLISECONDS}")
            self._reader.execute("PRAGMA query_only = ON")

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
        async with self._writing:
            if self._writer is None:
                raise StorageUnavailable
            connection = ThreadWriter(self._writer)
            with _failures_translated():
                await connection.run("BEGIN IMMEDIATE")
                try:
                    yield connection
                    await connection.run("COMMIT")
                except BaseException:
                    # statements of one connection run in the order they were asked for, so that a rollback asked
                    # for after a cancelled statement still comes after it
                    await asyncio.shield(_rolled_back(self._writer))
                    raise

    @asynccontextmanager
    async def migration_lock(self) -> AsyncIterator[Connection]:
        async with self.transaction() as connection:
            yield connection

    async def run_script(self, connection: Connection, script: str) -> None:
        # `executescript` would commit first; a migration is one transaction
        for statement in _statements(script):
            await connection.run(statement)


async def _rolled_back(connection: aiosqlite.Connection) -> None:
    if connection.in_transaction:
        await connection.execute_fetchall("ROLLBACK")


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
            log.error("storage_unavailable", reason=str(error))
            raise StorageUnavailable from error
