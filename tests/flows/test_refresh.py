"""Refresh tokens (contract §6): every use rotates, scope and resource stay, and what is dead is an invalid_grant."""

from pathlib import Path
from typing import Any

import pytest

from tests.flows._tokens import assert_token_headers, authorized, error_of, opens, signed_in
from tests.support import oauth
from tests.support.clock import FakeClock
from tests.support.gateway import ISSUER, KEY_ID, TestGateway, running_gateway, upstream

pytestmark = pytest.mark.anyio

HOUR = 3_600
LIFETIMES = {"access_token_ttl": 600, "refresh_token_idle_ttl": HOUR, "refresh_token_absolute_ttl": 2 * HOUR}


async def _rotated(client: oauth.OAuthClient, tokens: dict[str, Any], **changes: Any) -> dict[str, Any]:
    answer = await client.refresh(tokens["refresh_token"], **changes)
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


async def test_refreshing_gives_a_new_pair_of_the_same_kind(running: TestGateway) -> None:
    """Contract §6, TC-187: same scope, same grant, new values, and the access token works."""
    client, tokens = await signed_in(running, scope="mcp:read")
    answer = await client.refresh(tokens["refresh_token"])
    assert_token_headers(answer)
    fresh = answer.json()
    assert set(fresh) == set(tokens)
    assert (fresh["scope"], fresh["token_type"], fresh["expires_in"]) == ("mcp:read", "Bearer", 86_400)
    assert not {fresh["access_token"], fresh["refresh_token"]} & {tokens["access_token"], tokens["refresh_token"]}
    assert await opens(running, fresh["access_token"]) == 200
    assert len(await running.rows("grants")) == 1


async def test_a_chain_of_refreshes_goes_on(running: TestGateway, clock: FakeClock) -> None:
    """Contract §6: each successor is good for the next step."""
    client, tokens = await signed_in(running)
    for _ in range(5):
        clock.advance(seconds=HOUR)
        tokens = await _rotated(client, tokens)
        assert await opens(running, tokens["access_token"]) == 200


async def test_an_old_refresh_token_ends_the_whole_grant(running: TestGateway, clock: FakeClock) -> None:
    """A58, contract §6, TC-188: the successor was used and the window is over, so the token is in two hands."""
    client, first = await signed_in(running)
    second = await _rotated(client, first)
    clock.advance(seconds=31)
    third = await _rotated(client, second)
    clock.advance(seconds=31)
    assert await opens(running, third["access_token"]) == 200
    assert error_of(await client.refresh(first["refresh_token"])) == "invalid_grant"
    for tokens in (first, second, third):
        assert await opens(running, tokens["access_token"]) == 401
        assert error_of(await client.refresh(tokens["refresh_token"])) == "invalid_grant"
    (grant,) = await running.rows("grants")
    assert grant["revoked_reason"] == "refresh_token_reused"


async def test_ending_one_grant_leaves_the_clients_other_one(running: TestGateway, clock: FakeClock) -> None:
    """R11, TC-188: the family is the grant, not the client."""
    client, first = await signed_in(running)
    _again, other = await signed_in(running)
    second = await _rotated(client, first)
    clock.advance(seconds=31)
    await _rotated(client, second)
    clock.advance(seconds=31)
    await client.refresh(first["refresh_token"])
    assert await opens(running, other["access_token"]) == 200


async def test_a_used_token_is_remembered_over_a_restart(sqlite_url: str, tmp_path: Path, clock: FakeClock) -> None:
    """TC-192, R6: no state of a grant is kept in memory."""
    async with running_gateway(sqlite_url, tmp_path, clock=clock) as running:
        client, first = await signed_in(running)
        second = await _rotated(client, first)
        clock.advance(seconds=31)
        third = await _rotated(client, second)
        clock.advance(seconds=31)
    async with running_gateway(sqlite_url, tmp_path, clock=clock) as running:
        client.http = running.http
        assert await opens(running, third["access_token"]) == 200
        assert error_of(await client.refresh(first["refresh_token"])) == "invalid_grant"
        assert await opens(running, third["access_token"]) == 401


async def test_refreshing_without_a_scope_keeps_the_scope(running: TestGateway) -> None:
    """R8: absent and empty mean the same as granted."""
    client, tokens = await signed_in(running)
    for changes in ({}, {"scope": ""}):
        tokens = await _rotated(client, tokens, **changes)
        assert tokens["scope"] == "mcp:read mcp:write"


@pytest.mark.parametrize("narrower", ["mcp:read", "mcp:read openid", "offline_access mcp:read"])
async def test_a_narrower_scope_narrows_the_token_and_not_the_grant(running: TestGateway, narrower: str) -> None:
    """R8, A59: the next refresh may ask for everything again."""
    client, tokens = await signed_in(running)
    narrow = await _rotated(client, tokens, scope=narrower)
    assert narrow["scope"] == "mcp:read"
    assert (await _rotated(client, narrow))["scope"] == "mcp:read mcp:write"


