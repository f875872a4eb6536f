"""SQLite in WAL mode: one writing connection a process, one reading; several processes share the file."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiosqlite
import structlog

from bifrost.storage.database import Connection, StorageUnavailable

BUSY_TIMEOUT_MILLISECONDS = 5_000
_PRAGMAS = (
    "PRAGMA journal_mode = WAL",
    # WAL with NORMAL survives a killed process; a power cut may lose the last commits but never corrupts the file
    "PRAGMA synchronous = NORMAL",
    f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MILLISECONDS}",
    "PRAGMA foreign_keys = ON",
)

log = structlog.get_logger()


class SqliteDatabase:
    driver = "aiosqlite"

    def __init__(self, path: Path) -> None:
        self._path = path
        self._writer: aiosqlite.Connection | None = None
        self._reader: aiosqlite.Connection | None = None
        self._writing = asyncio.Lock()

    async def open(self) -> None:
        with _failures_translated():
            if not self._path.exists():
                self._path.touch(mode=0o600)
            self._writer = await self._connect()
            self._reader = await self._connect()

    async def close(self) -> None:
        for connection in (self._reader, self._writer):
            if connection:
                await connection.close()
        self._reader = self._writer = None

    @asynccontextmanager
    async def read(self) -> AsyncIterator[Connection]:
        with _failures_translated():
            yield _opened(self._reader)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        async with self._writing:
            connection = _opened(self._writer)
            with _failures_translated():
                await connection.execute("BEGIN IMMEDIATE")
                try:
                    yield connection
                    await connection.execute("COMMIT")
                except BaseException:
                    # statements of one connection run in the order they were asked for, so that a rollback asked
                    # for after a cancelled statement still comes after it
                    await asyncio.shield(_rolled_back(connection))
                    raise

    @asynccontextmanager
    async def migration_lock(self) -> AsyncIterator[Connection]:
        async with self.transaction() as connection:
            yield connection

    async def run_script(self, connection: Connection, script: str) -> None:
        # `executescript` would commit first; a migration is one transaction
        for statement in _statements(script):
            await connection.execute(statement)

    async def _connect(self) -> aiosqlite.Connection:
        connection = await aiosqlite.connect(self._path, isolation_level=None)
        connection.row_factory = sqlite3.Row
        for pragma in _PRAGMAS:
            await connection.execute(pragma)
        return connection


def _opened(connection: aiosqlite.Connection | None) -> aiosqlite.Connection:
    if connection is None:
        raise StorageUnavailable
    return connection


async def _rolled_back(connection: aiosqlite.Connection) -> None:
    if connection.in_transaction:
        await connection.execute("ROLLBACK")


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
