"""Attacks on registration and on a sign-in that no other story tells."""

import asyncio
import re
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.flows import _connecting as connecting
from tests.flows._consent import ACTIONS, COOKIE, PAGES, shows_nothing_of, sign_in
from tests.flows._raw import ask, everything
from tests.support import oauth
from tests.support.clock import FakeClock
from tests.support.gateway import VIRTUAL_KEY, TestGateway, running_gateway
from tests.support.oauth import REGISTER
from tests.support.oauth_upstream import OAuthUpstream

pytestmark = pytest.mark.anyio

MINUTES = 15 * 60


@pytest.mark.parametrize("method", ["none", "client_secret_post", "client_secret_basic", None])
async def test_a_secret_says_when_it_ends_and_nobody_else_does(running: TestGateway, method: str | None) -> None:
    """R19, R20: strict clients want client_secret_expires_at beside a secret, and neither without one."""
    body = {"redirect_uris": ["http://127.0.0.1/cb"], "token_endpoint_auth_method": method}
    answer = (await running.http.post(REGISTER, json=body)).json()
    assert ("client_secret" in answer) is (method not in ("none", None))
    assert ("client_secret_expires_at" in answer) is ("client_secret" in answer)
    assert answer.get("client_secret_expires_at", 0) == 0


async def test_ten_megabytes_are_refused_unread(running: TestGateway) -> None:
    """R18, TC-087: the declared length is enough to know."""
    before = await everything(running)
    headers = [("content-type", "application/json"), ("content-length", str(10 * 1024 * 1024))]
    answer = await ask(running, REGISTER, method="POST", headers=headers, body=b"")
    assert answer.status_code == 413
    assert await everything(running) == before


async def test_an_address_that_is_switched_off_says_nothing_and_keeps_nothing(sqlite_url: str, tmp_path: Path) -> None:
    """TC-094, contract §1: mode `headers` has no authorization server, whatever is asked of it."""
    async with running_gateway(sqlite_url, tmp_path, client={"mcp_server_auth_mode": "headers"}) as running:
        before = await everything(running)
        for method, path in (
            ("POST", REGISTER),
            ("GET", f"{oauth.AUTHORIZE}?client_id=https://app.example.com/client.json"),
            ("POST", oauth.TOKEN),
            ("GET", "/.well-known/oauth-authorization-server"),
            ("GET", "/.well-known/oauth-protected-resource/mcp"),
            ("POST", f"{oauth.CONSENT}/continue"),
        ):
            answer = await running.http.request(method, path)
            assert answer.status_code == 404, path
            assert answer.headers["content-type"].startswith("text/plain")
        assert await everything(running) == before


async def test_another_browser_cannot_use_a_flow_and_does_not_disturb_it(running: TestGateway) -> None:
    """TC-053, R57: its addresses opened elsewhere show nothing and do nothing; its own browser still finishes."""
    async with sign_in(running) as flow, sign_in(running) as stranger:
        await flow.press("vk", virtual_key=VIRTUAL_KEY)
        for page in PAGES:
            seen = await stranger.browser.get(page, params={"flow_id": flow.flow_id})
            assert seen.status_code == 403
            assert shows_nothing_of(seen, flow)
        for action in (*ACTIONS, "continue"):
            answer = await flow.post(action, stranger.cookie)
            assert answer.status_code == 403, action
        upstream = "/api/oauth/per-user/upstream/authorize"
        query = {"flow_id": flow.flow_id, "mcp_client_id": "any"}
        assert (await stranger.browser.get(upstream, params=query)).status_code == 403
        assert "code" in oauth.response_of(await flow.press("submit"))


async def test_who_started_a_flow_gets_no_anonymous_token_from_it(running: TestGateway) -> None:
    """R58: an attacker's program starts, and without the browser's cookie it can choose nothing."""
    async with sign_in(running) as flow:
        for cookie in (None, f"{COOKIE}=", f"{COOKIE}=made.up"):
            for action in ("skip", "submit", "continue"):
                assert (await flow.post(action, cookie)).status_code == 403
        assert (await flow.row())["identity_kind"] is None
    assert not await running.rows("grants")


async def test_a_browser_without_cookies_is_told_what_to_do(running: TestGateway) -> None:
    """R56: an embedded view that loses the cookie between two pages: a page in plain words, never a crash."""
    client = await oauth.register(running.http)
    started = await running.http.get(oauth.AUTHORIZE, params=client.request())
    running.http.cookies.clear()
    page = await running.http.get(started.headers["location"], headers={"Accept": "text/html"})
    assert page.status_code == 403
    assert "belongs to another browser" in page.text
    assert "with cookies allowed" in page.text


