"""The log of SQLite is moved into its file without the commits waiting for it."""

import asyncio
from pathlib import Path

import pytest

from bifrost.storage import sqlite_checkpoints
from bifrost.storage.sqlite import SqliteDatabase
from tests.contract._stores import fetch, flow, grants_store, opened

pytestmark = pytest.mark.anyio

PATIENCE_SECONDS = 10


def _log(url: str) -> Path:
    return Path(url.removeprefix("sqlite:///") + "-wal")


async def _write(database: SqliteDatabase, times: int) -> None:
    store = grants_store(database)
    for _ in range(times):
        await store.add_pending_flow(flow(state="x" * 4_000))


async def test_the_log_does_not_grow_without_end(sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A log that is never moved makes every read slower."""
    monkeypatch.setattr(sqlite_checkpoints, "EVERY_COMMITS", 10)
    monkeypatch.setattr(sqlite_checkpoints, "LONG_PAGES", 20)
    async with opened(sqlite_url) as database:
        assert isinstance(database, SqliteDatabase)
        for _ in range(20):
            await _write(database, 10)
            if moving := database._checkpoints._moving:
                await asyncio.wait([moving])
        assert _log(sqlite_url).stat().st_size < 1_000_000, "200 commits of 4 pages and more are over 3 MB"


async def test_what_was_moved_is_in_the_file(sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is lost on the way, also when the database is closed while the log is being moved."""
    monkeypatch.setattr(sqlite_checkpoints, "EVERY_COMMITS", 5)
    async with opened(sqlite_url) as database:
        assert isinstance(database, SqliteDatabase)
        await _write(database, 25)
    async with opened(sqlite_url) as again, again.read() as connection:
        assert await fetch(connection, "SELECT count(*) AS n FROM pending_flows") == [{"n": 25}]


async def test_a_log_that_cannot_be_moved_stops_nobody(sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next writes say by themselves that the disk is full; until then everything goes on."""
    monkeypatch.setattr(sqlite_checkpoints, "EVERY_COMMITS", 1)
    async with opened(sqlite_url) as database:
        assert isinstance(database, SqliteDatabase)
        database._checkpoints._path = Path("/nonexistent/bifrost.db")
        async with asyncio.timeout(PATIENCE_SECONDS):
            for _ in range(5):
                await _write(database, 1)
                await database._checkpoints.close()
