"""The bytes that a database keeps, as somebody who copies its disk would see them."""

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import asyncpg


def stored(database_url: str, *, since: float) -> bytes:
    """SQLite: the file and its write-ahead log. PostgreSQL: every row as text, and the cluster's write-ahead log.

    `since` is a time as files have it: what was last written before is other tests' log.
    """
    if database_url.startswith("sqlite:///"):
        path = Path(database_url.removeprefix("sqlite:///"))
        return b"".join(part.read_bytes() for part in sorted(path.parent.glob(f"{path.name}*")))
    cluster = Path(parse_qs(urlsplit(database_url).query)["host"][0])
    segments = [path for path in (cluster / "pg_wal").iterdir() if path.is_file() and path.stat().st_mtime >= since]
    assert segments
    return asyncio.run(_rows(database_url)) + b"".join(segment.read_bytes() for segment in segments)


async def _rows(database_url: str) -> bytes:
    connection = await asyncpg.connect(database_url)
    try:
        tables = await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        found = [
            await connection.fetch(f'SELECT t::text FROM "{table["tablename"]}" t')  # noqa: S608 - names it just read
            for table in tables
        ]
    finally:
        await connection.close()
    return "\n".join(row["t"] for rows in found for row in rows).encode()


def found(database_url: str, table: str) -> list[dict[str, Any]]:
    """The rows of a table, read beside whatever runs."""
    if database_url.startswith("sqlite:///"):
        with closing(sqlite3.connect(database_url.removeprefix("sqlite:///"))) as file:
            file.row_factory = sqlite3.Row
            return [dict(row) for row in file.execute(f"SELECT * FROM {table}")]  # noqa: S608 - a name of the tests' own
    return asyncio.run(_found(database_url, table))


def changed(database_url: str, statement: str) -> None:
    """What time or an accident does to a database."""
    if database_url.startswith("sqlite:///"):
        with closing(sqlite3.connect(database_url.removeprefix("sqlite:///"))) as file, file:
            file.execute(statement)
    else:
        asyncio.run(_changed(database_url, statement))


async def _found(database_url: str, table: str) -> list[dict[str, Any]]:
    connection = await asyncpg.connect(database_url)
    try:
        return [dict(row) for row in await connection.fetch(f"SELECT * FROM {table}")]  # noqa: S608 - as above
    finally:
        await connection.close()


async def _changed(database_url: str, statement: str) -> None:
    connection = await asyncpg.connect(database_url)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()
