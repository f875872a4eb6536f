"""Rows kept in memory: never a moment longer than it takes to hear of a change, and never for more than a second."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from itertools import count

import pytest

from bifrost.base.ids import hash_secret
from bifrost.governance.models import VirtualKey
from bifrost.storage import remembered
from bifrost.storage.database import Database, StorageUnavailable
from bifrost.storage.governance import SqlGovernanceStore
from bifrost.storage.postgresql import PostgresqlDatabase
from bifrost.storage.remembered import MAX_AGE_SECONDS, Remembered
from bifrost.storage.sqlite import SqliteDatabase
from tests.contract._stores import KEY, NOW, fetch, flow, grants_store, opened, redeemed, rows
from tests.support.gateway import sqlite_writer

pytestmark = pytest.mark.anyio

FELT_SECONDS = 1.0
"""Contract §6."""

VALUE_HASH = hash_secret("sk-bf-test")
_KEY = VirtualKey(
    id=KEY.id, name="test", description="", value_hint="", is_active=True, expires_at=None, mcp_configs=(),
    created_at=NOW, updated_at=NOW,
)  # fmt: skip


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    async with opened(database_url) as made:
        yield made


@pytest.fixture
async def other(database: Database, database_url: str) -> AsyncIterator[Database]:
    """Another process on the same database."""
    async with opened(database_url) as made:
        yield made


class _Reads:
    """Something to read, and how often it was read."""

    def __init__(self, value: str | None = "row") -> None:
        self.value = value
        self.count = 0

    async def __call__(self) -> str | None:
        self.count += 1
        return self.value


async def _felt(database: Database, holds: Callable[[], Awaitable[bool]]) -> None:
    """At once on SQLite, on PostgreSQL as soon as it is heard of, which takes less than a second."""
    if database.dialect == "sqlite":
        assert await holds()
    deadline = asyncio.get_running_loop().time() + FELT_SECONDS
    for _ in count():
        if await holds():
            return
        assert asyncio.get_running_loop().time() < deadline
        await asyncio.sleep(0.005)


async def _execute(database: Database, statement: str) -> None:
    async with database.transaction() as connection:
        await fetch(connection, statement)


async def test_a_row_is_read_once_while_nothing_changes(database: Database) -> None:
    """Contract §6: the hot path answers from memory."""
    kept, reads = Remembered[str](database), _Reads()
    assert [await kept.row("key", reads) for _ in range(10)] == ["row"] * 10
    assert reads.count == 1


async def test_that_there_is_no_such_row_is_never_kept(database: Database) -> None:
    """Contract §6: a token works from the moment it was issued, whoever tried it before."""
    kept, reads = Remembered[str](database), _Reads(None)
    assert await kept.row("key", reads) is None
    reads.value = "row"
    assert await kept.row("key", reads) == "row"


async def test_what_is_read_while_it_is_forgotten_is_not_kept(database: Database) -> None:
    """Ours: signing keys that this process adds are seen by it, whoever is reading the keys at that moment."""
    kept, began, goes_on = Remembered[str](database), asyncio.Event(), asyncio.Event()

    async def slow() -> str:
        began.set()
        await goes_on.wait()
        return "from before"

    reading = asyncio.create_task(kept.row("key", slow))
    await began.wait()
    kept.forget("key")
    goes_on.set()
    assert await reading == "from before"
    assert await kept.row("key", _Reads("from now")) == "from now"


async def test_what_other_people_write_forgets_nothing(database: Database, other: Database) -> None:
    """Only changes that end something count: sign-ins and refreshes of others do not slow anybody down."""
    kept, reads = Remembered[str](database), _Reads()
    for writer in (database, other):
        await kept.row("key", reads)
        await grants_store(writer).add_pending_flow(flow())
        await redeemed(grants_store(writer))
        await kept.row("key", reads)
    assert reads.count == 1


@pytest.mark.parametrize("by", ["this process", "another process"])
@pytest.mark.parametrize("change", ["grant revoked", "grant deleted", "token ended", "key deactivated", "key deleted"])
async def test_every_change_that_ends_something_is_felt(
    database: Database, other: Database, by: str, change: str
) -> None:
    """Contract §6, TC-147: within a second in every process; in the one that made it, at once."""
    store, keys = grants_store(database), SqlGovernanceStore(database)
    await keys.add_virtual_key(_KEY, VALUE_HASH, "")
    given, _, pair = await redeemed(store)
    writer = database if by == "this process" else other

    async def seen() -> tuple[object, object, object]:
        return (
            await store.access_token(pair.access.token_hash),
            await keys.virtual_key(KEY.id),
            await keys.virtual_key_by_hash(VALUE_HASH),
        )

    before = await seen()
    assert await seen() == before
    assert None not in before
    if change == "grant revoked":
        assert await grants_store(writer).revoke_grant(given.id, "test", NOW)
    elif change == "grant deleted":
        await _execute(writer, f"DELETE FROM grants WHERE id = '{given.id}'")  # noqa: S608
    elif change == "token ended":
        await grants_store(writer).end_access_token(pair.access.token_hash, NOW)
    elif change == "key deactivated":
        assert await SqlGovernanceStore(writer).deactivate_virtual_key(KEY.id, NOW)
    else:
        await _execute(writer, "DELETE FROM virtual_keys")

    async def changed() -> bool:
        return await seen() != before

    if by == "this process":
        assert await changed()
    await _felt(database, changed)


async def test_a_change_while_a_row_is_being_read_makes_it_old_at_once(database: Database, other: Database) -> None:
    """Contract §6: what was read before a revocation is never kept after it."""
    kept = Remembered[str](database)
    store = grants_store(other)
    given, _, _ = await redeemed(store)
    state = {"value": "alive"}

    async def read_while_it_is_revoked() -> str:
        found = state["value"]
        state["value"] = "revoked"
        await store.revoke_grant(given.id, "test", NOW)
        return found

    assert await kept.row("key", read_while_it_is_revoked) == "alive"

    async def revoked() -> bool:
        return await kept.row("key", _Reads(state["value"])) == "revoked"

    await _felt(database, revoked)


async def test_nothing_is_kept_for_longer_than_a_second(database: Database) -> None:
    """Contract §6: also when no mark tells of a change, or the news of it is lost."""
    now = [0.0]
    kept, reads = Remembered[str](database, monotonic=lambda: now[0]), _Reads()
    for second in (0.0, MAX_AGE_SECONDS - 0.001, MAX_AGE_SECONDS):
        now[0] = second
        await kept.row("key", reads)
    assert reads.count == 2


async def test_memory_is_bounded(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest row goes first."""
    monkeypatch.setattr(remembered, "MAX_ROWS", 2)
    kept, reads = Remembered[str](database), _Reads()
    for key in ("a", "b", "c", "c", "b", "a"):
        await kept.row(key, reads)
    assert reads.count == 4


