"""The management API's view of grants issued to clients (contract §9)."""

from typing import Any

import pytest

from tests.flows._tokens import error_of, opens, signed_in
from tests.support.gateway import KEY_ID, TestGateway

pytestmark = pytest.mark.anyio

SESSIONS = "/api/oauth2/sessions"


async def _list(running: TestGateway, **query: Any) -> dict[str, Any]:
    async with running.administrator() as administrator:
        answer = await administrator.get(SESSIONS, params=query)
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


async def test_a_grant_is_listed_with_who_gave_what_to_whom(running: TestGateway) -> None:
    """Contract §9."""
    client, tokens = await signed_in(running, scope="mcp:read")
    listed = await _list(running)
    (session,) = listed.pop("sessions")
    assert listed == {"count": 1, "total_count": 1, "limit": 50, "offset": 0}
    assert session["client_id"] == client.client_id
    assert session["client_name"] == "Test client"
    assert session["identity"] == {"kind": "vk", "id": KEY_ID}
    assert (session["scope"], session["resource"]) == ("mcp:read", "/mcp")
    assert "revoked_at" not in session
    assert tokens["access_token"] not in str(session)


async def test_the_newest_come_first_and_pages_do_not_overlap(running: TestGateway) -> None:
    """Contract §9: `limit` and `offset`."""
    for _ in range(3):
        await signed_in(running)
        running.clock.advance(seconds=1)
    everything = [session["id"] for session in (await _list(running))["sessions"]]
    created = [session["created_at"] for session in (await _list(running))["sessions"]]
    assert created == sorted(created, reverse=True)
    page = await _list(running, limit=2, offset=1)
    assert [session["id"] for session in page["sessions"]] == everything[1:]
    assert (page["count"], page["total_count"]) == (2, 3)


async def test_the_list_is_narrowed_by_client_identity_and_state(running: TestGateway) -> None:
    """Contract §9: filters."""
    client, tokens = await signed_in(running)
    await signed_in(running, metadata={"client_name": "Other"})
    assert (await _list(running, client_id=client.client_id))["total_count"] == 1
    assert (await _list(running, identity_id=KEY_ID))["total_count"] == 2
    assert (await _list(running, identity_id="nobody"))["total_count"] == 0
    form = {"client_id": client.client_id, "token": tokens["refresh_token"]}
    await running.http.post("/api/oauth/per-user/revoke", data=form)
    assert (await _list(running, active="true"))["total_count"] == 1
    (ended,) = (await _list(running, client_id=client.client_id))["sessions"]
    assert ended["revoked_reason"] == "revoked_by_client"
    running.clock.advance(seconds=86_400 * 181)
    assert (await _list(running, active="true"))["total_count"] == 0


async def test_ending_a_grant_ends_its_tokens_at_once(running: TestGateway) -> None:
    """A60, contract §6, TC-147: for the access token and the refresh token; other grants go on."""
    client, tokens = await signed_in(running)
    (grant,) = await running.rows("grants")
    _again, other = await signed_in(running)
    assert await opens(running, tokens["access_token"]) == 200
    async with running.administrator() as administrator:
        for _ in range(2):
            assert (await administrator.delete(f"{SESSIONS}/{grant['id']}")).status_code == 204
        unknown = await administrator.delete(f"{SESSIONS}/grant_unknown")
    assert (unknown.status_code, unknown.json()["error"]["code"]) == (404, "session_not_found")
    assert await opens(running, tokens["access_token"]) == 401
    assert error_of(await client.refresh(tokens["refresh_token"])) == "invalid_grant"
    assert await opens(running, other["access_token"]) == 200


@pytest.mark.parametrize("method", ["GET", "DELETE"])
async def test_nobody_but_an_administrator_sees_or_ends_them(running: TestGateway, method: str) -> None:
    """Contract §9: nothing in /api works without an administrator's credential."""
    _client, tokens = await signed_in(running)
    path = SESSIONS if method == "GET" else f"{SESSIONS}/grant_x"
    for headers in ({}, {"Authorization": f"Bearer {tokens['access_token']}"}):
        assert (await running.http.request(method, path, headers=headers)).status_code == 401


async def test_a_filter_that_does_not_exist_is_refused(running: TestGateway) -> None:
    """Contract §2: a misspelt filter would show everything."""
    async with running.administrator() as administrator:
        answer = await administrator.get(SESSIONS, params={"clientid": "x"})
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "clientid")