@pytest.mark.parametrize("wider", ["mcp:write", "mcp:read mcp:write", "mcp:read  mcp:write"])
async def test_a_wider_scope_is_refused_and_the_token_stays_good(running: TestGateway, wider: str) -> None:
    """A59, R8, TC-048: invalid_scope, and nothing is used up."""
    client, tokens = await signed_in(running, scope="mcp:read")
    assert error_of(await client.refresh(tokens["refresh_token"], scope=wider)) == "invalid_scope"
    assert (await _rotated(client, tokens))["scope"] == "mcp:read"


@pytest.mark.parametrize("scope", ["admin", "admin root", "MCP:WRITE", " ".join(["x"] * 200)])
async def test_an_unknown_scope_never_gives_more(running: TestGateway, scope: str) -> None:
    """TC-048: refused or dropped."""
    client, tokens = await signed_in(running, scope="mcp:read")
    answer = await client.refresh(tokens["refresh_token"], scope=scope)
    if answer.status_code == 200:
        assert answer.json()["scope"] == "mcp:read"
    else:
        assert error_of(answer) == "invalid_scope"


@pytest.mark.parametrize("resource", [None, f"{ISSUER}/mcp", f"{ISSUER}/mcp/", ISSUER])
async def test_the_resource_stays_whether_it_is_repeated_or_not(running: TestGateway, resource: str | None) -> None:
    """R9."""
    client, tokens = await signed_in(running)
    changes = {} if resource is None else {"resource": resource}
    assert await opens(running, (await _rotated(client, tokens, **changes))["access_token"]) == 200


async def test_another_resource_is_refused_and_the_token_stays_good(sqlite_url: str, tmp_path: Path) -> None:
    """A59, R9: an endpoint of ours, a foreign one, and ours beside a foreign one."""
    notes = upstream("notes", "http://127.0.0.1:9/mcp")
    async with running_gateway(sqlite_url, tmp_path, mcp={"client_configs": [notes]}) as running:
        client, tokens = await signed_in(running)
        wrong = (f"{ISSUER}/mcp/notes", "https://evil.test/mcp", [f"{ISSUER}/mcp", f"{ISSUER}/mcp/notes"])
        for resource in wrong:
            answer = await client.refresh(tokens["refresh_token"], resource=resource)
            assert error_of(answer) == "invalid_target"
        fresh = await _rotated(client, tokens)
        assert await opens(running, fresh["access_token"]) == 200
        assert await opens(running, fresh["access_token"], "/mcp/notes") == 401


@pytest.mark.parametrize("state", ["unknown", "garbage", "an access token", "its own hash", "expired", "foreign"])
async def test_a_dead_refresh_token_is_an_invalid_grant(running: TestGateway, clock: FakeClock, state: str) -> None:
    """R7: always 400 invalid_grant in one wording, so that the client authorizes again."""
    client, tokens = await signed_in(running)
    thief = await oauth.register(running.http, client_name="Thief")
    asking, presented = client, tokens["refresh_token"]
    if state == "unknown":
        presented = "bfrt_unknown"
    elif state == "garbage":
        presented = "' OR 1=1--"
    elif state == "an access token":
        presented = tokens["access_token"]
    elif state == "its own hash":
        (row,) = await running.rows("refresh_tokens")
        presented = row["token_hash"]
    elif state == "expired":
        clock.advance(seconds=86_400 * 30)
    else:
        asking = thief
    answer = await asking.refresh(presented)
    assert error_of(answer) == "invalid_grant"
    assert answer.json()["error_description"] == (await client.refresh("bfrt_x")).json()["error_description"]


async def test_a_consumed_or_revoked_refresh_token_reads_like_an_unknown_one(
    running: TestGateway, clock: FakeClock
) -> None:
    """R7: the last two of the five states."""
    client, first = await signed_in(running)
    second = await _rotated(client, first)
    clock.advance(seconds=31)
    await _rotated(client, second)
    clock.advance(seconds=31)
    unknown = (await client.refresh("bfrt_x")).json()
    consumed = await client.refresh(first["refresh_token"])
    revoked = await client.refresh(first["refresh_token"])
    for answer in (consumed, revoked):
        assert error_of(answer) == "invalid_grant"
        assert answer.json() == unknown


async def test_the_refresh_token_is_missing(running: TestGateway) -> None:
    """RFC 6749 §5.2: a request that lacks a parameter is wrong, not dead."""
    client, _tokens = await signed_in(running)
    assert error_of(await client.token(grant_type="refresh_token")) == "invalid_request"
    assert error_of(await client.refresh("")) == "invalid_request"


