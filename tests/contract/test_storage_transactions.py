"""All or nothing: an error or a cancellation in the middle leaves no trace, and the next caller is not held up."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from msgspec.structs import replace

from bifrost.base.ids import hash_secret
from bifrost.storage.authserver import SqlAuthServerStore
from bifrost.storage.database import Database
from tests.contract._stores import (
    CONSTRAINT_BROKEN,
    NOW,
    code_of,
    consented,
    fetch,
    flow,
    grant,
    grants_store,
    opened,
    redeemed,
    refresh_of,
    rows,
    tokens,
)

pytestmark = pytest.mark.anyio

Call = Callable[[], Awaitable[object]]

AT_ONCE = 2.0
"""Seconds in which the next caller must be served; the busy time-outs of both databases are longer."""

TABLES = ("pending_flows", "grants", "authorization_codes", "access_tokens", "refresh_tokens", "key_guesses")
KEEP = "INSERT INTO installation (name, value) VALUES ('test', 'written')"


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    async with opened(database_url) as made:
        yield made


@pytest.fixture
async def other(database: Database, database_url: str) -> AsyncIterator[Database]:
    """Another process on the same database."""
    async with opened(database_url) as made:
        yield made


@pytest.fixture
def store(database: Database) -> SqlAuthServerStore:
    return grants_store(database)


async def _everything(database: Database) -> dict[str, list[str]]:
    return {table: sorted(map(repr, await rows(database, table))) for table in TABLES}


async def _kept(database: Database) -> list[str]:
    return [row["value"] for row in await rows(database, "SELECT value FROM installation WHERE name = 'test'")]


async def _works(database: Database) -> None:
    """A whole transaction, at once."""
    async with asyncio.timeout(AT_ONCE):
        store = grants_store(database)
        pending = flow()
        await store.add_pending_flow(pending)
        assert await store.pending_flow(pending.id) == pending


async def _submit(store: SqlAuthServerStore) -> Call:
    _, code, _ = await redeemed(store)
    pending, given = flow(), grant()
    await store.add_pending_flow(pending)
    taken = replace(code_of(given), code_hash=code.code_hash)
    return lambda: store.submit_flow(pending.id, given, taken, NOW)


async def _submit_with_a_grant_that_exists(store: SqlAuthServerStore) -> Call:
    given, _ = await consented(store)
    pending = flow()
    await store.add_pending_flow(pending)
    return lambda: store.submit_flow(pending.id, given, code_of(given), NOW)


async def _redeem(store: SqlAuthServerStore) -> Call:
    _, _, pair = await redeemed(store)
    given, code = await consented(store)
    return lambda: store.redeem_code(code.code_hash, tokens(given.id, refresh=refresh_of(pair)), NOW)


async def _rotate(store: SqlAuthServerStore) -> Call:
    given, _, pair = await redeemed(store)
    again = tokens(given.id, refresh=refresh_of(pair))
    return lambda: store.rotate_refresh_token(refresh_of(pair).token_hash, again, NOW)


@pytest.mark.parametrize("prepare", [_submit, _submit_with_a_grant_that_exists, _redeem, _rotate])
async def test_an_error_halfway_leaves_nothing_behind(
    database: Database, store: SqlAuthServerStore, prepare: Callable[[SqlAuthServerStore], Awaitable[Call]]
) -> None:
    """Contract §§5, 6: submit, redeem and rotate are one transaction each; here its last statements cannot be done."""
    call = await prepare(store)
    before = await _everything(database)
    with pytest.raises(CONSTRAINT_BROKEN):
        await call()
    assert await _everything(database) == before
    await _works(database)


async def test_an_error_of_the_caller_takes_the_transaction_back(database: Database, other: Database) -> None:
    """Architecture: an exception inside a transaction rolls back, whatever it is."""

    async def broken() -> None:
        async with database.transaction() as connection:
            await fetch(connection, KEEP)
            raise KeyError("a fault of ours")

    with pytest.raises(KeyError):
        await broken()
    assert await _kept(other) == []
    await _works(database)
    await _works(other)


async def test_nobody_sees_a_transaction_before_it_ends(database: Database, other: Database) -> None:
    """Contract §5: half a consent is never visible, in this process or another."""
    async with database.transaction() as connection:
        await fetch(connection, KEEP)
        assert await _kept(database) == []
        assert await _kept(other) == []
    assert await _kept(database) == ["written"]
    assert await _kept(other) == ["written"]


async def test_a_cancelled_caller_leaves_nothing_behind(database: Database, other: Database) -> None:
    """Contract §11: a request that is cut off at the end of the grace time is as if it had never come."""
    written = asyncio.Event()

    async def write() -> None:
        async with database.transaction() as connection:
            await fetch(connection, KEEP)
            written.set()
            await asyncio.Event().wait()

    writing = asyncio.create_task(write())
    await written.wait()
    writing.cancel()
    await _is_cancelled(writing)
    assert await _kept(other) == []
    await _works(database)
    await _works(other)


async def test_a_caller_cancelled_while_it_waits_for_a_lock_leaves_the_database_usable(
    database: Database, other: Database
) -> None:
    """Contract §11: the lock is somebody else's; who waited for it and was cancelled holds nothing afterwards."""
    store = grants_store(database)
    given, code = await consented(store)
    async with other.transaction() as holder:
        await fetch(holder, "UPDATE authorization_codes SET failed_attempts = 1")
        waiting = asyncio.create_task(store.redeem_code(code.code_hash, tokens(given.id), NOW))
        await _until_it_waits(database, other, waiting)
        waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert await store.redeem_code(code.code_hash, tokens(given.id), NOW) is True
    await _works(database)
    await _works(other)


