"""A refused request's way back to the client: only where client and redirect URI are valid, never by a redirect."""

import html
import re
from urllib.parse import parse_qsl

import pytest

from tests.flows._authorization import (
    APP_URI,
    HTTPS_URI,
    LOOPBACK_URI,
    PARAMETERS,
    assert_no_way_back,
    refused,
    registered,
    request,
)
from tests.flows._raw import Page
from tests.support.gateway import ISSUER, TestGateway

pytestmark = pytest.mark.anyio

AUTOMATIC = [LOOPBACK_URI, "http://localhost/cb", "http://[::1]:4000/cb", APP_URI, "cursor://anysphere.cursor-mcp/cb"]
BY_HAND = [HTTPS_URI, "https://app.test:8443/cb", "https://127.0.0.1/cb", "https://localhost:9000/cb"]
FAULTS: dict[str, tuple[str | bytes, str]] = {
    "response_type": ("token", "unsupported_response_type"),
    "code_challenge": ("challenge", "invalid_request"),
    "code_challenge_method": ("plain", "invalid_request"),
    "resource": ("https://evil.test/mcp", "invalid_target"),
    "scope": (b"%ff", "invalid_request"),
}


def _way_back(page: Page) -> tuple[str, float | None]:
    """The only link of the page, and the seconds after which it is followed by itself."""
    (link,) = page.links
    if page.refresh is None:
        return link, None
    seconds, _, url = page.refresh.partition(";url=")
    assert url == link
    return link, float(seconds)


def _added(url: str, redirect_uri: str) -> dict[str, str]:
    """The parameters after the redirect URI, which is there byte for byte."""
    separator = "&" if "?" in redirect_uri else "?"
    assert url.startswith(redirect_uri + separator)
    pairs = parse_qsl(url[len(redirect_uri) + 1 :], keep_blank_values=True, strict_parsing=True)
    assert len(dict(pairs)) == len(pairs)
    return dict(pairs)


@pytest.mark.parametrize("name", FAULTS)
@pytest.mark.parametrize("uri", [*AUTOMATIC, *BY_HAND])
async def test_the_page_hands_the_error_back_to_the_client(running: TestGateway, uri: str, name: str) -> None:
    """TC-017, contract §4: error, its words, state and iss; by itself for loopback and apps, by a link for https.

    A41.
    """
    client = await registered(running, uri)
    value, code = FAULTS[name]
    page = await refused(running, request(client, **{name: value}), param=name, code=code)
    url, seconds = _way_back(page)
    added = _added(url, uri)
    assert added.pop("error_description") in page.words
    assert added == {"error": code, "state": client.state, "iss": ISSUER}
    assert (seconds is not None) == (uri in AUTOMATIC)
    assert seconds is None or 2 <= seconds <= 30


@pytest.mark.parametrize("uri", BY_HAND)
async def test_the_link_to_a_website_names_its_host(running: TestGateway, uri: str) -> None:
    """Contract §4, TC-018: anybody can register, so a person is told where the link leads before it is followed."""
    client = await registered(running, uri)
    page = await refused(
        running, request(client, response_type="token"), param="response_type", code="unsupported_response_type"
    )
    assert page.refresh is None
    assert uri.split("/")[2] in page.words


async def test_a_client_that_registered_itself_cannot_make_an_open_redirector(running: TestGateway) -> None:
    """A33, TC-018, RFC 9700 §4.11.2: no automatic redirect to phish.test, whatever is wrong."""
    client = await registered(running, "https://phish.test/x")
    for name, (value, code) in FAULTS.items():
        page = await refused(running, request(client, **{name: value}), param=name, code=code)
        assert page.refresh is None
        assert "phish.test" in page.words


@pytest.mark.parametrize("uri", [LOOPBACK_URI, HTTPS_URI])
async def test_without_a_state_none_is_handed_back(running: TestGateway, uri: str) -> None:
    """Contract §4 and OAuth 2.1 §4.1.2.1: state is required in the answer exactly when it was in the request."""
    client = await registered(running, uri)
    for state in (None, b""):
        sent = request(client, state=state, response_type=None)
        url, _seconds = _way_back(await refused(running, sent, param="response_type"))
        assert _added(url, uri).keys() == {"error", "error_description", "iss"}


