"""A refresh token that is presented again (contract §6): lost answers and races are no theft, foreign hands are."""

import asyncio
from typing import Any

import pytest

from tests.flows._tokens import error_of, opens, signed_in
from tests.support import oauth
from tests.support.clock import FakeClock
from tests.support.gateway import TestGateway

pytestmark = pytest.mark.anyio


async def _refreshed(client: oauth.OAuthClient, token: str) -> dict[str, Any]:
    answer = await client.refresh(token)
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


@pytest.mark.parametrize("seconds", [0, 29, 31, 300, 86_399])
async def test_while_the_successor_is_unused_its_predecessor_gives_the_same_pair(
    running: TestGateway, clock: FakeClock, seconds: int
) -> None:
    """Contract §6, R1, R4: the answer may have been lost; up to 24 hours the client may ask again."""
    client, tokens = await signed_in(running)
    first = await _refreshed(client, tokens["refresh_token"])
    clock.advance(seconds=seconds)
    again = await _refreshed(client, tokens["refresh_token"])
    assert again["refresh_token"] == first["refresh_token"]
    assert again["access_token"] == first["access_token"]


async def test_within_thirty_seconds_the_predecessor_is_good_although_its_successor_was_used(
    running: TestGateway, clock: FakeClock
) -> None:
    """Contract §6, R1: several programs share one stored token, and one of them is late."""
    client, tokens = await signed_in(running)
    first = await _refreshed(client, tokens["refresh_token"])
    await _refreshed(client, first["refresh_token"])
    clock.advance(seconds=29)
    assert (await _refreshed(client, tokens["refresh_token"]))["refresh_token"] == first["refresh_token"]


async def test_parallel_refreshes_with_one_token_get_one_pair(running: TestGateway) -> None:
    """Contract §6, R1, R2, D4: nobody is logged out, and no second family grows."""
    client, tokens = await signed_in(running)
    answers = await asyncio.gather(*(client.refresh(tokens["refresh_token"]) for _ in range(8)))
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.json()["refresh_token"] for answer in answers}) == 1
    assert len(await running.rows("refresh_tokens")) == 2


async def test_a_predecessor_whose_successor_was_used_ends_the_grant_after_the_window(
    running: TestGateway, clock: FakeClock
) -> None:
    """Contract §6, R3."""
    client, tokens = await signed_in(running)
    first = await _refreshed(client, tokens["refresh_token"])
    second = await _refreshed(client, first["refresh_token"])
    clock.advance(seconds=31)
    assert error_of(await client.refresh(tokens["refresh_token"])) == "invalid_grant"
    assert await opens(running, second["access_token"]) == 401


async def test_a_predecessor_in_another_clients_hands_ends_the_grant(running: TestGateway) -> None:
    """Contract §6, R5: no thief can hide behind the window."""
    client, tokens = await signed_in(running)
    fresh = await _refreshed(client, tokens["refresh_token"])
    thief = await oauth.register(running.http, client_name="Thief")
    assert error_of(await thief.refresh(tokens["refresh_token"])) == "invalid_grant"
    assert await opens(running, fresh["access_token"]) == 401
