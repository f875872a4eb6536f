"""A refresh token presented again (contract §6): a race and a lost answer are forgiven, theft is not."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from bifrost.authserver.grants.backoff import MAX_REFUSALS, WAIT_SECONDS
from tests.flows._tokens import error_of, opens, signed_in
from tests.support import oauth
from tests.support.clock import FakeClock
from tests.support.gateway import KEY_ID, TestGateway, running_gateway

pytestmark = pytest.mark.anyio

AT_ONCE = 50
WINDOW = 30
DAY = 86_400


@pytest.fixture
async def processes(database_url: str, tmp_path: Path, clock: FakeClock) -> AsyncIterator[list[TestGateway]]:
    """Two gateways on one database."""
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(running_gateway(database_url, tmp_path, clock=clock)) for _ in range(2)]


async def _pair(client: oauth.OAuthClient, refresh_token: str, **changes: Any) -> tuple[str, str]:
    answer = await client.refresh(refresh_token, **changes)
    assert answer.status_code == 200, answer.text
    return answer.json()["access_token"], answer.json()["refresh_token"]


async def _is_over(running: TestGateway, client: oauth.OAuthClient, *pairs: tuple[str, str]) -> None:
    for access, refresh in pairs:
        assert await opens(running, access) == 401
        assert error_of(await client.refresh(refresh)) == "invalid_grant"


async def _reason(running: TestGateway) -> str | None:
    (grant,) = await running.rows("grants")
    reason: str | None = grant["revoked_reason"]
    return reason


async def test_many_refreshes_at_once_get_one_equal_pair(processes: list[TestGateway]) -> None:
    """TC-189, R1, R2, D4: fifty requests with one token, over two processes: one family, all answers equal."""
    client, tokens = await signed_in(processes[0])
    everywhere = [oauth.OAuthClient(process.http, client.registration) for process in processes]
    pairs = await asyncio.gather(*(_pair(everywhere[number % 2], tokens["refresh_token"]) for number in range(AT_ONCE)))
    assert len(set(pairs)) == 1
    assert len(await processes[0].rows("grants")) == 1
    assert len(await processes[0].rows("refresh_tokens")) == 2
    assert len(await processes[0].rows("access_tokens")) == 2
    for process in processes:
        assert await opens(process, pairs[0][0]) == 200
    await _pair(client, pairs[0][1])


@pytest.mark.parametrize("seconds", [0, 1, WINDOW - 1])
async def test_within_the_window_the_same_pair_comes_again_whatever_happened_since(
    running: TestGateway, clock: FakeClock, seconds: int
) -> None:
    """R1: a slow process is not logged out because a fast one went on already."""
    client, tokens = await signed_in(running)
    pair = await _pair(client, tokens["refresh_token"])
    await _pair(client, pair[1])
    clock.advance(seconds=seconds)
    assert await _pair(client, tokens["refresh_token"]) == pair


async def test_after_the_window_a_token_whose_successor_was_used_ends_the_grant(
    running: TestGateway, clock: FakeClock
) -> None:
    """TC-188, R3, ASVS 10.4.5: access and refresh tokens are dead with the next request, and the reason is kept.

    A58.
    """
    client, tokens = await signed_in(running)
    second = await _pair(client, tokens["refresh_token"])
    third = await _pair(client, second[1])
    clock.advance(seconds=WINDOW)
    assert error_of(await client.refresh(tokens["refresh_token"])) == "invalid_grant"
    assert await _reason(running) == "refresh_token_reused"
    await _is_over(running, client, second, third)


@pytest.mark.parametrize("seconds", [WINDOW, 300, DAY - 1])
async def test_a_lost_answer_can_be_fetched_again(running: TestGateway, clock: FakeClock, seconds: int) -> None:
    """R4: the successor was never used, so nobody got it."""
    client, tokens = await signed_in(running)
    lost = await _pair(client, tokens["refresh_token"])
    clock.advance(seconds=seconds)
    again = await client.refresh(tokens["refresh_token"])
    assert (again.json()["access_token"], again.json()["refresh_token"]) == lost
    assert again.json()["expires_in"] == DAY - seconds
    await _pair(client, lost[1])


async def test_a_lost_answer_is_kept_for_a_day(running: TestGateway, clock: FakeClock) -> None:
    """Contract §6: capped at 24 hours; what comes later is no retry."""
    client, tokens = await signed_in(running)
    lost = await _pair(client, tokens["refresh_token"])
    clock.advance(seconds=DAY)
    assert error_of(await client.refresh(tokens["refresh_token"])) == "invalid_grant"
    await _is_over(running, client, lost)


async def test_repeating_is_bounded_in_number(database_url: str, tmp_path: Path, clock: FakeClock) -> None:
    """R5: a thief cannot hide behind a lost answer; one repetition too many ends the grant."""
    rules = {"refresh_token_replay_limit": 3}
    async with running_gateway(database_url, tmp_path, clock=clock, client=rules) as running:
        client, tokens = await signed_in(running)
        pairs = [await _pair(client, tokens["refresh_token"])]
        clock.advance(seconds=WINDOW)
        pairs += [await _pair(client, tokens["refresh_token"]) for _ in range(3)]
        assert len(set(pairs)) == 1
        assert error_of(await client.refresh(tokens["refresh_token"])) == "invalid_grant"
        await _is_over(running, client, pairs[0])


async def test_no_number_of_programs_that_share_a_token_is_too_many(
    database_url: str, tmp_path: Path, clock: FakeClock
) -> None:
    """R1, contract §6: within the window only time counts, so nobody is logged out because of a limit."""
    rules = {"refresh_token_replay_limit": 3}
    async with running_gateway(database_url, tmp_path, clock=clock, client=rules) as running:
        client, tokens = await signed_in(running)
        pairs = [await _pair(client, tokens["refresh_token"]) for _ in range(12)]
        assert len(set(pairs)) == 1
        clock.advance(seconds=WINDOW)
        assert await _pair(client, tokens["refresh_token"]) == pairs[0], "what came in the window counts for nothing"


async def test_the_figures_are_settings(sqlite_url: str, tmp_path: Path, clock: FakeClock) -> None:
    """Contract §10: an operator may be stricter; with both times at 0 every second use ends the grant."""
    rules = {"refresh_token_replay_window": 0, "refresh_token_replay_cap": 0}
    async with running_gateway(sqlite_url, tmp_path, clock=clock, client=rules) as running:
        client, tokens = await signed_in(running)
        pair = await _pair(client, tokens["refresh_token"])
        assert error_of(await client.refresh(tokens["refresh_token"])) == "invalid_grant"
        await _is_over(running, client, pair)


async def test_a_used_token_from_another_client_ends_the_grant_even_within_the_window(running: TestGateway) -> None:
    """R5: it is in two hands for certain."""
    client, tokens = await signed_in(running)
    pair = await _pair(client, tokens["refresh_token"])
    thief = await oauth.register(running.http, client_name="Thief")
    assert error_of(await thief.refresh(tokens["refresh_token"])) == "invalid_grant"
    assert await _reason(running) == "refresh_token_reused_by_another_client"
    await _is_over(running, client, pair)


async def test_an_unused_token_from_another_client_changes_nothing(running: TestGateway) -> None:
    """TC-190: refused, and the family is intact; also without any client_id."""
    client, tokens = await signed_in(running)
    thief = await oauth.register(running.http, client_name="Thief")
    form = {"grant_type": "refresh_token", "refresh_token": tokens["refresh_token"]}
    assert error_of(await thief.token(**form)) == "invalid_grant"
    assert error_of(await running.http.post(oauth.TOKEN, data=form)) == "invalid_request"
    await _pair(client, tokens["refresh_token"])


async def test_a_repetition_asks_for_nothing_that_was_not_granted(running: TestGateway) -> None:
    """R8, R9: scope and resource are checked as the first time."""
    client, tokens = await signed_in(running, scope="mcp:read")
    await _pair(client, tokens["refresh_token"])
    assert error_of(await client.refresh(tokens["refresh_token"], scope="mcp:write")) == "invalid_scope"
    answer = await client.refresh(tokens["refresh_token"], resource="https://evil.test/mcp")
    assert error_of(answer) == "invalid_target"
    assert await _reason(running) is None


async def test_two_sign_ins_of_one_client_live_side_by_side(running: TestGateway) -> None:
    """R11: a new authorization does not end an older one."""
    client, first = await signed_in(running)
    _again, second = await signed_in(running)
    await _pair(client, first["refresh_token"])
    await _pair(client, second["refresh_token"])
    assert await opens(running, first["access_token"]) == 200


async def test_a_refresh_without_its_grant_in_memory_goes_on_after_a_restart(
    sqlite_url: str, tmp_path: Path, clock: FakeClock
) -> None:
    """R6, TC-192, TC-050: what was given and what was used is in the database, and so is the answer to a repetition."""
    async with running_gateway(sqlite_url, tmp_path, clock=clock) as running:
        client, tokens = await signed_in(running)
        pair = await _pair(client, tokens["refresh_token"])
    async with running_gateway(sqlite_url, tmp_path, clock=clock) as running:
        client.http = running.http
        assert await _pair(client, tokens["refresh_token"]) == pair
        third = await _pair(client, pair[1])
        clock.advance(seconds=WINDOW)
    async with running_gateway(sqlite_url, tmp_path, clock=clock) as running:
        client.http = running.http
        assert error_of(await client.refresh(tokens["refresh_token"])) == "invalid_grant"
        await _is_over(running, client, pair, third)


async def test_a_client_that_hammers_a_dead_token_is_asked_to_wait(running: TestGateway, clock: FakeClock) -> None:
    """R7, R10, contract §6: always 400 invalid_grant, after some refusals with Retry-After and without the database.

    Other clients and other tokens do not feel it. A 429 would keep a client trying that has to authorize again.
    """
    client, tokens = await signed_in(running)
    _same_program, living = await signed_in(running)
    await running.http.post(
        "/api/oauth/per-user/revoke", data={"client_id": client.client_id, "token": tokens["refresh_token"]}
    )
    answers = [await client.refresh(tokens["refresh_token"]) for _ in range(100)]
    assert {error_of(answer) for answer in answers} == {"invalid_grant"}
    waits = [answer.headers.get("retry-after") for answer in answers]
    assert waits == [None] * MAX_REFUSALS + [str(WAIT_SECONDS)] * (100 - MAX_REFUSALS)
    await _pair(client, living["refresh_token"])
    clock.advance(seconds=WAIT_SECONDS)
    assert "retry-after" not in (await client.refresh(tokens["refresh_token"])).headers


async def test_another_client_that_hammers_a_token_waits_and_its_owner_does_not(running: TestGateway) -> None:
    """R10, contract §6: the token will never be good for that client; its owner's next refresh is as good as ever."""
    client, tokens = await signed_in(running)
    other = await oauth.register(running.http, client_name="Other")
    answers = [await other.refresh(tokens["refresh_token"]) for _ in range(MAX_REFUSALS + 1)]
    assert {error_of(answer) for answer in answers} == {"invalid_grant"}
    waits = [answer.headers.get("retry-after") for answer in answers]
    assert waits == [None] * MAX_REFUSALS + [str(WAIT_SECONDS)]
    await _pair(client, tokens["refresh_token"])


async def test_a_token_that_may_come_alive_again_is_never_refused_for_the_count(
    sqlite_url: str, tmp_path: Path, clock: FakeClock
) -> None:
    """R10: a key that is switched off and on again, and a client that asked many times in between."""
    async with running_gateway(sqlite_url, tmp_path, clock=clock) as running, running.administrator() as administrator:
        client, tokens = await signed_in(running)
        key = f"/api/governance/virtual-keys/{KEY_ID}"
        assert (await administrator.put(key, json={"is_active": False})).status_code == 200
        for _ in range(2 * MAX_REFUSALS):
            assert error_of(await client.refresh(tokens["refresh_token"])) == "invalid_grant"
        assert (await administrator.put(key, json={"is_active": True})).status_code == 200
        await _pair(client, tokens["refresh_token"])


async def test_the_pair_is_kept_only_for_who_has_its_predecessor(running: TestGateway) -> None:
    """Contract §6, TC-179: neither the database nor the key ring shows it."""
    client, tokens = await signed_in(running)
    access, refresh = await _pair(client, tokens["refresh_token"])
    stored = repr(await running.rows("refresh_tokens"))
    assert "sealed_successors" in stored
    assert access not in stored
    assert refresh not in stored
