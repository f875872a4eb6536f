"""How aiosql talks to SQLite here: every statement is run and fetched in one step, on the event loop itself.

A statement that is left half-read keeps its connection on an old snapshot, so that a row committed meanwhile would not
be seen; and handing a statement to another thread costs more than the statement itself (docs/decisions/0001).
"""

import sqlite3
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, cast

import aiosql

DRIVER = "bifrost-sqlite"

Parameters = Mapping[str, Any]

_PRIMARY_CODE = 0xFF
"""The part of a SQLite result code that names the kind of error."""


class SqliteConnection:
    """A statement takes microseconds, and in WAL mode nobody makes it wait: only the lock is waited for, in `sqlite`.

    Its methods are coroutines because the queries are shared with a driver whose are.
    """

    __slots__ = ("_connection",)

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    async def fetchall(self, sql: str, parameters: Parameters) -> list[sqlite3.Row]:
        rows: list[sqlite3.Row] = self._connection.execute(sql, parameters).fetchall()
        return rows

    async def run(self, sql: str) -> None:
        self._connection.execute(sql).fetchall()


class CommittedRows:
    """Reads, each statement by itself, what is committed at that moment."""

    __slots__ = ("_now", "_waiting")

    def __init__(self, now: Callable[[], sqlite3.Connection], waiting: Callable[[], sqlite3.Connection]) -> None:
        """`now` never waits, also not while another process recovers the file after a crash; `waiting` does."""
        self._now = now
        self._waiting = waiting

    async def fetchall(self, sql: str, parameters: Parameters) -> list[sqlite3.Row]:
        rows: list[sqlite3.Row]
        try:
            rows = self._now().execute(sql, parameters).fetchall()
        except sqlite3.OperationalError as error:
            if not is_busy(error):
                raise
            rows = self._waiting().execute(sql, parameters).fetchall()
        return rows


Connection = SqliteConnection | CommittedRows


def is_busy(error: sqlite3.OperationalError) -> bool:
    """Whether somebody else holds what is needed, for now."""
    return error.sqlite_errorcode & _PRIMARY_CODE == sqlite3.SQLITE_BUSY


class _Adapter:
    """The operations of aiosql that our queries use: `` (many), `^` (one row), `$` (one value), `!` (nothing)."""

    is_aio_driver = True

    def process_sql(self, _name: str, _operation: object, sql: str) -> str:
        return sql

    async def select(
        self, connection: Connection, _name: str, sql: str, parameters: Parameters, _record: object = None
    ) -> AsyncIterator[sqlite3.Row]:
        for row in await connection.fetchall(sql, parameters):
            yield row

    async def select_one(
        self, connection: Connection, _name: str, sql: str, parameters: Parameters, _record: object = None
    ) -> sqlite3.Row | None:
        rows = await connection.fetchall(sql, parameters)
        return rows[0] if rows else None

    async def select_value(self, connection: Connection, _name: str, sql: str, parameters: Parameters) -> Any:
        rows = await connection.fetchall(sql, parameters)
        return rows[0][0] if rows else None

    async def insert_update_delete(self, connection: Connection, _name: str, sql: str, parameters: Parameters) -> None:
        await connection.fetchall(sql, parameters)


aiosql.register_adapter(DRIVER, cast("Any", _Adapter))  # the protocol asks for operations that no query of ours is
