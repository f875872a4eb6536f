"""Documents and answers of an upstream that wants more than a sign-in: our secret, our headers, our pages."""

from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest
from starlette.responses import JSONResponse

from tests.flows import _connecting as people
from tests.support import oauth
from tests.support.gateway import VIRTUAL_KEY, TestGateway
from tests.support.oauth_upstream import OAuthUpstream
from tests.support.servers import serving

pytestmark = pytest.mark.anyio

SECRET = {"client_id": "us", "client_secret": "the-secret-of-our-client-there"}
POST = {"token_endpoint_auth_methods_supported": ["client_secret_post"]}


async def _pressed(running: TestGateway, browser: httpx2.AsyncClient) -> httpx2.Response:
    """What the Connect button is answered with."""
    flow_id, _csrf = await people.identify(browser, await oauth.register(running.http))
    return await browser.get(await people.connect_link(browser, flow_id))


async def test_a_token_url_that_an_administrator_wrote_is_where_our_secret_goes(
    sqlite_url: str, tmp_path: Path
) -> None:
    """Contract §8, TC-111: one configured address is used by itself, whatever the documents say beside it."""
    ours, thief = OAuthUpstream(metadata=POST), OAuthUpstream(metadata=POST)
    with serving(thief.app()) as evil, serving(ours.app()) as origin:
        thief.origin, ours.origin = evil, origin
        config = {**SECRET, "token_url": f"{origin}/token"}
        guarded = OAuthUpstream(metadata={**POST, "token_endpoint": f"{evil}/token"})
        async with (
            people.connected_gateway(sqlite_url, tmp_path, guarded, oauth_config=config) as running,
            running.browser() as browser,
        ):
            started = await _pressed(running, browser)
            await browser.get(await people.at_the_service(started.headers["location"], "alice"))
            assert [form["client_secret"] for form in ours.token_requests] == [SECRET["client_secret"]]
            assert not thief.seen
            assert not guarded.token_requests


async def test_a_token_url_alone_does_not_let_an_upstream_choose_who_else_gets_our_secret(
    sqlite_url: str, tmp_path: Path
) -> None:
    """TC-111: the documents still name the server that people sign in at, so it stays the one of the first time."""
    thief = OAuthUpstream(metadata=POST)
    guarded = OAuthUpstream(metadata=POST)
    with serving(thief.app()) as evil:
        thief.origin = evil
        async with (
            people.connected_gateway(
                sqlite_url, tmp_path, guarded, oauth_config={**SECRET, "token_url": "http://localhost:1/token"}
            ) as running,
            running.browser() as browser,
        ):
            assert (await _pressed(running, browser)).status_code == 302
            guarded.resource = {"authorization_servers": [evil]}
            thief.metadata = {**POST, "require_pushed_authorization_requests": True}
            thief.metadata["pushed_authorization_request_endpoint"] = f"{evil}/par"
            answer = await _pressed(running, browser)
            assert "notice=upstream_sign_in_impossible" in answer.headers["location"]
            assert SECRET["client_secret"].encode() not in b"".join(thief.seen)


@pytest.mark.parametrize(
    "token", ["a\r\nX-Evil: 1", "a b", "a\nb", "ü", "\u202ea", "a\x00", "", "a" * 16_385, 5, None, ["a"]]
)
async def test_a_token_that_could_end_its_header_is_not_kept(sqlite_url: str, tmp_path: Path, token: Any) -> None:
    """RFC 6750 §2.1, RFC 9110 §5.5: a token is visible ASCII; another is of no use and of some danger."""
    guarded = OAuthUpstream()
    async with (
        people.connected_gateway(sqlite_url, tmp_path, guarded) as running,
        running.browser() as browser,
    ):
        started = await _pressed(running, browser)
        back = await people.at_the_service(started.headers["location"], "alice")
        answered = JSONResponse({"access_token": token, "token_type": "Bearer", "refresh_token": "r"})
        guarded.redirects = {"/token": answered}
        assert "notice=upstream_refused" in (await browser.get(back)).headers["location"]
        assert await running.rows("upstream_credentials") == []


async def test_a_renewed_token_that_could_end_its_header_is_not_used(sqlite_url: str, tmp_path: Path) -> None:
    """As above, later."""
    guarded = OAuthUpstream()
    async with people.connected_gateway(sqlite_url, tmp_path, guarded) as running:
        alice = await people.signed_in_with(running, VIRTUAL_KEY, "alice")
        guarded.access.clear()
        guarded.redirects = {"/token": JSONResponse({"access_token": "a\r\nX-Evil: 1", "token_type": "Bearer"})}
        assert "mcp_auth_required" in (await people.whoami(running, alice)).text
        assert b"X-Evil" not in b"".join(guarded.seen)


async def test_no_document_makes_a_url_that_no_browser_opens(sqlite_url: str, tmp_path: Path) -> None:
    """House: a hundred permissions at most, each one a scope (RFC 6749 §3.3)."""
    wanted = [f"scope-{number}" for number in range(300)]
    guarded = OAuthUpstream(resource={"scopes_supported": ["z" * 257, 'a"b', "ü", "a\\b", *wanted]})
    async with (
        people.connected_gateway(sqlite_url, tmp_path, guarded) as running,
        running.browser() as browser,
    ):
        location = (await _pressed(running, browser)).headers["location"]
        assert parse_qs(urlsplit(location).query)["scope"] == [" ".join(wanted[:100])]


@pytest.mark.parametrize("client_id", ["x" * 4_097, "", 5, None])
async def test_a_client_id_that_cannot_be_used_is_no_registration(
    sqlite_url: str, tmp_path: Path, client_id: Any
) -> None:
    """RFC 7591 §3.2.1: a text, and one that fits into a URL."""
    guarded = OAuthUpstream()
    guarded.redirects = {"/register": JSONResponse({"client_id": client_id}, 201)}
    async with (
        people.connected_gateway(sqlite_url, tmp_path, guarded) as running,
        running.browser() as browser,
    ):
        answer = await _pressed(running, browser)
        assert "notice=upstream_sign_in_impossible" in answer.headers["location"]
        assert await running.rows("upstream_registrations") == []
