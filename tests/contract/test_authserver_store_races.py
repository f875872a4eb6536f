"""Guarded statements under load: two processes on one database, many calls at once, one winner each."""

from collections.abc import AsyncIterator, Iterator
from itertools import cycle

import pytest

from bifrost.authserver.models import MAX_FAILED_ATTEMPTS
from bifrost.storage.authserver import SqlAuthServerStore
from bifrost.storage.database import Database
from tests.contract._stores import (
    KEY,
    MINUTE,
    NOW,
    code_of,
    consented,
    flow,
    grant,
    grants_store,
    opened,
    redeemed,
    refresh_of,
    rows,
    together,
    tokens,
)

pytestmark = pytest.mark.anyio

CODES = 20
AT_ONCE = 8
LIMIT = 5


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    async with opened(database_url) as made:
        yield made


@pytest.fixture
async def processes(database: Database, database_url: str) -> AsyncIterator[Iterator[SqlAuthServerStore]]:
    """In turn, the stores of two processes: each has connections of its own."""
    async with opened(database_url) as other:
        yield cycle((grants_store(database), grants_store(other)))


async def test_of_many_redeemers_exactly_one_gets_the_tokens_of_each_code(
    database: Database, processes: Iterator[SqlAuthServerStore]
) -> None:
    """TC-035, contract §6: claiming is one guarded statement, so a code can never pay twice."""
    codes = [await consented(next(processes)) for _ in range(CODES)]
    tries = [(code, tokens(given.id)) for given, code in codes for _ in range(AT_ONCE)]
    won = await together(next(processes).redeem_code(code.code_hash, pair, NOW) for code, pair in tries)

    winners = [(code.code_hash, pair) for (code, pair), win in zip(tries, won, strict=True) if win]
    assert sorted(code_hash for code_hash, _ in winners) == sorted(code.code_hash for _, code in codes)
    access = {row["token_hash"] for row in await rows(database, "access_tokens")}
    refresh = {row["token_hash"] for row in await rows(database, "refresh_tokens")}
    assert access == {pair.access.token_hash for _, pair in winners}
    assert refresh == {refresh_of(pair).token_hash for _, pair in winners}


async def test_of_many_refreshers_exactly_one_gets_the_successors(
    database: Database, processes: Iterator[SqlAuthServerStore]
) -> None:
    """TC-189, contract §6: rotation is one guarded statement too."""
    sessions = [await redeemed(next(processes)) for _ in range(CODES)]
    first = {pair.access.token_hash for _, _, pair in sessions}
    tries = [(refresh_of(pair), tokens(given.id)) for given, _, pair in sessions for _ in range(AT_ONCE)]
    won = await together(next(processes).rotate_refresh_token(old.token_hash, new, NOW) for old, new in tries)

    winners = [(old.token_hash, new) for (old, new), win in zip(tries, won, strict=True) if win]
    assert sorted(old for old, _ in winners) == sorted(refresh_of(pair).token_hash for _, _, pair in sessions)
    access = {row["token_hash"] for row in await rows(database, "access_tokens")}
    assert access - first == {new.access.token_hash for _, new in winners}