@pytest.mark.parametrize(
    ("public_url", "forged", "flags"),
    [
        ("http://localhost:8080", {}, ""),
        ("http://localhost:8080", {"X-Forwarded-Proto": "https", "Forwarded": "proto=https;host=evil.example"}, ""),
        ("https://gw.example.com", {}, "; Secure"),
        ("https://gw.example.com", {"X-Forwarded-Proto": "http", "X-Forwarded-Host": "evil.example"}, "; Secure"),
    ],
)
async def test_the_cookies_flags_follow_the_configuration_alone(
    sqlite_url: str, tmp_path: Path, public_url: str, forged: dict[str, str], flags: str
) -> None:
    """TC-069, R41: HttpOnly, Lax, the whole host and nothing wider; Secure by the configured public URL."""
    server = {"public_urls": [public_url]}
    async with running_gateway(sqlite_url, tmp_path, server=server) as running:
        headers = {"Host": public_url.split("//")[1], **forged}
        body = {"client_name": "x", "redirect_uris": ["http://127.0.0.1/cb"]}
        registration = (await running.http.post(REGISTER, json=body, headers=headers)).json()
        client = oauth.OAuthClient(running.http, registration)
        query = client.request(resource=None)
        answer = await running.http.get(oauth.AUTHORIZE, params=query, headers=headers)
    (cookie,) = answer.headers.get_list("set-cookie")
    prefix = "__Host-" if flags else ""
    assert re.fullmatch(rf"{prefix}{COOKIE}=[\w-]+\.[\w-]+; Max-Age=900; Path=/; HttpOnly; SameSite=Lax{flags}", cookie)
    assert answer.headers["location"].startswith("/oauth/consent?flow_id=")


async def test_a_consent_at_its_last_moment_leaves_nothing_half_done(
    database_url: str, tmp_path: Path, clock: FakeClock
) -> None:
    """TC-059: submitted while the sweeper runs, just before and just after its end: a code, or 410 and no trace."""
    async with running_gateway(database_url, tmp_path, clock=clock) as running:
        for left, status in ((1, 303), (0, 410)):
            async with sign_in(running) as flow:
                await flow.press("vk", virtual_key=VIRTUAL_KEY)
                clock.advance(seconds=MINUTES - left)
                submitting = asyncio.ensure_future(flow.press("submit"))
                await asyncio.gather(submitting, *(running.gateway.sweeper.sweep() for _ in range(5)))
                assert submitting.result().status_code == status
        codes, grants = await running.rows("authorization_codes"), await running.rows("grants")
        assert [code["grant_id"] for code in codes] == [grant["id"] for grant in grants]
        assert len(codes) == 1
        clock.advance(seconds=2 * 3_600)
        await running.gateway.sweeper.sweep()
        for table in ("pending_flows", "authorization_codes", "grants"):
            assert not await running.rows(table), table


async def test_a_services_state_is_made_only_when_the_person_asks_for_it(sqlite_url: str, tmp_path: Path) -> None:
    """TC-082, R57: before the Connect button there is no state, no redirect, and the service has heard of nobody.

    G1, G4.
    """
    guarded = OAuthUpstream()
    async with connecting.connected_gateway(sqlite_url, tmp_path, guarded) as running, running.browser() as browser:
        flow_id, _csrf = await connecting.identify(browser, await oauth.register(running.http))
        link = await connecting.connect_link(browser, flow_id)
        assert not await running.rows("upstream_sign_ins")
        assert not guarded.authorizations
        started = await browser.get(link)
        (row,) = await running.rows("upstream_sign_ins")
        state = httpx2.URL(started.headers["location"]).params["state"]
        assert state not in str(row)


async def test_a_redirect_after_a_form_is_one_line(running: TestGateway) -> None:
    """TC-020, OAuth 2.1 §7.5.3: 303, which drops the form, and one Location of visible characters."""
    redirect_uri = "https://app.example/cb?x=%0d%0aSet-Cookie:a=b"
    metadata: dict[str, Any] = {"redirect_uris": [redirect_uri]}
    refused = await running.http.post(REGISTER, json=metadata)
    assert refused.status_code == 400
    async with sign_in(running, state="a b/ü?&=#%0d%0a") as flow:
        await flow.press("vk", virtual_key=VIRTUAL_KEY)
        answer = await flow.press("submit")
        assert answer.status_code == 303
        (location,) = answer.headers.get_list("location")
        assert re.fullmatch(r"[!-~]+", location)
        assert oauth.response_of(answer)["state"] == "a b/ü?&=#%0d%0a"
