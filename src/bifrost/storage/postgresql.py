"""PostgreSQL through asyncpg: a pool with time-outs, and an advisory lock for migrations."""

import asyncio
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import parse_qs, urlsplit

import asyncpg
import structlog

from bifrost.storage.database import Connection, StorageUnavailable

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

    def __init__(self, url: str) -> None:
        self.target = _without_secrets(url)
        self._url = url
        self._pool: Any = None

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

    async def close(self) -> None:
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
        with _failures_translated():
            async with self._acquired() as connection, connection.transaction():
                yield connection

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