@pytest.mark.parametrize(("seconds", "status"), [(HOUR - 1, 200), (HOUR, 400)])
async def test_an_unused_refresh_token_expires(
    sqlite_url: str, tmp_path: Path, clock: FakeClock, seconds: int, status: int
) -> None:
    """A59, contract §6, TC-193: idle expiry. An end that was due is not taken for a theft."""
    async with running_gateway(sqlite_url, tmp_path, clock=clock, client=LIFETIMES) as running:
        client, tokens = await signed_in(running)
        clock.advance(seconds=seconds)
        assert (await client.refresh(tokens["refresh_token"])).status_code == status
        (grant,) = await running.rows("grants")
        assert grant["revoked_reason"] is None


async def test_no_amount_of_use_outlives_the_absolute_limit(sqlite_url: str, tmp_path: Path, clock: FakeClock) -> None:
    """Contract §6, TC-193: counted from the consent; lifetimes shrink towards it and are never negative."""
    async with running_gateway(sqlite_url, tmp_path, clock=clock, client=LIFETIMES) as running:
        client, tokens = await signed_in(running)
        assert tokens["expires_in"] == 600
        for _ in range(3):
            clock.advance(seconds=HOUR / 2)
            tokens = await _rotated(client, tokens)
            assert tokens["expires_in"] == 600
        clock.advance(seconds=HOUR / 2 - 1)
        tokens = await _rotated(client, tokens)
        assert tokens["expires_in"] == 1
        assert await opens(running, tokens["access_token"]) == 200
        clock.advance(seconds=1)
        assert await opens(running, tokens["access_token"]) == 401
        assert error_of(await client.refresh(tokens["refresh_token"])) == "invalid_grant"


async def test_a_deactivated_key_ends_its_tokens(running: TestGateway) -> None:
    """Contract §6, TC-191, TC-147: at the next request, for access and refresh token alike."""
    client, tokens = await signed_in(running)
    await running.gateway.virtual_keys.revoke(KEY_ID)
    assert await opens(running, tokens["access_token"]) == 401
    assert error_of(await client.refresh(tokens["refresh_token"])) == "invalid_grant"


async def test_anonymous_sessions_end_when_they_are_no_longer_allowed(
    sqlite_url: str, tmp_path: Path, clock: FakeClock
) -> None:
    """TC-191: skip mode switched off."""
    async with running_gateway(sqlite_url, tmp_path, clock=clock) as running, running.browser() as browser:
        client = await oauth.register(running.http)
        flow_id = await oauth.begin(browser, client)
        await oauth.press(browser, "skip", flow_id)
        code = oauth.response_of(await oauth.press(browser, "submit", flow_id))["code"]
        tokens = (await client.redeem(code)).json()
        assert await opens(running, tokens["access_token"]) == 200
    enforced = {"enforce_auth_on_inference": True}
    async with running_gateway(sqlite_url, tmp_path, clock=clock, client=enforced) as running:
        client.http = running.http
        assert await opens(running, tokens["access_token"]) == 401
        assert error_of(await client.refresh(tokens["refresh_token"])) == "invalid_grant"


async def test_a_client_that_did_not_register_refreshing_gets_no_refresh_token(running: TestGateway) -> None:
    """RFC 7591 §2: grant_types are what the client may use."""
    client, code = await authorized(running, metadata={"grant_types": ["authorization_code"]})
    answer = await client.redeem(code)
    assert set(answer.json()) == {"access_token", "token_type", "expires_in", "scope"}
    assert await running.rows("refresh_tokens") == []
    (grant,), (token,) = await running.rows("grants"), await running.rows("access_tokens")
    assert grant["expires_at"] == token["expires_at"], "nobody can use it any longer, so it is not shown as if"
    _other, tokens = await signed_in(running)
    assert error_of(await client.refresh(tokens["refresh_token"])) == "unauthorized_client"


async def test_only_hashes_of_tokens_are_stored(running: TestGateway) -> None:
    """Contract §6, TC-179."""
    client, tokens = await signed_in(running)
    fresh = await _rotated(client, tokens)
    stored = repr([await running.rows(table) for table in ("access_tokens", "refresh_tokens", "grants")])
    for pair in (tokens, fresh):
        assert pair["access_token"] not in stored
        assert pair["refresh_token"] not in stored
    for row in await running.rows("access_tokens"):
        assert await opens(running, row["token_hash"]) == 401


async def test_storage_that_does_not_answer_uses_nothing_up(running: TestGateway) -> None:
    """Contract §2: 503, and the same token works afterwards."""
    client, tokens = await signed_in(running)
    await running.gateway.database.close()
    assert error_of(await client.refresh(tokens["refresh_token"]), 503) == "temporarily_unavailable"
    await running.gateway.database.open()
    await _rotated(client, tokens)
