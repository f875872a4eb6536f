"""PostgreSQL through asyncpg: a pool with time-outs, and an advisory lock for migrations."""

import asyncio
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Literal
from urllib.parse import parse_qs, urlsplit

import asyncpg
import structlog

from bifrost.base.singleflight import SingleFlight
from bifrost.storage.database import Connection, StorageUnavailable
from bifrost.storage.postgresql_changes import ChangeListener
from bifrost.storage.postgresql_driver import DRIVER

POOL_SIZE = 10
CONNECT_SECONDS = 5
STATEMENT_MILLISECONDS = 10_000
LOCK_MILLISECONDS = 5_000
MIGRATION_SECONDS = 3_600
"""That a statement of a migration, or the wait for another process's migrations, may take: there may be many rows."""

MIGRATION_LOCK = 0x42_69_66_72
"""Any number that nobody else takes an advisory lock on in this database."""

_UNAVAILABLE = (
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.TransactionRollbackError,
    asyncpg.LockNotAvailableError,
    asyncpg.InvalidCatalogNameError,
    asyncpg.InvalidAuthorizationSpecificationError,
    OSError,
    TimeoutError,
)
_OPENING = (*_UNAVAILABLE, asyncpg.PostgresError, ValueError)
"""While connecting every refusal is one, for example that of a setting in the URL that the server does not know."""

log = structlog.get_logger()


class PostgresqlDatabase:
    driver = DRIVER
    dialect: Literal["sqlite", "postgresql"] = "postgresql"

    def __init__(self, url: str) -> None:
        self.target = _without_secrets(url)
        self._url = url
        self._pool: Any = None
        self._mark = -1
        self._changes = 0
        """That were heard of."""
        self._marked_changes = -1
        """As many of them as the mark knows of."""
        self._marking = SingleFlight[int]()
        self._listener = ChangeListener(self._listening_connection, self.something_changed)

    async def open(self) -> None:
        with _failures_translated(_OPENING):
            self._pool = await asyncpg.create_pool(
                self._url,
                min_size=1,
                max_size=POOL_SIZE,
                timeout=CONNECT_SECONDS,
                command_timeout=STATEMENT_MILLISECONDS / 1_000,
                reset=_nothing_to_reset,
                server_settings={
                    "application_name": "bifrost",
                    "statement_timeout": str(STATEMENT_MILLISECONDS),
                    "lock_timeout": str(LOCK_MILLISECONDS),
                    "idle_in_transaction_session_timeout": str(STATEMENT_MILLISECONDS),
                },
            )
        self.something_changed()
        self._listener.start()

    async def _listening_connection(self) -> Any:
        settings = {"application_name": "bifrost-changes"}
        return await asyncpg.connect(self._url, timeout=CONNECT_SECONDS, server_settings=settings)

    def something_changed(self) -> None:
        self._changes += 1

    async def close(self) -> None:
        await self._listener.stop()
        if self._pool:
            await self._pool.close()
        self._pool = None

    def read(self) -> "_Statements":
        return _Statements(self)

    def statement(self, *, unmarked: bool = False) -> "_Statements":
        return _Statements(self, marked=not unmarked)

    def transaction(self, *, unmarked: bool = False) -> "_Transaction":
        return _Transaction(self, marked=not unmarked)

    def seen_mark(self) -> int | None:
        return self._mark if self._marked_changes == self._changes and self._pool is not None else None

    async def mark(self) -> int:
        if self._pool is None:
            raise StorageUnavailable
        if self._marked_changes == self._changes:
            return self._mark
        return await self._marking.do(self._changes, self._look)

    async def _look(self) -> int:
        """The mark as it is now; nobody uses the one from before while it is read."""
        changes = self._changes  # before it is read: what is heard while it is read makes it old again
        async with self.read() as connection:
            mark: int = await connection.fetchval("SELECT value FROM change_marks")
        if changes > self._marked_changes:
            self._mark, self._marked_changes = mark, changes
        return mark

    @asynccontextmanager
    async def migration_lock(self) -> AsyncIterator[Connection]:
        async with self.transaction() as connection:
            for limit in ("lock_timeout", "statement_timeout", "idle_in_transaction_session_timeout"):
                await connection.execute(f"SET LOCAL {limit} = 0")
            await connection.execute(f"SELECT pg_advisory_xact_lock({MIGRATION_LOCK})", timeout=MIGRATION_SECONDS)
            yield connection

    async def run_script(self, connection: Connection, script: str) -> None:
        await connection.execute(script, timeout=MIGRATION_SECONDS)

    async def acquire(self) -> Any:
        if self._pool is None:
            raise StorageUnavailable
        async with asyncio.timeout(CONNECT_SECONDS):
            return await self._pool.acquire()

    async def release(self, connection: Any) -> None:
        await self._pool.release(connection)


async def _nothing_to_reset(_connection: Any) -> None:
    """What a transaction sets ends with it, and nothing else is set: so there is nothing that has to be asked for."""


class _Statements:
    """Statements of which each is a transaction by itself."""

    __slots__ = ("_connection", "_database", "_marked")

    def __init__(self, database: PostgresqlDatabase, *, marked: bool = False) -> None:
        self._database = database
        self._marked = marked

    async def __aenter__(self) -> Connection:
        try:
            self._connection = await self._database.acquire()
        except BaseException as error:
            _translate(error)
            raise
        return self._connection

    async def __aexit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        try:
            await self._database.release(self._connection)
        except Exception as failure:
            _translate(failure)
            raise
        finally:
            if self._marked:
                # whoever made a change feels it at once, without waiting to hear of it; a failed one may have been made
                self._database.something_changed()
        _translate(error)


class _Transaction(_Statements):
    __slots__ = ("_transaction",)

    async def __aenter__(self) -> Connection:
        connection = await super().__aenter__()
        self._transaction = connection.transaction()
        try:
            await self._transaction.start()
        except BaseException as error:
            await super().__aexit__(type(error), error, None)
            raise
        return connection

    async def __aexit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        ended: BaseException | None = error
        try:
            if error is None:
                await self._transaction.commit()
            else:
                await self._transaction.rollback()
        except BaseException as failure:
            ended = failure
            raise
        finally:
            await super().__aexit__(kind, ended, trace)


class _failures_translated:  # noqa: N801 - reads as a clause: with _failures_translated()
    def __init__(self, kinds: tuple[type[BaseException], ...] = _UNAVAILABLE) -> None:
        self._kinds = kinds

    def __enter__(self) -> None:
        return None

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        _translate(error, self._kinds)


def _translate(error: BaseException | None, kinds: tuple[type[BaseException], ...] = _UNAVAILABLE) -> None:
    """Raises StorageUnavailable."""
    if isinstance(error, kinds) and not isinstance(error, StorageUnavailable):
        log.error("storage_unavailable", reason=type(error).__name__)
        raise StorageUnavailable(reason=_reason(error)) from error


def _reason(error: BaseException) -> str:
    """Why, without repeating the URL: what asyncpg says of a URL may quote parts of it."""
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, (asyncpg.InterfaceError, ValueError)):
        return "its URL cannot be used"
    if isinstance(error, OSError) and error.errno and not isinstance(error, socket.gaierror):
        return os.strerror(error.errno)
    return error.strerror or str(error) if isinstance(error, OSError) else str(error)


def _without_secrets(url: str) -> str:
    """Host, port and database of the URL."""
    parts = urlsplit(url)
    where = parts.netloc.rpartition("@")[2] or ",".join(parse_qs(parts.query).get("host", []))
    return f"postgresql://{where}{parts.path}"
