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

from bifrost.storage.database import Connection, StorageUnavailable
from bifrost.storage.postgresql_changes import ChangeListener

POOL_SIZE = 10
CONNECT_SECONDS = 5
CHECK_SECONDS = 1
STATEMENT_MILLISECONDS = 10_000
LOCK_MILLISECONDS = 5_000
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
    driver = "asyncpg"
    dialect: Literal["sqlite", "postgresql"] = "postgresql"

    def __init__(self, url: str) -> None:
        self.target = _without_secrets(url)
        self._url = url
        self._pool: Any = None
        self._mark = -1
        self._is_mark_old = True
        self._listener = ChangeListener(self._listening_connection, self._something_changed)

    async def open(self) -> None:
        with _failures_translated(_OPENING):
            self._pool = await asyncpg.create_pool(
                self._url,
                min_size=1,
                max_size=POOL_SIZE,
                timeout=CONNECT_SECONDS,
                command_timeout=STATEMENT_MILLISECONDS / 1_000,
                server_settings={
                    "application_name": "bifrost",
                    "statement_timeout": str(STATEMENT_MILLISECONDS),
                    "lock_timeout": str(LOCK_MILLISECONDS),
                    "idle_in_transaction_session_timeout": str(STATEMENT_MILLISECONDS),
                },
            )
        self._something_changed()
        self._listener.start()

    async def _listening_connection(self) -> Any:
        settings = {"application_name": "bifrost-changes"}
        return await asyncpg.connect(self._url, timeout=CONNECT_SECONDS, server_settings=settings)

    def _something_changed(self) -> None:
        self._is_mark_old = True

    async def close(self) -> None:
        await self._listener.stop()
        if self._pool:
            await self._pool.close()
        self._pool = None

    @asynccontextmanager
    async def read(self) -> AsyncIterator[Connection]:
        with _failures_translated():
            async with self._acquired() as connection:
                yield connection

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        try:
            with _failures_translated():
                async with self._acquired() as connection, connection.transaction():
                    yield connection
        finally:
            # whoever made a change feels it at once, without waiting to hear of it; a failed commit may be one too
            self._something_changed()

    async def mark(self) -> int:
        if self._pool is None:
            raise StorageUnavailable
        if self._is_mark_old:
            # before it is read: what is heard while it is read makes it old again
            self._is_mark_old = False
            try:
                async with self.read() as connection:
                    self._mark = await connection.fetchval("SELECT value FROM change_marks")
            except BaseException:
                self._is_mark_old = True
                raise
        return self._mark

    async def check_writable(self) -> None:
        with _failures_translated():
            async with asyncio.timeout(CHECK_SECONDS), self._acquired() as connection:
                if await connection.fetchval("SELECT current_setting('transaction_read_only')") == "on":
                    raise StorageUnavailable(reason="the database is read-only")

    @asynccontextmanager
    async def migration_lock(self) -> AsyncIterator[Connection]:
        async with self.transaction() as connection:
            await connection.execute("SET LOCAL lock_timeout = 0")
            await connection.execute(f"SELECT pg_advisory_xact_lock({MIGRATION_LOCK})")
            yield connection

    async def run_script(self, connection: Connection, script: str) -> None:
        await connection.execute(script)

    @asynccontextmanager
    async def _acquired(self) -> AsyncIterator[Connection]:
        if self._pool is None:
            raise StorageUnavailable
        async with asyncio.timeout(CONNECT_SECONDS):
            connection = await self._pool.acquire()
        try:
            yield connection
        finally:
            await self._pool.release(connection)


class _failures_translated:  # noqa: N801 - reads as a clause: with _failures_translated()
    def __init__(self, kinds: tuple[type[BaseException], ...] = _UNAVAILABLE) -> None:
        self._kinds = kinds

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, self._kinds) and not isinstance(error, StorageUnavailable):
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
