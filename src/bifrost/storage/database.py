"""The database behind one small face: `read()`, `transaction()`, and every failure as one domain error.

The rest of the product never sees a driver. What differs between the two databases is in `sqlite.py` and
`postgresql.py`; a query is the same text for both.
"""

from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from functools import cache
from importlib.resources import files
from typing import Any, Literal, Protocol
from urllib.parse import parse_qs, urlsplit

import aiosql

from bifrost.base.errors import StorageFault

Row = Mapping[str, Any]
Connection = Any
Queries = Any


class StorageUnavailable(StorageFault):
    """The database does not answer. Nothing was written; the same request may be sent again."""

    default_code = "temporarily_unavailable"

    def __init__(self, message: str = "", *, reason: str = "") -> None:
        """`reason` is the database's own, for an administrator; the message is for whoever sent the request."""
        super().__init__(message or "The storage does not answer right now. Try again in a few seconds.")
        self.reason = reason


class Database(Protocol):
    driver: str
    """The name that aiosql knows the driver by."""

    dialect: Literal["sqlite", "postgresql"]
    """Which of the migrations that are written once for each database are its own."""

    target: str
    """Which database it is, for people: never with a password."""

    async def open(self) -> None:
        """Connect. What fails leaves nothing open. Raises StorageUnavailable."""

    async def close(self) -> None: ...

    def read(self) -> AbstractAsyncContextManager[Connection]:
        """A connection for single reading statements. Raises StorageUnavailable."""
        ...

    def transaction(self, *, unmarked: bool = False) -> AbstractAsyncContextManager[Connection]:
        """All or nothing. An exception inside rolls back. Raises StorageUnavailable.

        `unmarked` says that it changes no row that `mark` counts, so that this process need not look again.
        """
        ...

    def statement(self, *, unmarked: bool = False) -> AbstractAsyncContextManager[Connection]:
        """A connection for one writing statement, which is all or nothing by itself. Raises StorageUnavailable."""
        ...

    def seen_mark(self) -> int | None:
        """The mark, where it need not be looked for now."""
        ...

    async def mark(self) -> int:
        """A number that is another one once a row that requests stand on was changed or deleted, by any process.

        On PostgreSQL other processes' changes are heard of a moment later. Raises StorageUnavailable.
        """
        ...

    def migration_lock(self) -> AbstractAsyncContextManager[Connection]:
        """A transaction that only one process at a time can hold."""
        ...

    async def run_script(self, connection: Connection, script: str) -> None:
        """Several statements inside the transaction of `connection`."""


@cache
def queries(slice_name: str, driver: str) -> Queries:
    """The named queries of one slice, from `queries/<slice>.sql`."""
    text = files("bifrost.storage").joinpath("queries", f"{slice_name}.sql").read_text()
    return aiosql.from_str(text, driver, mandatory_parameters=False)


def members(row: Row) -> dict[str, Any]:
    """As `dict` of it, which looks every column up by its name."""
    return dict(zip(row.keys(), row, strict=True))


async def ping(database: Database) -> None:
    """Raises StorageUnavailable."""
    async with database.read() as connection:
        await queries("installation", database.driver).ping(connection)


def is_taken(error: BaseException) -> bool:
    """Whether a row was refused because another has the same unique value (SQLSTATE 23505, and SQLite's name of it)."""
    return (
        getattr(error, "sqlstate", None) == "23505"
        or getattr(error, "sqlite_errorname", None) == "SQLITE_CONSTRAINT_UNIQUE"
    )


def is_postgresql_url(url: str) -> bool:
    """Whether the URL can be understood in one way only."""
    try:
        parts = urlsplit(url)
        hosts = parts.netloc.rpartition("@")[2]
        ports = [urlsplit(f"//{host}").port for host in hosts.split(",")]
        parse_qs(parts.query, strict_parsing=bool(parts.query))
    except ValueError:
        return False
    # an @ further on, or a fragment, means that a character of the password has ended it early
    return 0 not in ports and "@" not in parts.path and not parts.fragment and url.isprintable()