async def test_every_moment_of_a_transaction_can_be_cancelled(database: Database, other: Database) -> None:
    """TC-122, contract §11: wherever the cancellation comes, the call has happened as a whole or not at all."""
    store = grants_store(database)
    outcomes: list[bool] = []
    turns = 0
    # later and later, until the call is over before it is cancelled
    while outcomes[-2:] != [True, True]:
        given, code = await consented(store)
        pair = tokens(given.id)
        call = asyncio.create_task(store.redeem_code(code.code_hash, pair, NOW))
        for _ in range(turns):
            await asyncio.sleep(0)
        call.cancel()
        (ended,) = await asyncio.gather(call, return_exceptions=True)
        assert ended is True or isinstance(ended, asyncio.CancelledError)

        async with asyncio.timeout(AT_ONCE):
            after = await grants_store(other).authorization_code(code.code_hash)
            access = await store.access_token(pair.access.token_hash)
            refresh = await store.refresh_token(refresh_of(pair).token_hash)
        assert after
        assert (after.used_at is None) is (access is None) is (refresh is None)
        outcomes.append(ended is True)
        turns += 1 + turns // 4
    assert outcomes[0] is False
    await _works(database)
    await _works(other)


async def _some_turns() -> None:
    """Let every task go on as far as it can without the outside world."""
    for _ in range(5):
        await asyncio.sleep(0)


async def _is_cancelled(task: "asyncio.Task[None]") -> None:
    with pytest.raises(asyncio.CancelledError):
        await task


async def _until_it_waits(database: Database, other: Database, task: "asyncio.Task[bool]") -> None:
    """SQLite has nobody to ask: it waits as soon as it was refused the lock."""
    async with asyncio.timeout(AT_ONCE):
        while database.dialect == "postgresql":
            waiting = await rows(other, "SELECT pid FROM pg_locks WHERE NOT granted")
            if waiting:
                return
    await _some_turns()
    assert not task.done()


async def test_a_hash_is_looked_up_exactly(store: SqlAuthServerStore) -> None:
    """TC-145, contract §6: tokens are found by their hash; neither case nor a blank at the end makes two hashes one."""
    _, code, _ = await redeemed(store)
    for near in (code.code_hash.upper(), code.code_hash + " ", code.code_hash[:-1], hash_secret(code.code_hash)):
        assert await store.authorization_code(near) is None
