"""SQLite in WAL mode: one writing connection a process, and one that reads beside it; several processes share the file.

Both are used on the event loop: with the log in memory a statement or a commit takes microseconds. What can take long,
another process's lock and the disk, is waited for without it (`_run`, `sqlite_checkpoints`).
"""

import asyncio
import contextlib
import sqlite3
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import ClassVar, Literal

import structlog

from bifrost.storage.database import Connection, StorageUnavailable
from bifrost.storage.sqlite_checkpoints import SAFETY_PAGES, Checkpoints
from bifrost.storage.sqlite_driver import DRIVER, CommittedRows, SqliteConnection, is_busy

BUSY_TIMEOUT_MILLISECONDS = 5_000
"""How long a transaction waits before it begins: for others of this process and for other processes together."""

FIRST_WAIT_SECONDS, LONGEST_WAIT_SECONDS = 0.000_5, 0.02
"""Between two looks at another process's lock; a transaction holds it for some tenths of a millisecond."""

READ_TIMEOUT_MILLISECONDS = 50
"""Reads wait only while the file is being recovered after a crash."""

CACHED_STATEMENTS = 512
"""More than there are queries, so that each is parsed once."""

_PRAGMAS = (
    # WAL with NORMAL survives a killed process; a power cut may lose the last commits but never corrupts the file
    "PRAGMA synchronous = NORMAL",
    "PRAGMA foreign_keys = ON",
    # what is deleted or overwritten is zeros in the file; `Checkpoints` takes it out of the log
    "PRAGMA secure_delete = ON",
    f"PRAGMA wal_autocheckpoint = {SAFETY_PAGES}",
)

log = structlog.get_logger()


class SqliteDatabase:
    driver = DRIVER
    dialect: Literal["sqlite", "postgresql"] = "sqlite"
    _changes: ClassVar[int] = 0
    """Transactions of this process, in whatever database, that may have changed its mark."""

    def __init__(self, path: Path, *, busy_milliseconds: int = BUSY_TIMEOUT_MILLISECONDS) -> None:
        self.target = str(path)
        self._path = path
        self._busy_milliseconds = busy_milliseconds
        self._writer: sqlite3.Connection | None = None
        self._reader: sqlite3.Connection | None = None
        self._writing = asyncio.Lock()
        self._checkpoints = Checkpoints(path, self._writing)
        self._reading = _Reading(CommittedRows(self.committed_rows, self._waiting_reader))
        self._ended = 0
        """Transactions of this connection that may have changed the mark; `data_version` tells of all other ones'."""
        self._seen = (-1, -1)
        self._mark = self._looked = self._looked_after = -1

    async def open(self) -> None:
        with _failures_translated():
            try:
                await self._connect()
            except BaseException:
                await self.close()
                raise

    async def _connect(self) -> None:
        if not self._path.exists():
            self._path.touch(mode=0o600)
        self._writer = self._connected(0)
        # a new file changes its mode once; whoever comes second is refused, whatever the connection's time-out
        until = time.monotonic() + self._busy_milliseconds / 1_000
        await _run(self._writer, "PRAGMA journal_mode = WAL", until)
        for pragma in _PRAGMAS:
            self._writer.execute(pragma).fetchall()
        self._reader = self._connected(READ_TIMEOUT_MILLISECONDS)
        self._reader.execute("PRAGMA query_only = ON")
        self._seen = (-1, -1)

    def _connected(self, busy_milliseconds: int) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path, isolation_level=None, cached_statements=CACHED_STATEMENTS)
        connection.row_factory = sqlite3.Row
        connection.execute(f"PRAGMA busy_timeout = {busy_milliseconds}")
        connection.create_function("lower", 1, _lower, deterministic=True)
        return connection

    async def close(self) -> None:
        await self._checkpoints.close()
        for connection in (self._reader, self._writer):
            if connection:
                connection.close()
        self._reader = self._writer = None
        self._look_again()

    def read(self) -> "_Reading":
        return self._reading

    def committed_rows(self) -> sqlite3.Connection:
        """The connection that sees what is committed and nothing else. Raises StorageUnavailable.

        It is the writing one while that is in no transaction: it keeps its pages in memory over its own commits, where
        the other has to read them anew.
        """
        writer = self._opened_writer()
        return self._waiting_reader() if writer.in_transaction else writer

    def seen_mark(self) -> int | None:
        """What was seen is good until the event loop comes round, which is well below a millisecond.

        So the rows that one request stands on need one look. A commit by this process is seen at once.
        """
        return self._looked if self._looked_after == SqliteDatabase._changes else None

    async def mark(self) -> int:
        """One look at shared memory; only after a commit, of whichever process, is a row read."""
        if self._looked_after != SqliteDatabase._changes:
            self._looked = self._look()
            self._looked_after = SqliteDatabase._changes
            asyncio.get_running_loop().call_soon(self._look_again)
        return self._looked

    def _look_again(self) -> None:
        self._looked_after = -1

    def _look(self) -> int:
        with _failures_translated():
            connection = self._opened_writer()
            if not connection.in_transaction:
                with contextlib.suppress(sqlite3.OperationalError):
                    return self._watched_mark(connection)
            return _mark(self._waiting_reader())

    def _watched_mark(self, connection: sqlite3.Connection) -> int:
        version: int = connection.execute("PRAGMA data_version").fetchone()[0]
        seen = (version, self._ended)
        if seen != self._seen:
            # in this order: a commit between the two is seen again the next time
            self._mark = _mark(connection)
            self._seen = seen
        return self._mark

    def _waiting_reader(self) -> sqlite3.Connection:
        """The one that waits for a file that is just being recovered. Raises StorageUnavailable."""
        if self._reader is None:
            raise StorageUnavailable
        return self._reader

    def _opened_writer(self) -> sqlite3.Connection:
        if self._writer is None:
            raise StorageUnavailable
        return self._writer

    def transaction(self, *, unmarked: bool = False) -> "_Transaction":
        return _Transaction(self, self._busy_milliseconds, unmarked=unmarked)

    statement = transaction

    async def begin(self, milliseconds: int) -> sqlite3.Connection:
        """The turn of this process and then the file's lock, in so much time altogether. Raises StorageUnavailable."""
        until = time.monotonic() + milliseconds / 1_000
        with _failures_translated():
            if self._writing.locked():
                async with asyncio.timeout(milliseconds / 1_000):
                    await self._writing.acquire()
            else:
                await self._writing.acquire()
            try:
                writer = self._opened_writer()
                await _run(writer, "BEGIN IMMEDIATE", until)
            except BaseException:
                self._writing.release()
                raise
            return writer

    def end(self, writer: sqlite3.Connection, *, keep: bool, unmarked: bool) -> None:
        """Commit, or take back. Raises StorageUnavailable: then nothing was kept."""
        try:
            with _failures_translated():
                try:
                    if keep:
                        writer.execute("COMMIT")
                finally:
                    # a commit that failed may have ended the transaction by itself
                    if writer.in_transaction:
                        writer.execute("ROLLBACK")
        finally:
            self._ended += not unmarked
            SqliteDatabase._changes += not unmarked
            self._writing.release()
        if keep:
            self._checkpoints.committed()

    @asynccontextmanager
    async def migration_lock(self) -> AsyncIterator[Connection]:
        async with self.transaction() as connection:
            yield connection

    async def run_script(self, connection: Connection, script: str) -> None:
        # `executescript` would commit first; a migration is one transaction
        for statement in _statements(script):
            await connection.run(statement)


