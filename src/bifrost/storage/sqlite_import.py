"""Everything of a SQLite database, brought into an empty PostgreSQL one of the same schema."""

import contextlib
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any

from bifrost.storage.database import Connection, Database, StorageUnavailable

_OF_THE_SCHEMA = ("schema_migrations", "change_marks")
"""Tables of which every database has its own rows."""

_NO_LIMIT_SECONDS = 86_400.0

_COLUMNS = """
SELECT column_name AS name, data_type AS type, is_identity = 'YES' AS is_numbered
FROM information_schema.columns WHERE table_schema = current_schema() AND table_name = $1
"""


class NotEmptyError(Exception):
    """There are rows already where everything should go."""


@dataclass(frozen=True, slots=True)
class _Table:
    name: str
    columns: tuple[str, ...]
    booleans: frozenset[str]
    numbered: str
    """The column that PostgreSQL fills in by itself, or nothing."""

    def rows(self, source: sqlite3.Connection) -> Iterator[tuple[Any, ...]]:
        """In the order in which PostgreSQL is to number them, where it does."""
        flags = [column in self.booleans for column in self.columns]
        named = ", ".join(f'"{column}"' for column in self.columns)
        order = f'ORDER BY "{self.numbered}"' if self.numbered else ""
        for row in source.execute(f'SELECT {named} FROM "{self.name}" {order}'):  # noqa: S608 - names of the schema
            yield tuple(
                bool(value) if flag and value is not None else value for flag, value in zip(flags, row, strict=True)
            )


async def bring_in(path: Path, target: Database) -> int:
    """How many rows were brought over, all of them or none. Raises NotEmptyError, StorageUnavailable.

    Both databases have all migrations, and what is written to the file meanwhile is not brought along.
    """
    try:
        with contextlib.closing(sqlite3.connect(path)) as source:
            source.execute("BEGIN")
            async with target.transaction() as connection:
                return await _all_tables(source, connection)
    except sqlite3.DatabaseError as error:
        raise StorageUnavailable(reason=str(error)) from error


async def _all_tables(source: sqlite3.Connection, connection: Connection) -> int:
    for setting in ("statement_timeout", "idle_in_transaction_session_timeout"):
        await connection.execute(f"SET LOCAL {setting} = 0")
    count = 0
    for name in _referred_to_first(source):
        if await connection.fetchval(f'SELECT EXISTS (SELECT 1 FROM "{name}")'):  # noqa: S608 - names of the schema
            raise NotEmptyError(name)
        table = await _described(name, source, connection)
        status = await connection.copy_records_to_table(
            name, records=table.rows(source), columns=table.columns, timeout=_NO_LIMIT_SECONDS
        )
        count += int(status.removeprefix("COPY "))
    return count


async def _described(name: str, source: sqlite3.Connection, connection: Connection) -> _Table:
    columns = {column["name"]: column for column in await connection.fetch(_COLUMNS, name)}
    numbered = next((column for column in columns if columns[column]["is_numbered"]), "")
    return _Table(
        name=name,
        columns=tuple(
            column
            for (column,) in source.execute("SELECT name FROM pragma_table_info(?)", (name,))
            if column != numbered
        ),
        booleans=frozenset(column for column in columns if columns[column]["type"] == "boolean"),
        numbered=numbered,
    )


def _referred_to_first(source: sqlite3.Connection) -> list[str]:
    """The tables, each after those that its rows belong to."""
    tables = source.execute(
        "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
    ).fetchall()
    referred = 'SELECT "table" FROM pragma_foreign_key_list(?)'
    return list(
        TopologicalSorter(
            {
                name: [other for (other,) in source.execute(referred, (name,))]
                for (name,) in tables
                if name not in _OF_THE_SCHEMA
            }
        ).static_order()
    )
