"""A secret is good in the one place that it was made for, as a whole, and only while what stands behind it lives."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from bifrost.base.ids import hash_secret
from tests.flows._consent import COOKIE
from tests.flows._mcp import names, with_upstreams
from tests.flows._tokens import error_of, opens, secret_of, signed_in
from tests.support import oauth
from tests.support.clock import FakeClock
from tests.support.gateway import ADMIN_TOKEN, KEY_ID, VIRTUAL_KEY, TestGateway, running_gateway

pytestmark = pytest.mark.anyio

INTROSPECT = "/api/oauth/per-user/introspect"
REVOKE = "/api/oauth/per-user/revoke"
MANAGEMENT = "/api/governance/virtual-keys"
LOCK_SECONDS = 300
LONG = "sk-bf-" + "0123456789abcdefghijklmnopqrstuvwxyz" * 2


async def _everything_secret(running: TestGateway) -> tuple[oauth.OAuthClient, dict[str, str]]:
    """One of each kind, all alive at the same time."""
    metadata = {"token_endpoint_auth_method": "client_secret_post"}
    client, tokens = await signed_in(running, metadata=metadata)
    async with running.browser() as browser:
        flow_id = await oauth.begin(browser, client)
        code = (await oauth.approve(browser, await oauth.begin(browser, client)))["code"]
        cookie = browser.cookies[COOKIE]
    async with running.browser() as browser:
        await browser.post("/api/session/login", json={"token": ADMIN_TOKEN})
        (session,) = browser.cookies.jar
    kinds = {
        "access token": tokens["access_token"],
        "refresh token": tokens["refresh_token"],
        "code": code,
        "virtual key": VIRTUAL_KEY,
        "administrator's token": ADMIN_TOKEN,
        "administrator's session": str(session.value),
        "browser's secret": cookie,
        "flow id": flow_id,
        "client id": client.client_id,
        "client secret": client.registration["client_secret"],
        "verifier": client.verifier,
    }
    return client, kinds


async def _at_mcp(running: TestGateway, _client: oauth.OAuthClient, secret: str) -> bool:
    return await opens(running, secret) == 200


async def _as_code(_running: TestGateway, client: oauth.OAuthClient, secret: str) -> bool:
    return bool((await client.redeem(secret, **secret_of(client))).status_code == 200)


async def _as_refresh_token(_running: TestGateway, client: oauth.OAuthClient, secret: str) -> bool:
    return bool((await client.refresh(secret, **secret_of(client))).status_code == 200)


async def _as_key(running: TestGateway, _client: oauth.OAuthClient, secret: str) -> bool:
    """In the form of a flow of its own, and later than the last lock, so that none hides what is asked."""
    running.clock.advance(seconds=LOCK_SECONDS)
    async with running.browser() as browser:
        flow_id = await oauth.begin(browser, await oauth.register(running.http))
        answer = await oauth.press(browser, "vk", flow_id, virtual_key=secret)
    return "error=" not in answer.headers["location"]


async def _at_management(running: TestGateway, _client: oauth.OAuthClient, secret: str) -> bool:
    running.clock.advance(seconds=LOCK_SECONDS)
    answer = await running.http.get(MANAGEMENT, headers={"Authorization": f"Bearer {secret}"})
    return bool(answer.status_code == 200)


async def _at_introspection(running: TestGateway, _client: oauth.OAuthClient, secret: str) -> bool:
    running.clock.advance(seconds=LOCK_SECONDS)
    headers = {"Authorization": f"Bearer {secret}"}
    return bool((await running.http.post(INTROSPECT, data={"token": "x"}, headers=headers)).status_code == 200)


async def _as_client_secret(_running: TestGateway, client: oauth.OAuthClient, secret: str) -> bool:
    return bool((await client.token(grant_type="refresh_token", client_secret=secret)).status_code != 401)


async def _as_cookie(running: TestGateway, _client: oauth.OAuthClient, secret: str) -> bool:
    """Whether a browser that brings it is known, and keeps it for its next flow."""
    client = await oauth.register(running.http)
    headers = {"Cookie": f"{COOKIE}={secret}"}
    answer = await running.http.get(oauth.AUTHORIZE, params=client.request(), headers=headers)
    return secret in answer.headers.get("set-cookie", "")


PLACES: dict[str, tuple[Callable[[TestGateway, oauth.OAuthClient, str], Awaitable[bool]], set[str]]] = {
    "at /mcp": (_at_mcp, {"access token", "virtual key"}),
    "for a code": (_as_code, {"code"}),
    "for a refresh token": (_as_refresh_token, {"refresh token"}),
    "in the form for keys": (_as_key, {"virtual key"}),
    "at the management API": (_at_management, {"administrator's token"}),
    "at introspection": (_at_introspection, {"administrator's token"}),
    "for a client's secret": (_as_client_secret, {"client secret"}),
    "for a browser's cookie": (_as_cookie, {"browser's secret"}),
}


@pytest.mark.parametrize("place", PLACES)
async def test_every_secret_is_good_in_its_own_place_and_in_no_other(
    sqlite_url: str, tmp_path: Path, clock: FakeClock, place: str
) -> None:
    """TC-045: a code, tokens, a key, a cookie, ids and an administrator's credentials, each tried everywhere."""
    taken_there, expected = PLACES[place]
    async with running_gateway(sqlite_url, tmp_path, clock=clock) as running:
        client, kinds = await _everything_secret(running)
        # the good ones come last: what they use up cannot hide what is taken beside them
        taken = {
            kind
            for kind, secret in sorted(kinds.items(), key=lambda item: item[0] in expected)
            if await taken_there(running, client, secret)
        }
    assert taken == expected