def _lower(value: str | None) -> str | None:
    """Of every letter, as PostgreSQL has it; SQLite's own knows the 26 of ASCII."""
    return None if value is None else value.lower()


def _mark(connection: sqlite3.Connection) -> int:
    value: int = connection.execute("SELECT value FROM change_marks").fetchone()[0]
    return value


async def _run(writer: sqlite3.Connection, statement: str, until: float) -> None:
    """Wait for other processes as SQLite would, until a monotonic time, but without holding up the event loop."""
    wait = FIRST_WAIT_SECONDS
    while True:
        try:
            writer.execute(statement).fetchall()
        except sqlite3.OperationalError as error:
            if not is_busy(error) or time.monotonic() >= until:
                raise
        else:
            return
        await asyncio.sleep(wait)
        wait = min(2 * wait, LONGEST_WAIT_SECONDS)


def _statements(script: str) -> list[str]:
    statements, pending = [], ""
    for line in script.splitlines(keepends=True):
        pending += line
        if sqlite3.complete_statement(pending):
            statements.append(pending)
            pending = ""
    return statements


class _Reading:
    __slots__ = ("_rows",)

    def __init__(self, rows: CommittedRows) -> None:
        self._rows = rows

    async def __aenter__(self) -> Connection:
        return self._rows

    async def __aexit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if error is not None:
            _translate(error)


class _Transaction:
    __slots__ = ("_database", "_milliseconds", "_unmarked", "_writer")

    def __init__(self, database: SqliteDatabase, milliseconds: int, *, unmarked: bool) -> None:
        self._database = database
        self._milliseconds = milliseconds
        self._unmarked = unmarked

    async def __aenter__(self) -> Connection:
        self._writer = await self._database.begin(self._milliseconds)
        return SqliteConnection(self._writer)

    async def __aexit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        self._database.end(self._writer, keep=error is None, unmarked=self._unmarked)
        if error is not None:
            _translate(error)


class _failures_translated:  # noqa: N801 - reads as a clause: with _failures_translated()
    def __enter__(self) -> None:
        return None

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if error is not None:
            _translate(error)


def _translate(error: BaseException) -> None:
    """Locked, full, unreadable or closed: all mean that the storage is not available. Raises StorageUnavailable."""
    if isinstance(error, (sqlite3.DatabaseError, OSError)) and not isinstance(
        error, (sqlite3.IntegrityError, sqlite3.ProgrammingError)
    ):
        reason = _reason(error)
        log.error("storage_unavailable", reason=reason)
        raise StorageUnavailable(reason=reason) from error


def _reason(error: BaseException) -> str:
    if isinstance(error, TimeoutError):
        return "other writes took too long"
    return error.strerror or str(error) if isinstance(error, OSError) else str(error)
