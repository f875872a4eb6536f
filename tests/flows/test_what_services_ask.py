"""What a person is told of a service before they go there: where it is, where they sign in, what they are asked for."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from html import unescape
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest

from bifrost.upstreams.oauth import asking
from tests.flows import _connecting as people
from tests.flows import _own_headers as own
from tests.support import oauth
from tests.support.clock import FakeClock
from tests.support.gateway import TestGateway
from tests.support.oauth_upstream import OAuthUpstream, Pause

pytestmark = pytest.mark.anyio

UNKNOWN = "not known now; its own page tells you before you agree"


@asynccontextmanager
async def _at_the_services(running: TestGateway) -> AsyncIterator[tuple[httpx2.AsyncClient, str]]:
    """A browser whose person has said who they are, and the flow."""
    async with running.browser() as browser:
        flow_id, _csrf = await people.identify(browser, await oauth.register(running.http))
        yield browser, flow_id


async def _page(browser: httpx2.AsyncClient, flow_id: str) -> str:
    answer = await browser.get("/oauth/consent/mcps", params={"flow_id": flow_id})
    assert answer.status_code == 200
    return answer.text


def _facts(page: str) -> dict[str, str]:
    """What stands under the service, by its heading, as text."""
    (listed,) = re.findall(r'<dl class="asks">(.*?)</dl>', page, re.DOTALL)
    pairs = re.findall(r"<dt>(.*?)</dt><dd>(.*?)</dd>", listed, re.DOTALL)
    return {name: " ".join(unescape(re.sub(r"<[^>]*>", "", text)).split()) for name, text in pairs}


async def test_a_person_sees_what_they_will_be_asked_for_and_that_is_what_they_are_asked_for(
    sqlite_url: str, tmp_path: Path
) -> None:
    """G2, contract §5: the real host, and the very scopes of the request; until they press, nothing of it has begun."""
    guarded = OAuthUpstream(resource={"scopes_supported": ["notes.read", "notes.write"]})
    async with (
        people.connected_gateway(sqlite_url, tmp_path, guarded) as running,
        _at_the_services(running) as (browser, flow_id),
    ):
        host = urlsplit(guarded.origin).netloc
        page = await _page(browser, flow_id)
        assert _facts(page) == {"Where": host, "Sign-in at": host, "Asks you there for": "notes.read notes.write"}
        assert "Not connected yet" in page
        assert guarded.registrations == guarded.authorizations == guarded.token_requests == []
        assert await running.rows("upstream_sign_ins") == await running.rows("upstream_registrations") == []
        started = await browser.get(await people.connect_link(browser, flow_id))
        assert parse_qs(urlsplit(started.headers["location"]).query)["scope"] == ["notes.read notes.write"]


async def test_the_place_of_the_sign_in_is_told_when_it_is_another(sqlite_url: str, tmp_path: Path) -> None:
    """RFC 9700 §4.4: who gets the password is the person's to judge."""
    guarded = OAuthUpstream(metadata={"authorization_endpoint": "https://Sign-In.example:8443/authorize?tenant=x"})
    async with (
        people.connected_gateway(sqlite_url, tmp_path, guarded) as running,
        _at_the_services(running) as (browser, flow_id),
    ):
        facts = _facts(await _page(browser, flow_id))
        assert (facts["Where"], facts["Sign-in at"]) == (urlsplit(guarded.origin).netloc, "sign-in.example:8443")


async def test_what_a_service_says_is_text_of_a_length_that_can_be_read(sqlite_url: str, tmp_path: Path) -> None:
    """RFC 6749 §3.3: scopes are visible ASCII; the words of a server are never a part of our page."""
    wanted = [f"s{number}" for number in range(15)]
    hostile = ["<script>alert(1)</script>", "a&b", "x" * 101, "y" * 257, "\u202eevil", "a\nb", 'q"uote', ""]
    guarded = OAuthUpstream(resource={"scopes_supported": [*hostile, *wanted]})
    async with (
        people.connected_gateway(sqlite_url, tmp_path, guarded) as running,
        _at_the_services(running) as (browser, flow_id),
    ):
        page = await _page(browser, flow_id)
        shown = _facts(page)["Asks you there for"]
        assert shown == f"<script>alert(1)</script> a&b {'x' * 99}… {' '.join(wanted[:5])} and 10 more"
        assert "<script>" not in page
        assert "\u202e" not in page
        assert "y" * 101 not in page


async def test_the_page_does_not_wait_for_a_service_that_is_slow(
    sqlite_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """House: one slow service costs what it would have said, and not the page."""
    monkeypatch.setattr(asking, "PATIENCE_SECONDS", 0.2)
    guarded = OAuthUpstream(pause=Pause("/.well-known/oauth-authorization-server", done=True))
    assert guarded.pause
    async with (
        people.connected_gateway(sqlite_url, tmp_path, guarded) as running,
        _at_the_services(running) as (browser, flow_id),
    ):
        try:
            async with asyncio.timeout(5):
                assert _facts(await _page(browser, flow_id))["Asks you for"] == UNKNOWN
        finally:
            guarded.pause.released.set()


async def test_a_service_is_asked_once_for_many_pages(sqlite_url: str, tmp_path: Path, clock: FakeClock) -> None:
    """House: whoever reloads a page is no burden to a service; what it asks for is not remembered for ever either."""
    guarded = OAuthUpstream(resource={"scopes_supported": ["a"]})
    async with (
        people.connected_gateway(sqlite_url, tmp_path, guarded, clock=clock) as running,
        _at_the_services(running) as (browser, flow_id),
    ):
        assert _facts(await _page(browser, flow_id))["Asks you there for"] == "a"
        asked = len(guarded.seen)
        guarded.resource["scopes_supported"] = ["b"]
        await asyncio.gather(*(_page(browser, flow_id) for _ in range(5)))
        assert len(guarded.seen) == asked
        clock.advance(seconds=300)
        assert _facts(await _page(browser, flow_id))["Asks you there for"] == "b"
        assert len(guarded.seen) == 2 * asked


async def test_a_service_that_cannot_say_is_shown_and_asked_again_soon(
    sqlite_url: str, tmp_path: Path, clock: FakeClock
) -> None:
    """House: what is not known is said to be unknown."""
    guarded = OAuthUpstream(metadata={"code_challenge_methods_supported": []})
    async with (
        people.connected_gateway(sqlite_url, tmp_path, guarded, clock=clock) as running,
        _at_the_services(running) as (browser, flow_id),
    ):
        assert _facts(await _page(browser, flow_id))["Asks you for"] == UNKNOWN
        guarded.metadata.clear()
        clock.advance(seconds=30)
        assert "Sign-in at" in _facts(await _page(browser, flow_id))


async def test_a_service_that_wants_values_names_them(sqlite_url: str, tmp_path: Path) -> None:
    """Contract §8: per_user_headers; and the form says where they go."""
    guarded = own.guarded_by_headers()
    async with (
        own.gateway(sqlite_url, tmp_path, guarded) as running,
        _at_the_services(running) as (browser, flow_id),
    ):
        host = urlsplit(guarded.origin).netloc
        assert _facts(await _page(browser, flow_id)) == {"Where": host, "Asks you for": " ".join(guarded.names)}
        assert host in (await own.form_of(browser, flow_id)).text