async def test_of_parallel_submits_and_denials_exactly_one_wins(
    database: Database, processes: Iterator[SqlAuthServerStore]
) -> None:
    """TC-057, contract §5: of any number of parallel submits exactly one wins; deny consumes the flow as well."""
    flows = [flow() for _ in range(CODES)]
    for pending in flows:
        await next(processes).add_pending_flow(pending)

    async def submit(flow_id: str) -> str | None:
        given = grant()
        done = await next(processes).submit_flow(flow_id, given, code_of(given), NOW)
        return given.id if done else None

    async def deny(flow_id: str) -> str | None:
        return "denied" if await next(processes).deny_flow(flow_id, NOW) is not None else None

    tries = [(pending.id, act) for pending in flows for act in (submit, deny) * (AT_ONCE // 2)]
    outcomes = await together(act(flow_id) for flow_id, act in tries)

    winners = [(flow_id, won) for (flow_id, _), won in zip(tries, outcomes, strict=True) if won]
    assert sorted(flow_id for flow_id, _ in winners) == sorted(pending.id for pending in flows)
    submitted = sorted(won for _, won in winners if won != "denied")
    assert sorted(row["id"] for row in await rows(database, "grants")) == submitted
    assert sorted(row["grant_id"] for row in await rows(database, "authorization_codes")) == submitted


async def test_no_identity_slips_into_a_flow_that_is_being_submitted(
    database: Database, processes: Iterator[SqlAuthServerStore]
) -> None:
    """Contract §5: after the flow is consumed nothing about it changes."""
    pending = flow()
    await next(processes).add_pending_flow(pending)
    given = grant()
    outcomes = await together(
        [
            *(next(processes).choose_identity(pending.id, KEY, NOW) for _ in range(AT_ONCE)),
            next(processes).submit_flow(pending.id, given, code_of(given), NOW),
            *(next(processes).choose_identity(pending.id, KEY, NOW) for _ in range(AT_ONCE)),
        ]
    )
    assert outcomes[AT_ONCE] == given
    assert await next(processes).choose_identity(pending.id, KEY, NOW) is False


async def test_guesses_at_once_cannot_outrun_the_limit(
    database: Database, processes: Iterator[SqlAuthServerStore]
) -> None:
    """Contract §5: of parallel wrong guesses no more than five are told that they were wrong."""
    shared = "address:203.0.113.7"
    buckets = [(f"flow:{number}", shared) for number in range(CODES)]
    # half of them name the buckets in the other order: nobody may wait for somebody who waits for them
    orders = [pair if index % 2 else pair[::-1] for index, pair in enumerate(buckets * 2)]
    told = await together(
        next(processes).admit_key_guess(order, right=False, limit=LIMIT, until=NOW + MINUTE, now=NOW)
        for order in orders
    )
    assert told.count(True) == LIMIT
    failures = {row["bucket"]: row["failures"] for row in await rows(database, "key_guesses")}
    assert failures.pop(shared) == LIMIT
    assert sum(failures.values()) == LIMIT, "a refused guess was counted in the flow's bucket"


async def test_people_who_know_their_keys_do_not_lock_each_other_out(
    database: Database, processes: Iterator[SqlAuthServerStore]
) -> None:
    """Contract §5: only failures count, also when a whole office comes at once by one address."""
    told = await together(
        next(processes).admit_key_guess(
            (f"flow:{number}", "address:203.0.113.7"), right=True, limit=LIMIT, until=NOW + MINUTE, now=NOW
        )
        for number in range(4 * LIMIT)
    )
    assert told == [True] * 4 * LIMIT
    assert await rows(database, "key_guesses") == []


async def test_failed_attempts_at_once_are_all_counted(processes: Iterator[SqlAuthServerStore]) -> None:
    """Contract §6: five failed attempts burn the code, however fast they come."""
    given, code = await consented(next(processes))
    await together(next(processes).count_failed_attempt(code.code_hash) for _ in range(MAX_FAILED_ATTEMPTS))
    burnt = await next(processes).authorization_code(code.code_hash)
    assert burnt
    assert burnt.failed_attempts == MAX_FAILED_ATTEMPTS
    assert await next(processes).redeem_code(code.code_hash, tokens(given.id), NOW) is False


async def test_a_grant_is_revoked_once_and_no_token_outlives_it(
    database: Database, processes: Iterator[SqlAuthServerStore]
) -> None:
    """Contract §6: revocation takes effect at once, whoever redeems or refreshes at the same moment."""
    fresh = [await consented(next(processes)) for _ in range(CODES // 2)]
    running = [await redeemed(next(processes)) for _ in range(CODES // 2)]
    revoked = [given.id for given, _ in fresh] + [given.id for given, _, _ in running]
    outcomes = await together(
        [
            *(next(processes).revoke_grant(grant_id, "test", NOW) for grant_id in revoked for _ in range(3)),
            *(next(processes).redeem_code(code.code_hash, tokens(given.id), NOW) for given, code in fresh),
            *(
                next(processes).rotate_refresh_token(refresh_of(pair).token_hash, tokens(given.id), NOW)
                for given, _, pair in running
            ),
        ]
    )
    assert outcomes[: 3 * len(revoked)].count(True) == len(revoked)
    alive = await rows(
        database,
        "SELECT t.token_hash FROM access_tokens t JOIN grants g ON g.id = t.grant_id WHERE g.revoked_at IS NULL",
    )
    assert alive == []