@pytest.mark.parametrize("state", ["état 😀", "a b+c&error=none;d=e%2F", "\"'<>&amp;", "x" * 4_096, "#fragment?"])
async def test_the_state_is_handed_back_as_it_came(running: TestGateway, state: str) -> None:
    """A40, TC-172, contract §4: byte for byte, whatever is in it."""
    client = await registered(running, HTTPS_URI)
    sent = request(client, state=state, response_type=None)
    url, _seconds = _way_back(await refused(running, sent, param="response_type"))
    assert _added(url, HTTPS_URI)["state"] == state


@pytest.mark.parametrize("state", [b"%ff", b"a%00b", b"%zz", b"x" * 4_097])
async def test_a_malformed_state_is_not_handed_back(running: TestGateway, state: bytes) -> None:
    """Contract §4: what could not be read cannot be returned; the error still is."""
    client = await registered(running, HTTPS_URI)
    url, _seconds = _way_back(await refused(running, request(client, state=state), param="state"))
    assert _added(url, HTTPS_URI).keys() == {"error", "error_description", "iss"}


@pytest.mark.parametrize(
    "uri",
    [
        "https://app.test/cb?tenant=1",
        "https://app.test/cb?a=%7E&b&c=&a=2",
        "https://app.test/cb?x=%C3%A9+y",
        "http://127.0.0.1/cb?next=/a/../b",
        "com.example.app:/cb?window=2",
    ],
)
async def test_the_registered_query_stays_in_the_way_back(running: TestGateway, uri: str) -> None:
    """TC-014, OAuth 2.1 §2.3: the query of the redirect URI is kept, byte for byte."""
    client = await registered(running, uri)
    url, _seconds = _way_back(await refused(running, request(client, response_type=None), param="response_type"))
    assert _added(url, uri)["error"] == "invalid_request"


async def test_the_way_back_to_a_loopback_client_goes_to_the_port_it_asked_for(running: TestGateway) -> None:
    """Contract §4: the client listens on the port of the request, not on the registered one."""
    client = await registered(running, "http://127.0.0.1:1234/cb")
    sent = request(client, redirect_uri="http://127.0.0.1:55555/cb", response_type=None)
    url, _seconds = _way_back(await refused(running, sent, param="response_type"))
    assert url.startswith("http://127.0.0.1:55555/cb?error=")


async def test_the_redirect_uri_may_be_left_out_of_a_request_that_is_refused(running: TestGateway) -> None:
    """Contract §4: exactly one is registered, so the way back is known."""
    client = await registered(running, LOOPBACK_URI)
    sent = request(client, redirect_uri=None, code_challenge=None)
    url, _seconds = _way_back(await refused(running, sent, param="code_challenge"))
    assert url.startswith(LOOPBACK_URI)


@pytest.mark.parametrize("name", PARAMETERS)
async def test_an_error_description_has_only_the_characters_that_are_allowed_in_it(
    running: TestGateway, name: str
) -> None:
    """RFC 6749 §4.1.2.1: %x20-21, %x23-5B and %x5D-7E."""
    client = await registered(running, LOOPBACK_URI)
    page = await refused(running, request(client, **{name: b"a%00%ff"}), param=name)
    for url in page.links:
        assert re.fullmatch(r"[\x20-\x21\x23-\x5b\x5d-\x7e]+", _added(url, LOOPBACK_URI)["error_description"])


@pytest.mark.parametrize("others", [{}, {name: value for name, (value, _code) in FAULTS.items()}], ids=["alone", "all"])
async def test_an_unregistered_redirect_uri_gets_nothing(running: TestGateway, others: dict[str, str | bytes]) -> None:
    """A23, contract §4, TC-016: no way there through another error either, and no link for a person to click."""
    client = await registered(running)
    for uri in ("https://evil.test/cb", "http://evil.test/cb", "javascript:alert(1)", "com.evil.app:/cb"):
        sent = request(client, **{**others, "redirect_uri": uri})
        page = await refused(running, sent, param="redirect_uri", code="invalid_redirect_uri")
        assert_no_way_back(page)
        assert "evil" not in html.unescape(page.words)


@pytest.mark.parametrize("others", [{}, {name: value for name, (value, _code) in FAULTS.items()}], ids=["alone", "all"])
async def test_an_unknown_client_gets_nothing(running: TestGateway, others: dict[str, str | bytes]) -> None:
    """A23, contract §4, TC-015, R15: even for a redirect URI that would have been right for another client."""
    client = await registered(running)
    for uri in (LOOPBACK_URI, APP_URI, HTTPS_URI):
        sent = request(client, **{**others, "redirect_uri": uri, "client_id": "nobody"})
        assert_no_way_back(await refused(running, sent, param="client_id", code="invalid_client"))
