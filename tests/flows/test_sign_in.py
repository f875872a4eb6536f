"""The whole story: register, authorize, consent, token, refresh."""

from pathlib import Path

import pytest

from bifrost.base.ids import hash_secret
from tests.support import oauth
from tests.support.clock import FakeClock
from tests.support.gateway import ISSUER, KEY_ID, TestGateway, running_gateway

pytestmark = pytest.mark.anyio


async def test_a_person_approves_with_a_key_and_the_client_gets_tokens(
    database_url: str, tmp_path: Path, clock: FakeClock
) -> None:
    """Contract §§3-6, on both databases."""
    async with running_gateway(database_url, tmp_path, clock=clock) as running, running.browser() as browser:
        client = await oauth.register(running.http)
        flow_id = await oauth.begin(browser, client)
        response = await oauth.approve(browser, flow_id)
        assert (response["state"], response["iss"]) == (client.state, ISSUER)

        tokens = (await client.redeem(response["code"])).json()
        assert tokens["token_type"] == "Bearer"
        assert tokens["scope"] == "mcp:read mcp:write"
        assert tokens["expires_in"] == 86_400
        assert tokens["access_token"].startswith("bfat_")
        assert tokens["refresh_token"].startswith("bfrt_")

        refreshed = (await client.refresh(tokens["refresh_token"])).json()
        assert refreshed["refresh_token"] != tokens["refresh_token"]

        (grant,) = await running.rows("grants")
        assert (grant["identity_kind"], grant["identity_id"]) == ("vk", KEY_ID)
        stored = {row["token_hash"] for row in await running.rows("access_tokens")}
        assert stored == {hash_secret(tokens["access_token"]), hash_secret(refreshed["access_token"])}


async def test_the_access_token_opens_the_mcp_endpoint(running: TestGateway) -> None:
    """Contract §7: the token is for /mcp and is accepted there."""
    async with running.browser() as browser:
        _client, tokens = await oauth.signed_in(running.http, browser)
    answer = await running.http.post(
        "/mcp",
        json={"jsonrpc": "2.0", "id": 1, "method": "tools/list"},
        headers={"Authorization": f"Bearer {tokens['access_token']}"},
    )
    assert answer.status_code == 200
    assert answer.json() == {"jsonrpc": "2.0", "id": 1, "result": {"tools": []}}
