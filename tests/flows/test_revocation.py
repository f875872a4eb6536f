"""A client gives a token back (RFC 7009)."""

import pytest

from tests.support import oauth
from tests.support.gateway import TestGateway

pytestmark = pytest.mark.anyio

REVOKE = "/api/oauth/per-user/revoke"


async def status_at_mcp(running: TestGateway, access_token: str) -> int:
    answer = await running.http.post(
        "/mcp",
        json={"jsonrpc": "2.0", "id": 1, "method": "tools/list"},
        headers={"Authorization": f"Bearer {access_token}"},
    )
    return answer.status_code


async def test_a_refresh_token_takes_its_grant_along(running: TestGateway) -> None:
    """A90, RFC 7009 §2.1, TC-194: access and refresh token are dead with the next request."""
    async with running.browser() as browser:
        client, tokens = await oauth.signed_in(running.http, browser)
    answer = await running.http.post(REVOKE, data={"client_id": client.client_id, "token": tokens["refresh_token"]})
    assert (answer.status_code, answer.content, answer.headers["cache-control"]) == (200, b"", "no-store")
    assert await status_at_mcp(running, tokens["access_token"]) == 401
    assert (await client.refresh(tokens["refresh_token"])).json()["error"] == "invalid_grant"


async def test_nobody_elses_token_goes_with_it(running: TestGateway) -> None:
    """RFC 7009 §2.1: of two sign-ins one goes on."""
    async with running.browser() as first, running.browser() as second:
        client, tokens = await oauth.signed_in(running.http, first)
        _, others = await oauth.signed_in(running.http, second)
    await running.http.post(REVOKE, data={"client_id": client.client_id, "token": tokens["access_token"]})
    assert await status_at_mcp(running, tokens["access_token"]) == 401
    assert await status_at_mcp(running, others["access_token"]) == 200


async def test_an_access_token_goes_alone(running: TestGateway) -> None:
    """RFC 7009 §2.1: the client can still refresh."""
    async with running.browser() as browser:
        client, tokens = await oauth.signed_in(running.http, browser)
    form = {"client_id": client.client_id, "token": tokens["access_token"], "token_type_hint": "refresh_token"}
    assert (await running.http.post(REVOKE, data=form)).status_code == 200
    assert await status_at_mcp(running, tokens["access_token"]) == 401
    assert (await client.refresh(tokens["refresh_token"])).status_code == 200


@pytest.mark.parametrize("which", ["access_token", "refresh_token"])
async def test_a_token_of_another_client_is_left_alone(running: TestGateway, which: str) -> None:
    """A90, RFC 7009 §2.1, TC-194: 200, and no effect."""
    async with running.browser() as browser:
        _client, tokens = await oauth.signed_in(running.http, browser)
    other = await oauth.register(running.http, client_name="Other")
    answer = await running.http.post(REVOKE, data={"client_id": other.client_id, "token": tokens[which]})
    assert answer.status_code == 200
    assert await status_at_mcp(running, tokens["access_token"]) == 200


@pytest.mark.parametrize("token", ["bfat_unknown", "bfrt_unknown", "anything"])
async def test_an_unknown_token_is_no_error(running: TestGateway, token: str) -> None:
    """A90, RFC 7009 §2.2: what the client wanted is already so."""
    client = await oauth.register(running.http)
    answer = await running.http.post(REVOKE, data={"client_id": client.client_id, "token": token})
    assert answer.status_code == 200


async def test_a_confidential_client_must_authenticate(running: TestGateway) -> None:
    """A90, RFC 7009 §2.1: as at the token endpoint."""
    client = await oauth.register(running.http, token_endpoint_auth_method="client_secret_post")
    form = {"client_id": client.client_id, "token": "bfat_unknown"}
    refused = await running.http.post(REVOKE, data=form)
    assert (refused.status_code, refused.json()["error"]) == (401, "invalid_client")
    form["client_secret"] = client.registration["client_secret"]
    assert (await running.http.post(REVOKE, data=form)).status_code == 200


async def test_what_is_not_a_revocation_request_is_refused(running: TestGateway) -> None:
    """RFC 7009 §2: a form by POST, with a token."""
    client = await oauth.register(running.http)
    missing = await running.http.post(REVOKE, data={"client_id": client.client_id})
    assert (missing.status_code, missing.json()["error"]) == (400, "invalid_request")
    assert (await running.http.get(REVOKE)).status_code == 405
    unknown = await running.http.post(REVOKE, data={"client_id": "nobody", "token": "bfat_unknown"})
    assert unknown.status_code == 401
