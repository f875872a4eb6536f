"""The authorization server's store: the limit on guessed keys, and what the sweeper takes away."""

from collections.abc import AsyncIterator

import pytest

from bifrost.storage.authserver import SqlAuthServerStore
from bifrost.storage.database import Database
from bifrost.storage.sweeper import KEPT_MILLISECONDS, Sweeper
from tests.contract._stores import MINUTE, NOW, flow, grants_store, opened, redeemed, refresh_of, rows, token, tokens
from tests.support.clock import FakeClock

pytestmark = pytest.mark.anyio

LIMIT = 5
UNTIL = NOW + 5 * MINUTE
FLOW, ADDRESS = "flow:1", "address:203.0.113.7"


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    async with opened(database_url) as made:
        yield made


@pytest.fixture
def store(database: Database) -> SqlAuthServerStore:
    return grants_store(database)


async def _guess(
    store: SqlAuthServerStore, *buckets: str, right: bool = False, now: int = NOW, until: int = UNTIL
) -> bool:
    return await store.admit_key_guess(buckets, right=right, limit=LIMIT, until=until, now=now)


async def _locked(store: SqlAuthServerStore, bucket: str, now: int = NOW) -> bool:
    return await store.key_guesses_locked(bucket, limit=LIMIT, now=now)


async def _counted(database: Database) -> dict[str, tuple[int, int]]:
    return {row["bucket"]: (row["failures"], row["expires_at"]) for row in await rows(database, "key_guesses")}


async def test_the_fifth_wrong_guess_is_the_last(store: SqlAuthServerStore) -> None:
    """Contract §5: after 5 failures the form locks for a while, for right guesses too; other people go on."""
    for _ in range(LIMIT):
        assert not await _locked(store, FLOW)
        assert await _guess(store, FLOW, ADDRESS)
    assert await _locked(store, FLOW)
    assert not await _guess(store, FLOW, ADDRESS)
    assert not await _guess(store, FLOW, ADDRESS, right=True)
    assert not await _locked(store, "flow:2")
    assert await _guess(store, "flow:2", "address:198.51.100.1")


@pytest.mark.parametrize("right", [True, False], ids=["right", "wrong"])
@pytest.mark.parametrize("full", [FLOW, ADDRESS])
async def test_a_full_bucket_refuses_and_nothing_is_counted(
    database: Database, store: SqlAuthServerStore, full: str, right: bool
) -> None:
    """Contract §5: per flow and per address; either is enough, and a refused guess costs the other nothing."""
    for _ in range(LIMIT):
        assert await _guess(store, full)
    assert not await _guess(store, FLOW, ADDRESS, right=right, until=UNTIL + MINUTE)
    assert await _counted(database) == {full: (LIMIT, UNTIL)}


async def test_right_guesses_neither_count_nor_take_failures_back(
    database: Database, store: SqlAuthServerStore
) -> None:
    """Contract §5: only failures count; somebody who has one key must not use it to go on guessing others."""
    for _ in range(LIMIT - 1):
        assert await _guess(store, FLOW, ADDRESS)
    before = await _counted(database)
    for _ in range(3 * LIMIT):
        assert await _guess(store, FLOW, ADDRESS, right=True)
    assert await _counted(database) == before
    assert await _guess(store, FLOW, ADDRESS)
    assert not await _guess(store, FLOW, ADDRESS)


async def test_the_lock_opens_when_its_time_is_over(store: SqlAuthServerStore) -> None:
    """Contract §5: it locks for a while, and then counts from the beginning."""
    for _ in range(LIMIT):
        assert await _guess(store, FLOW)
    assert await _locked(store, FLOW, UNTIL - 1)
    assert not await _guess(store, FLOW, now=UNTIL - 1)
    assert not await _locked(store, FLOW, UNTIL)
    later = UNTIL + 5 * MINUTE
    assert [await _guess(store, FLOW, now=UNTIL, until=later) for _ in range(LIMIT + 1)] == [True] * LIMIT + [False]


async def test_each_guess_makes_the_count_last_longer(store: SqlAuthServerStore) -> None:
    """Contract §5: guessing slowly, one try each time the count is about to be forgotten, does not help."""
    for step in range(LIMIT):
        now = NOW + step * 4 * MINUTE
        assert await _guess(store, FLOW, now=now, until=now + 5 * MINUTE)
    assert not await _guess(store, FLOW, now=NOW + LIMIT * 4 * MINUTE, until=UNTIL)


async def test_the_sweeper_takes_what_expired_an_hour_ago_and_leaves_the_rest(
    database: Database, store: SqlAuthServerStore
) -> None:
    """docs: rows are deleted an hour after they expired, so that a replay is still recognised until then."""
    gone, kept = NOW - KEPT_MILLISECONDS, NOW - KEPT_MILLISECONDS + 1
    for ends in (gone, kept):
        await store.add_pending_flow(flow(expires_at=ends))
        assert await _guess(store, f"flow:{ends}", now=0, until=ends)
        given, _, pair = await redeemed(store)
        old = tokens(given.id, access=token(given.id, expires_at=ends), refresh=token(given.id, expires_at=ends))
        assert await store.rotate_refresh_token(refresh_of(pair).token_hash, old, NOW)

    await Sweeper((store,), FakeClock(NOW)).sweep()

    for table in ("pending_flows", "key_guesses", "access_tokens", "refresh_tokens"):
        left = {row["expires_at"] for row in await rows(database, table)}
        assert kept in left, table
        assert gone not in left, table
    assert len(await rows(database, "grants")) == 2


async def test_an_expired_grant_goes_with_its_code_and_tokens(database: Database, store: SqlAuthServerStore) -> None:
    """Contract §6: what hangs on a grant dies with it, here as rows."""
    given, _, _ = await redeemed(store, grant_expires_at=NOW)
    other, code, _ = await redeemed(store, grant_expires_at=NOW + 1)
    await store.sweep(NOW)
    for table in ("authorization_codes", "access_tokens", "refresh_tokens"):
        assert [row["grant_id"] for row in await rows(database, table)] == [other.id], table
    assert [row["id"] for row in await rows(database, "grants")] == [other.id]
    assert await store.revoke_grant(given.id, "test", NOW) is False
    assert await store.authorization_code(code.code_hash) is not None


async def test_a_used_code_is_remembered_as_long_as_its_grant(store: SqlAuthServerStore) -> None:
    """OAuth 2.1 §7.5.2: a replay after weeks still revokes what the code gave, so the code must still be known."""
    given, code, pair = await redeemed(store)
    await store.sweep(pair.grant_expires_at - 1)
    replayed = await store.authorization_code(code.code_hash)
    assert replayed
    assert (replayed.used_at, replayed.grant_id) == (NOW, given.id)
    await store.sweep(pair.grant_expires_at)
    assert await store.authorization_code(code.code_hash) is None
