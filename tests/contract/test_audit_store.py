"""The audit trail's store: rows come back as they were written, the newest first, and cannot be changed."""

from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest

from bifrost.audit.models import AuditFilter, AuditRow
from bifrost.storage.audit import SqlAuditStore
from bifrost.storage.database import Database
from tests.contract._stores import NOW, audit_row, opened, together

pytestmark = pytest.mark.anyio


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    async with opened(database_url) as made:
        yield made


@pytest.fixture
def store(database: Database) -> SqlAuditStore:
    return SqlAuditStore(database)


async def _found(store: SqlAuditStore, **wanted: Any) -> list[AuditRow]:
    rows, total = await store.audit_rows(AuditFilter(**wanted), limit=100, offset=0)
    assert total == len(rows)
    return rows


async def test_rows_come_back_the_newest_first(store: SqlAuditStore) -> None:
    """Ours: in the order in which they were written, also within one millisecond."""
    rows = [audit_row(), audit_row(at=NOW + 1), audit_row(details={})]
    await store.add_rows((rows[0], rows[1]))
    await store.add_rows((rows[2],))
    assert await _found(store) == rows[::-1]


@pytest.mark.parametrize("member", ["event", "actor", "target", "result", "event_id"])
async def test_a_filter_is_exact(store: SqlAuditStore, member: str) -> None:
    """Contract §9; TC: a filter is a value and never a part of a statement."""
    other = audit_row(**{member: "failure" if member == "result" else "other' OR 1=1 --"})
    await store.add_rows((audit_row(), other))
    assert await _found(store, **{member: getattr(other, member)}) == [other]
    assert await _found(store, **{member: "nothing"}) == []


async def test_a_span_of_time_includes_its_beginning_only(store: SqlAuditStore) -> None:
    """Ours: spans that follow each other share nothing."""
    rows = [audit_row(at=NOW + number) for number in range(4)]
    await store.add_rows(tuple(rows))
    assert await _found(store, since=NOW + 1, until=NOW + 3) == [rows[2], rows[1]]


async def test_pages_do_not_overlap(store: SqlAuditStore) -> None:
    """Contract §9: `limit` and `offset`."""
    rows = [audit_row() for _ in range(5)]
    await store.add_rows(tuple(rows))
    page, total = await store.audit_rows(AuditFilter(), limit=2, offset=2)
    assert (page, total) == ([rows[2], rows[1]], 5)
    assert await store.audit_rows(AuditFilter(), limit=2, offset=9) == ([], 5)


async def test_processes_write_at_the_same_time(database_url: str) -> None:
    """Ours: nothing is lost."""
    async with opened(database_url) as one, opened(database_url) as two:
        stores = [SqlAuditStore(one), SqlAuditStore(two)] * 5
        await together(store.add_rows((audit_row(), audit_row())) for store in stores)
        assert len(await _found(stores[0])) == 20


@pytest.mark.parametrize("statement", ["UPDATE audit_events SET actor = 'nobody'", "DELETE FROM audit_events"])
async def test_the_database_refuses_to_change_or_delete_aaudit_row(
    store: SqlAuditStore, database: Database, statement: str
) -> None:
    """TC-178: append-only, whoever holds the connection."""
    kept = audit_row()
    await store.add_rows((kept,))
    with pytest.raises((asyncpg.PostgresError, Exception), match="only added"):
        async with database.transaction() as connection:
            await database.run_script(connection, f"{statement};")
    assert await _found(store) == [kept]
