"""Keys that sign JWT access tokens: made once whoever comes first, published before they sign, rotated in time."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import jwt
import pytest

from bifrost.authserver.errors import NextKeyTooYoung
from bifrost.authserver.signing_keys import PUBLISHED_SECONDS
from bifrost.base.sealing import SealBrokenError
from tests.flows._tokens import opens, signed_in
from tests.support.clock import FakeClock
from tests.support.gateway import TestGateway, running_gateway

pytestmark = pytest.mark.anyio

JWKS = "/.well-known/jwks.json"
JWT = {"jwt_access_tokens_for": ["*"], "signing_key_days": 30}
TTL, DAY = 86_400, 86_400


@pytest.fixture
async def running(sqlite_url: str, tmp_path: Path, clock: FakeClock) -> AsyncIterator[TestGateway]:
    async with running_gateway(sqlite_url, tmp_path, clock=clock, client=JWT) as started:
        yield started


async def _states(running: TestGateway) -> dict[str, str]:
    """The state of each key by its id."""
    return {row["kid"]: row["state"] for row in await running.rows("signing_keys")}


async def _published(running: TestGateway) -> list[dict[str, Any]]:
    answer = await running.http.get(JWKS)
    assert answer.status_code == 200
    keys: list[dict[str, Any]] = answer.json()["keys"]
    return keys


async def test_of_processes_that_start_at_once_one_makes_the_keys(
    database_url: str, tmp_path: Path, clock: FakeClock
) -> None:
    """TC-183, contract §10: four gateways on one database sign their first tokens together; one key signs them all."""
    async with AsyncExitStack() as stack:
        four = [
            await stack.enter_async_context(running_gateway(database_url, tmp_path, clock=clock, client=JWT))
            for _ in range(4)
        ]
        tokens = await asyncio.gather(*(process.gateway.signing_keys.sign({}) for process in four))
        assert len({token.split(".")[0] for token in tokens}) == 1
        assert sorted((await _states(four[0])).values()) == ["active", "next"]
        assert [await _published(process) for process in four] == [await _published(four[0])] * 4


async def test_there_are_no_keys_before_the_first_token(running: TestGateway) -> None:
    """RFC 7517 §5: an empty set is a set, and nobody keeps it."""
    answer = await running.http.get(JWKS)
    assert answer.json() == {"keys": []}
    assert answer.headers["cache-control"] == "public, max-age=0"


async def test_the_next_key_is_published_before_it_signs(running: TestGateway, clock: FakeClock) -> None:
    """Contract §6: whoever has the set in a cache knows the key when it begins to sign."""
    await signed_in(running)
    before = await _states(running)
    assert {key["kid"] for key in await _published(running)} == set(before)
    clock.advance(seconds=PUBLISHED_SECONDS)
    active = await running.gateway.signing_keys.rotate()
    assert before[active.kid] == "next"
    assert sorted((await _states(running)).values()) == ["active", "next", "retiring"]


async def test_a_next_key_that_others_may_not_know_yet_waits(running: TestGateway, clock: FakeClock) -> None:
    """Contract §6: unless somebody insists, because the key is lost."""
    await signed_in(running)
    clock.advance(seconds=PUBLISHED_SECONDS - 1)
    before = await _states(running)
    with pytest.raises(NextKeyTooYoung):
        await running.gateway.signing_keys.rotate()
    assert await _states(running) == before
    await running.gateway.signing_keys.rotate(force=True)
    assert len(await _states(running)) == 3


async def test_tokens_of_the_old_key_stay_good_until_they_expire(running: TestGateway, clock: FakeClock) -> None:
    """TC-183, contract §6: overlap longer than the tokens live."""
    _client, tokens = await signed_in(running)
    (old,) = [kid for kid, state in (await _states(running)).items() if state == "active"]
    await running.gateway.signing_keys.rotate(force=True)
    clock.advance(seconds=TTL - 1)
    assert await opens(running, tokens["access_token"]) == 200
    assert old in {key["kid"] for key in await _published(running)}
    clock.advance(seconds=PUBLISHED_SECONDS + 1)
    assert old not in {key["kid"] for key in await _published(running)}
    await running.gateway.signing_keys.rotate()
    assert old not in await _states(running)


async def test_of_rotations_at_once_one_happens(database_url: str, tmp_path: Path, clock: FakeClock) -> None:
    """TC-183, contract §10: the command on two machines, or two schedules, is one rotation."""
    async with (
        running_gateway(database_url, tmp_path, clock=clock, client=JWT) as one,
        running_gateway(database_url, tmp_path, clock=clock, client=JWT) as other,
    ):
        await one.gateway.signing_keys.sign({})
        clock.advance(seconds=30 * DAY)
        await asyncio.gather(*(process.gateway.signing_keys.sweep(0) for process in (one, other) * 3))
        assert sorted((await _states(one)).values()) == ["active", "next", "retiring"]


@pytest.mark.parametrize(("days", "rotated"), [(29, False), (30, True)])
async def test_the_schedule_rotates_when_it_is_time(
    running: TestGateway, clock: FakeClock, days: int, rotated: bool
) -> None:
    """Contract §6: counted from when the key began to sign."""
    await signed_in(running)
    clock.advance(seconds=days * DAY)
    await running.gateway.sweeper.sweep()
    assert ("retiring" in (await _states(running)).values()) is rotated


async def test_no_schedule_when_it_is_switched_off(sqlite_url: str, tmp_path: Path, clock: FakeClock) -> None:
    """Contract §10."""
    off = {**JWT, "signing_key_days": 0}
    async with running_gateway(sqlite_url, tmp_path, clock=clock, client=off) as running:
        await running.gateway.signing_keys.sign({})
        clock.advance(seconds=4_000 * DAY)
        await running.gateway.sweeper.sweep()
        assert sorted((await _states(running)).values()) == ["active", "next"]


async def test_a_private_key_is_sealed_for_its_own_row(running: TestGateway) -> None:
    """TC-179: a stolen database signs nothing."""
    await signed_in(running)
    for row in await running.rows("signing_keys"):
        assert row["sealed_private"].startswith("v1.")
        assert '"d"' not in row["public_jwk"]
    async with running.gateway.database.transaction() as connection:
        await connection.run("UPDATE signing_keys SET sealed_private = (SELECT max(sealed_private) FROM signing_keys)")
    running.gateway.signing_keys._opened.clear()
    outcomes = [await _signs(running, state) for state in ("active", "next")]
    assert outcomes.count(False) == 1


async def _signs(running: TestGateway, state: str) -> bool:
    keys = running.gateway.signing_keys
    (row,) = [key for key in await keys.store.signing_keys() if key.state == state]
    try:
        keys._private(row)
    except SealBrokenError:
        return False
    return True


async def test_the_schedule_drops_what_has_ended(running: TestGateway, clock: FakeClock) -> None:
    """TC-183: a private key that is not needed any more is not kept."""
    await signed_in(running)
    await running.gateway.signing_keys.rotate(force=True)
    clock.advance(seconds=TTL + PUBLISHED_SECONDS - 1)
    await running.gateway.sweeper.sweep()
    assert "retiring" in (await _states(running)).values()
    clock.advance(seconds=1)
    await running.gateway.sweeper.sweep()
    assert sorted((await _states(running)).values()) == ["active", "next"]


async def test_a_key_outlives_the_tokens_of_a_time_when_they_lived_longer(
    database_url: str, tmp_path: Path, clock: FakeClock
) -> None:
    """TC-183: also when the time to live was made shorter before the rotation."""
    async with running_gateway(
        database_url, tmp_path, clock=clock, client={**JWT, "access_token_ttl": 9 * DAY}
    ) as before:
        await signed_in(before)
        (old,) = [kid for kid, state in (await _states(before)).items() if state == "active"]
    async with running_gateway(database_url, tmp_path, clock=clock, client={**JWT, "access_token_ttl": 60}) as running:
        await running.gateway.signing_keys.rotate(force=True)
        clock.advance(seconds=9 * DAY + PUBLISHED_SECONDS - 1)
        assert old in {key["kid"] for key in await _published(running)}
        clock.advance(seconds=1)
        assert old not in {key["kid"] for key in await _published(running)}


async def test_keys_that_leaked_are_gone_at_once(on_both: TestGateway, clock: FakeClock) -> None:
    """Contract §6, TC-183: nobody elsewhere believes them any more; here tokens are looked up and stay good."""
    client, tokens = await signed_in(on_both)
    await on_both.gateway.signing_keys.rotate(force=True)
    before = set(await _states(on_both))
    assert len(before) == 3
    active = await on_both.gateway.signing_keys.replace()
    states = await _states(on_both)
    assert not before & states.keys()
    assert sorted(states.values()) == ["active", "next"]
    assert {key["kid"] for key in await _published(on_both)} == set(states)
    fresh = (await client.refresh(tokens["refresh_token"])).json()
    assert jwt.get_unverified_header(fresh["access_token"])["kid"] == active.kid
    assert await opens(on_both, tokens["access_token"]) == 200


async def test_a_key_of_an_algorithm_that_is_not_used_any_more_retires_in_its_time(
    database_url: str, tmp_path: Path, clock: FakeClock
) -> None:
    """Contract §6: after the setting was changed, the old key is published until its tokens have expired."""
    async with running_gateway(database_url, tmp_path, clock=clock, client=JWT) as before:
        await signed_in(before)
        old = {kid for kid, state in (await _states(before)).items() if state == "active"}
    changed = {**JWT, "jwt_signing_alg": "RS256"}
    async with running_gateway(database_url, tmp_path, clock=clock, client=changed) as running:
        await signed_in(running)
        await running.gateway.sweeper.sweep()
        assert sorted((await _states(running)).values()) == ["active", "active", "next", "next"]
        clock.advance(seconds=30 * DAY)
        await running.gateway.sweeper.sweep()
        assert {kid for kid, state in (await _states(running)).items() if state == "retiring"} >= old
        algorithms = sorted((row["alg"], row["state"]) for row in await running.rows("signing_keys"))
        assert algorithms == [("ES256", "retiring"), ("RS256", "active"), ("RS256", "next"), ("RS256", "retiring")]
        clock.advance(seconds=TTL + PUBLISHED_SECONDS)
        await running.gateway.sweeper.sweep()
        assert {row["alg"] for row in await running.rows("signing_keys")} == {"RS256"}


@pytest.fixture
async def on_both(database_url: str, tmp_path: Path, clock: FakeClock) -> AsyncIterator[TestGateway]:
    async with running_gateway(database_url, tmp_path, clock=clock, client=JWT) as started:
        yield started