SHAPES: dict[str, Callable[[str], str]] = {
    "its hash": hash_secret,
    "in upper case": str.upper,
    "in another case": str.swapcase,
    "without its last character": lambda token: token[:-1],
    "with one more": lambda token: f"{token}A",
    "with another at the end": lambda token: token[:-1] + ("A" if token[-1] != "A" else "B"),
    "its beginning": lambda token: token[:20],
    "its beginning as a pattern": lambda token: f"{token[:20]}%",
    "a pattern of its length": lambda token: token[:5] + "_" * (len(token) - 5),
    "the prefix alone": lambda token: token[:5],
    "without its prefix": lambda token: token[5:],
    "padded": lambda token: f"{token}=",
    "twice": lambda token: token * 2,
    "with NUL": lambda token: f"{token}%00",
}


@pytest.mark.parametrize("shape", SHAPES)
async def test_an_opaque_token_is_found_as_a_whole_or_not_at_all(running: TestGateway, shape: str) -> None:
    """TC-145, TC-146, contract §6: also while the rows of the right one are kept in memory."""
    client, tokens = await signed_in(running)
    for name in ("access_token", "refresh_token"):
        wrong = SHAPES[shape](tokens[name])
        assert wrong != tokens[name]
        assert await opens(running, tokens["access_token"]) == 200
        assert await opens(running, wrong) == 401
        assert error_of(await client.refresh(wrong)) == "invalid_grant"
    assert await opens(running, tokens["access_token"]) == 200
    assert (await client.refresh(tokens["refresh_token"])).status_code == 200


async def test_two_keys_with_one_long_beginning_are_two_keys(sqlite_url: str, tmp_path: Path) -> None:
    """TC-146, CVE-2026-35030: in both orders, each sees what it may use, and a third of their kind is nobody."""
    values = [f"{LONG}{end}" for end in ("a", "b")]
    narrow = {"mcp_client_name": "one", "tools_to_execute": ["*"]}
    keys: list[dict[str, Any]] = [
        {"id": "vk-a", "name": "a", "value": values[0], "mcp_configs": [narrow]},
        {"id": "vk-b", "name": "b", "value": values[1]},
    ]
    nobody = {"name": "one", "connection_string": "http://127.0.0.1:9/mcp", "tools_to_execute": ["*"]}
    async with with_upstreams(sqlite_url, tmp_path, nobody, governance={"virtual_keys": keys}) as running:
        for number in (0, 1, 0, 1):
            answer = await running.http.post(
                "/mcp",
                json={"jsonrpc": "2.0", "id": 1, "method": "tools/list"},
                headers={"x-bf-vk": values[number]},
            )
            # whoever may use the upstream hears that it is down; whoever may not does not hear of it
            assert ("one" in answer.text) is (number == 0)
        assert await names(running.http, headers={"x-bf-vk": values[1]}) == []
        assert await opens(running, f"{LONG}c") == 401
        assert await opens(running, LONG) == 401


@pytest.mark.parametrize("end", ["deactivated", "deleted", "expired"])
async def test_refreshing_ends_with_the_key_that_gave_consent(running: TestGateway, end: str) -> None:
    """TC-191, contract §6: however the key ends; the same grant works until then."""
    client, tokens = await signed_in(running)
    tokens = (await client.refresh(tokens["refresh_token"])).json()
    async with running.administrator() as administrator:
        address = f"{MANAGEMENT}/{KEY_ID}"
        if end == "deleted":
            answer = await administrator.delete(address)
        elif end == "deactivated":
            answer = await administrator.put(address, json={"is_active": False})
        else:
            answer = await administrator.put(address, json={"expires_at": "2027-01-15T08:00:30Z"})
        assert answer.is_success, answer.text
    if end == "expired":
        assert await opens(running, tokens["access_token"]) == 200
        running.clock.advance(seconds=30)
    assert error_of(await client.refresh(tokens["refresh_token"])) == "invalid_grant"
    assert await opens(running, tokens["access_token"]) == 401


@pytest.mark.parametrize("name", ["refresh_token", "access_token"])
async def test_a_token_without_its_client_changes_nothing(running: TestGateway, name: str) -> None:
    """TC-190, TC-194: nobody refreshes or gives back without saying who they are; the grant stays as it was."""
    client, tokens = await signed_in(running)
    form = {"grant_type": "refresh_token", name: tokens[name], "token": tokens[name]}
    for more in ({}, {"client_id": ""}):
        for path in (oauth.TOKEN, REVOKE):
            answer = await running.http.post(path, data={**form, **more})
            assert answer.status_code in (400, 401), path
            assert answer.json()["error"] in ("invalid_request", "invalid_client")
    assert await opens(running, tokens["access_token"]) == 200
    assert (await client.refresh(tokens["refresh_token"])).status_code == 200
