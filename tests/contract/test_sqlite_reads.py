"""Which connection of a process reads: the writing one, except while that has something that is not committed."""

import asyncio
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from bifrost.storage.sqlite import SqliteDatabase
from bifrost.storage.sqlite_driver import CommittedRows
from tests.contract._stores import fetch, opened

pytestmark = pytest.mark.anyio

KEEP = "INSERT INTO installation (name, value) VALUES ('test', 'written')"
KEPT = "SELECT value FROM installation WHERE name = 'test'"
SELECT = "SELECT value FROM names"


@pytest.fixture
def held(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    """A connection whose file somebody else has for themselves, as one that recovers it after a crash."""
    path = tmp_path / "held.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("CREATE TABLE names (value TEXT)")
        with closing(sqlite3.connect(path, isolation_level=None, timeout=0)) as connection:
            connection.execute(SELECT)
            other.execute("BEGIN EXCLUSIVE")
            yield connection


async def test_a_read_that_began_before_a_transaction_goes_on_beside_it(sqlite_url: str) -> None:
    """Contract §5: half a consent is never visible, whichever of the two came first."""
    async with opened(sqlite_url) as database, database.read() as reading:
        assert await fetch(reading, KEPT) == []
        async with database.transaction() as writing:
            await fetch(writing, KEEP)
            assert await fetch(reading, KEPT) == []
        assert await fetch(reading, KEPT) == [{"value": "written"}]


async def test_the_mark_is_the_committed_one(sqlite_url: str) -> None:
    """Contract §6: what is in memory is judged by what counts for everybody, also beside a transaction."""
    async with opened(sqlite_url) as database:
        before = await database.mark()
        async with database.transaction() as writing:
            await fetch(writing, "UPDATE change_marks SET value = value + 1")
            assert await database.mark() == before
        assert await database.mark() == before + 1


async def test_a_file_that_is_being_recovered_is_read_by_the_connection_that_waits(held: sqlite3.Connection) -> None:
    """TC-198: another process was killed; the writing connection never waits on the event loop."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as waiting:
        waiting.row_factory = sqlite3.Row
        waiting.execute("CREATE TABLE names (value TEXT)")
        waiting.execute("INSERT INTO names VALUES ('there')")
        rows = await CommittedRows(lambda: held, lambda: waiting).fetchall(SELECT, {})
    assert [row["value"] for row in rows] == ["there"]


async def test_what_is_wrong_with_a_statement_is_not_tried_again(held: sqlite3.Connection) -> None:
    """Only the lock of somebody else is waited for."""
    with pytest.raises(sqlite3.OperationalError, match="no such table"):
        await CommittedRows(lambda: held, lambda: pytest.fail("was asked")).fetchall("SELECT * FROM missing", {})


async def test_a_transaction_that_says_so_does_not_make_the_mark_old(sqlite_url: str) -> None:
    """Only what a request may stand on has to be read again; what is only added has no mark."""
    async with opened(sqlite_url) as database:
        assert isinstance(database, SqliteDatabase)
        asked: list[str] = []
        mark = await database.mark()
        database.committed_rows().set_trace_callback(asked.append)
        async with database.transaction(unmarked=True) as writing:
            await fetch(writing, KEEP)
        await asyncio.sleep(0)  # a look is good for one round of the event loop
        asked.clear()
        assert await database.mark() == mark
        assert asked == ["PRAGMA data_version"]
