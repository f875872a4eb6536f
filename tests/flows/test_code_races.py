"""An authorization code in two hands at the same moment (contract §6)."""

import asyncio
from typing import Any

import pytest

from bifrost.storage.authserver import SqlAuthServerStore
from tests.flows._tokens import authorized, error_of, opens
from tests.support.gateway import TestGateway

pytestmark = pytest.mark.anyio


async def test_of_two_that_have_both_found_a_code_unused_only_one_is_given_tokens_and_keeps_none(
    running: TestGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    """TC-033, OAuth 2.1 §7.5.2: the claim decides, not the look before it; and two hold the code, so the grant ends."""
    client, code = await authorized(running)
    claim, both = SqlAuthServerStore.redeem_code, asyncio.Barrier(2)

    async def together(*arguments: Any) -> bool:
        async with asyncio.timeout(60):
            await both.wait()
        return await claim(*arguments)

    monkeypatch.setattr(SqlAuthServerStore, "redeem_code", together)
    answers = await asyncio.gather(client.redeem(code), client.redeem(code))
    (given,) = [answer for answer in answers if answer.status_code == 200]
    (refused,) = [answer for answer in answers if answer is not given]
    assert error_of(refused) == "invalid_grant"
    assert await opens(running, given.json()["access_token"]) == 401
    (grant,) = await running.rows("grants")
    assert grant["revoked_reason"] == "authorization_code_replayed"
