"""A virtual key that ends in the middle of what somebody does with it, and one that comes back (contract §§5, 6)."""

from pathlib import Path

import pytest

from tests.flows._tokens import error_of, opens
from tests.support import oauth
from tests.support.clock import FakeClock
from tests.support.gateway import KEY_ID, VIRTUAL_KEY, TestGateway, running_gateway

pytestmark = pytest.mark.anyio

KEY = f"/api/governance/virtual-keys/{KEY_ID}"
ENDS = {
    "governance": {
        "virtual_keys": [
            {
                "id": KEY_ID,
                "name": "test",
                "value": VIRTUAL_KEY,
                "expires_at": "2027-01-15T08:02:00Z",
            }
        ]
    }
}
"""Two minutes after the clock's beginning."""


async def _change(running: TestGateway, **members: object) -> None:
    async with running.administrator() as administrator:
        answer = await administrator.put(KEY, json=members)
        assert answer.status_code == 200, answer.text


async def test_a_key_that_expires_on_the_consent_pages_gives_no_code(
    database_url: str, tmp_path: Path, clock: FakeClock
) -> None:
    """Contract §5: judged at every step, so the last one sends the person back to choose again."""
    async with running_gateway(database_url, tmp_path, clock=clock, **ENDS) as running, running.browser() as browser:
        client = await oauth.register(running.http)
        flow_id = await oauth.begin(browser, client)
        csrf = await oauth.csrf_of(browser, flow_id)
        chosen = await oauth.press(browser, "vk", flow_id, csrf=csrf, virtual_key=VIRTUAL_KEY)
        assert chosen.headers["location"].startswith("/oauth/consent/mcps")
        clock.advance(seconds=120)
        submitted = await oauth.press(browser, "submit", flow_id, csrf=csrf)
        assert submitted.headers["location"].startswith("/oauth/consent?")
        assert await running.rows("grants") == []
        await _change(running, expires_at=None)
        submitted = await oauth.press(browser, "submit", flow_id, csrf=csrf)
        assert "code=" in submitted.headers["location"]


async def test_a_key_that_expires_ends_codes_and_tokens_until_it_is_prolonged(
    database_url: str, tmp_path: Path, clock: FakeClock
) -> None:
    """Contract §6: at once, and nothing that was asked meanwhile burns anything."""
    async with running_gateway(database_url, tmp_path, clock=clock, **ENDS) as running, running.browser() as browser:
        client, tokens = await oauth.signed_in(running.http, browser)
        waiting = (await oauth.approve(browser, await oauth.begin(browser, client)))["code"]
        assert await opens(running, tokens["access_token"]) == 200
        clock.advance(seconds=120)
        assert await opens(running, tokens["access_token"]) == 401
        assert error_of(await client.refresh(tokens["refresh_token"])) == "invalid_grant"
        assert error_of(await client.redeem(waiting)) == "invalid_grant"
        await _change(running, expires_at="2027-01-15T09:00:00Z")
        assert await opens(running, tokens["access_token"]) == 200
        assert (await client.redeem(waiting)).status_code == 200
        renewed = await client.refresh(tokens["refresh_token"])
        assert renewed.status_code == 200
        assert await opens(running, renewed.json()["access_token"]) == 200


async def test_a_repetition_shows_nothing_while_the_key_is_switched_off(
    database_url: str, tmp_path: Path, clock: FakeClock
) -> None:
    """Contract §6: neither the successors of a used token are given out, nor does asking end the grant."""
    async with running_gateway(database_url, tmp_path, clock=clock) as running, running.browser() as browser:
        client, tokens = await oauth.signed_in(running.http, browser)
        pair = (await client.refresh(tokens["refresh_token"])).json()
        await _change(running, is_active=False)
        clock.advance(seconds=31)
        assert error_of(await client.refresh(tokens["refresh_token"])) == "invalid_grant"
        assert error_of(await client.refresh(pair["refresh_token"])) == "invalid_grant"
        await _change(running, is_active=True)
        assert (await client.refresh(pair["refresh_token"])).status_code == 200