async def test_without_storage_nothing_is_answered_from_memory(database: Database) -> None:
    """Contract §6: fail closed."""
    store = grants_store(database)
    _, _, pair = await redeemed(store)
    assert await store.access_token(pair.access.token_hash)
    await database.close()
    with pytest.raises(StorageUnavailable):
        await store.access_token(pair.access.token_hash)
    await database.open()
    assert await store.access_token(pair.access.token_hash)


async def test_the_rows_of_one_request_need_one_look_at_a_file(sqlite_url: str) -> None:
    """Ours: a look waits for nobody, but it is many calls of the system. Contract §6: the next round looks again."""
    async with opened(sqlite_url) as database, opened(sqlite_url) as other:
        assert isinstance(database, SqliteDatabase)
        looks: list[str] = []
        marks = [await database.mark()]
        sqlite_writer(database).set_trace_callback(looks.append)
        marks += [await database.mark() for _ in range(3)]
        assert len(looks) == 0
        await asyncio.sleep(0)
        marks += [await database.mark() for _ in range(3)]
        assert len(looks) == 1
        assert len(set(marks)) == 1
        grant, _, _ = await redeemed(grants_store(other))
        assert await grants_store(other).revoke_grant(grant.id, "test", NOW)
        # a commit by this process is seen in the same round
        assert database.seen_mark() is None
        assert await database.mark() != marks[0]


async def test_a_mark_that_was_seen_is_not_looked_for_again_until_something_changes(database: Database) -> None:
    """Ours: most requests find it. Contract §6: after a change nobody does, nor without storage."""
    store = grants_store(database)
    grant, _, _ = await redeemed(store)
    mark = await database.mark()
    assert database.seen_mark() == mark
    assert await store.revoke_grant(grant.id, "test", NOW)
    assert database.seen_mark() is None
    assert await database.mark() != mark
    await database.close()
    assert database.seen_mark() is None


async def test_while_the_mark_is_looked_for_nobody_uses_the_one_from_before(
    postgresql_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Contract §6: what this process revoked is felt by all who ask after it, not by the first of them alone."""
    async with opened(postgresql_url) as database:
        assert isinstance(database, PostgresqlDatabase)
        store, kept, reads = grants_store(database), Remembered[str](database), _Reads("alive")
        grant, _, _ = await redeemed(store)
        assert await kept.row("key", reads) == "alive"
        assert await store.revoke_grant(grant.id, "test", NOW)
        reads.value = "revoked"
        acquire, looks, goes_on = database.acquire, list[None](), asyncio.Event()

        async def slow() -> object:
            looks.append(None)
            await goes_on.wait()
            return await acquire()

        monkeypatch.setattr(database, "acquire", slow)
        asked = [asyncio.create_task(kept.row("key", reads)) for _ in range(3)]
        async with asyncio.timeout(10):
            while not looks:  # noqa: ASYNC110 - only the look itself says that it has begun
                await asyncio.sleep(0)
        goes_on.set()
        assert await asyncio.gather(*asked) == ["revoked"] * 3
        assert len(looks) == 1


_LISTENERS = "FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'bifrost-changes'"


async def test_a_listener_whose_connection_ended_listens_again(postgresql_url: str) -> None:
    """Contract §10: a database that restarts is felt for a moment; what was missed meanwhile is not."""
    async with opened(postgresql_url) as database, opened(postgresql_url) as other:
        store = grants_store(database)
        pairs = [await redeemed(store) for _ in range(2)]

        async def both_listen() -> bool:
            return len(await rows(other, f"SELECT pid {_LISTENERS}")) == 2

        await _felt(database, both_listen)
        assert len(await rows(other, f"SELECT pg_terminate_backend(pid, 5000) AS ended {_LISTENERS}")) == 2
        for given, _, pair in pairs:
            assert await store.access_token(pair.access.token_hash)
            await grants_store(other).revoke_grant(given.id, "test", NOW)

            async def revoked(token_hash: str = pair.access.token_hash) -> bool:
                row = await store.access_token(token_hash)
                return row is not None and row.revoked_at is not None

            await _felt(database, revoked)
            await asyncio.sleep(FELT_SECONDS)  # by then it listens again
