"""GET authorize when everything is right: the redirect, the row, the cookie, and what a forged request cannot change."""

import re
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from urllib.parse import urlsplit

import httpx2
import pytest

from bifrost.authserver.browser import BrowserSecrets
from bifrost.base.ids import hash_secret
from bifrost.base.sealing import KeyRing
from tests.flows._authorization import APP_URI, HTTPS_URI, LOOPBACK_URI, refused, registered, request
from tests.flows._raw import HOST, PERSON, PROGRAM, Headers, ask
from tests.support import oauth
from tests.support.clock import START, FakeClock
from tests.support.gateway import RING, TestGateway, running_gateway
from tests.support.oauth import AUTHORIZE, OAuthClient

pytestmark = pytest.mark.anyio

COOKIE = "__bifrost_flow_secret"
HTTPS_COOKIE = "__Host-__bifrost_flow_secret"
HTTPS_HOST = "gw.example.com"
HTTPS = {"public_urls": [f"https://{HTTPS_HOST}"]}


@pytest.fixture
async def https(sqlite_url: str, tmp_path: Path, clock: FakeClock) -> AsyncIterator[TestGateway]:
    """A gateway that the world knows as https://gw.example.com."""
    async with running_gateway(sqlite_url, tmp_path, clock=clock, server=HTTPS) as started:
        yield started


async def _https_client(running: TestGateway) -> OAuthClient:
    transport = httpx2.ASGITransport(app=running.gateway.app)
    async with httpx2.AsyncClient(transport=transport, base_url=HTTPS["public_urls"][0]) as http:
        return await oauth.register(http)


def _set_cookie(answer: httpx2.Response) -> tuple[str, str, set[str]]:
    """Name, value and flags of the only cookie of the answer."""
    (header,) = answer.headers.get_list("set-cookie")
    pair, *flags = [part.strip() for part in header.split(";")]
    name, _, value = pair.partition("=")
    assert len(flags) == len(set(flags))
    return name, value, set(flags)


async def _begin(
    running: TestGateway, client: OAuthClient, *values: str, name: str = COOKIE, host: str = HOST
) -> tuple[str, str]:
    """Open the authorization URL with these cookie values; the secret that came back, and the hash in the new row."""
    known = {row["id"] for row in await running.rows("pending_flows")}
    sent = [("cookie", "; ".join(f"{name}={value}" for value in values))] if values else []
    answer = await ask(running, AUTHORIZE, request(client, resource=None), headers=[PERSON, *sent], host=host)
    assert answer.status_code == 302, answer.text
    (row,) = [row for row in await running.rows("pending_flows") if row["id"] not in known]
    secret = _set_cookie(answer)[1]
    assert row["browser_hash"] == hash_secret(secret)
    return secret, row["browser_hash"]


@pytest.mark.parametrize("accept", [PROGRAM, PERSON])
async def test_a_correct_request_sends_the_browser_to_the_consent_page(
    running: TestGateway, accept: tuple[str, str]
) -> None:
    """Contract §4: 302, relative to the issuer, with the cookie of the browser; no CORS on this endpoint."""
    client = await registered(running)
    answer = await ask(running, AUTHORIZE, request(client), headers=[accept, ("origin", "https://elsewhere.test")])
    assert answer.status_code == 302
    assert re.fullmatch(r"/oauth/consent\?flow_id=flow_[A-Za-z0-9_-]{22}", answer.headers["location"])
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["x-request-id"]
    assert not [name for name in answer.headers if name.startswith("access-control-")]
    assert "strict-transport-security" not in answer.headers
    name, value, flags = _set_cookie(answer)
    assert name == COOKIE
    assert flags == {"HttpOnly", "SameSite=Lax", "Path=/", "Max-Age=900"}
    assert len(value) >= 43


async def test_on_an_https_issuer_the_cookie_is_secure_and_bound_to_the_host(https: TestGateway) -> None:
    """Contract §4: Secure and the prefix __Host-, which browsers take only without Domain and with Path=/."""
    client = await _https_client(https)
    answer = await ask(https, AUTHORIZE, request(client, resource=None), headers=[PERSON], host=HTTPS_HOST)
    assert answer.status_code == 302
    assert answer.headers["location"].startswith("/oauth/consent?flow_id=flow_")
    assert answer.headers["strict-transport-security"].startswith("max-age=")
    name, _value, flags = _set_cookie(answer)
    assert name == HTTPS_COOKIE
    assert flags == {"HttpOnly", "SameSite=Lax", "Path=/", "Max-Age=900", "Secure"}


async def test_the_row_holds_the_checked_request_and_only_a_hash_of_the_secret(
    database_url: str, tmp_path: Path, clock: FakeClock
) -> None:
    """Contract §4: a pending flow of 15 minutes; on both databases."""
    async with running_gateway(database_url, tmp_path, clock=clock) as running:
        client = await registered(running)
        sent = request(client, redirect_uri=APP_URI, state="état 😀 +&=%", scope="mcp:read profile", resource=None)
        answer = await ask(running, AUTHORIZE, sent, headers=[PROGRAM])
        (row,) = await running.rows("pending_flows")
        secret = _set_cookie(answer)[1]
        assert row == {
            "id": oauth.flow_id_of(answer),
            "browser_hash": hash_secret(secret),
            "client_id": client.client_id,
            "redirect_uri": APP_URI,
            "state": "état 😀 +&=%",
            "code_challenge": client.challenge,
            "dpop_jkt": "",
            "scope": "mcp:read",
            "resource": "/mcp",
            "identity_kind": None,
            "identity_id": None,
            "created_at": START,
            "expires_at": START + 15 * 60 * 1_000,
            "finished_at": None,
        }
        for part in secret.split("."):
            assert part not in str(row)


@pytest.mark.parametrize("uri", [LOOPBACK_URI, APP_URI, HTTPS_URI])
async def test_every_registered_redirect_uri_begins_a_flow(running: TestGateway, uri: str) -> None:
    """Contract §4: exact match, for each kind of redirect URI."""
    client = await registered(running)
    await ask(running, AUTHORIZE, request(client, redirect_uri=uri))
    (row,) = await running.rows("pending_flows")
    assert row["redirect_uri"] == uri


async def test_two_requests_are_two_flows(running: TestGateway) -> None:
    """Contract §4: a row for every request, also for equal ones."""
    client = await registered(running)
    for _attempt in range(2):
        await ask(running, AUTHORIZE, request(client))
    first, second = await running.rows("pending_flows")
    assert first["id"] != second["id"]
    assert first["browser_hash"] != second["browser_hash"]


async def test_a_browser_keeps_its_secret_over_several_flows(running: TestGateway) -> None:
    """Contract §4: several flows in one browser all finish; the cookie lives 900 seconds from the latest."""
    async with running.browser() as browser:
        client = await registered(running)
        first = await oauth.begin(browser, client)
        secret = browser.cookies[COOKIE]
        answer = await browser.get(AUTHORIZE, params=client.request())
        assert _set_cookie(answer)[1] == secret
        assert "Max-Age=900" in _set_cookie(answer)[2]
        assert {row["browser_hash"] for row in await running.rows("pending_flows")} == {hash_secret(secret)}
        for flow_id in (oauth.flow_id_of(answer), first):
            assert (await oauth.approve(browser, flow_id))["code"]


async def test_two_browsers_have_two_secrets(running: TestGateway) -> None:
    """Contract §4: the secret is the browser's."""
    client = await registered(running)
    assert (await _begin(running, client))[0] != (await _begin(running, client))[0]


def _with_other_signature(own: str) -> str:
    random, _, _mac = own.partition(".")
    return f"{random}.{BrowserSecrets(RING).new().partition('.')[2]}"


FORGED: dict[str, Callable[[str], str]] = {
    "a word": lambda _own: "secret",
    "no signature": lambda own: own.partition(".")[0],
    "empty signature": lambda own: own.partition(".")[0] + ".",
    "signature alone": lambda own: "." + own.partition(".")[2],
    "another secret's signature": _with_other_signature,
    "one character more": lambda own: own + "A",
    "one character less": lambda own: own[:-1],
    "another random part": lambda own: ("B" if own[0] == "A" else "A") + own[1:],
    "another server's": lambda _own: BrowserSecrets(KeyRing([b"z" * 32])).new(),
    "quoted": lambda own: f'"{own}"',
    "percent-encoded": lambda own: own.replace(".", "%2E"),
    "beyond ASCII": lambda own: own + "é",
    "beyond ASCII before": lambda own: "é" + own,
    "empty": lambda _own: "",
    "dots": lambda _own: "...",
    "a hash": hash_secret,
    "very long": lambda own: own + "A" * 8_000,
}


@pytest.mark.parametrize("how", FORGED)
async def test_a_secret_that_the_server_did_not_make_is_never_adopted(running: TestGateway, how: str) -> None:
    """Contract §4: a planted secret would let its planter approve in somebody else's browser."""
    client = await registered(running)
    own = BrowserSecrets(RING).new()
    forged = FORGED[how](own)
    assert forged != own
    secret, _hash = await _begin(running, client, forged)
    assert secret not in (forged, own)
    assert await _begin(running, client, own) == (own, hash_secret(own))
    # a planted cookie next to the real one does not push it out
    assert (await _begin(running, client, forged, own))[0] == own
    assert (await _begin(running, client, own, forged))[0] == own


async def test_between_two_secrets_of_the_server_a_browser_gets_a_third(running: TestGateway) -> None:
    """Contract §4: one of the two may be an attacker's own, and nobody can tell which."""
    client = await registered(running)
    secrets = [BrowserSecrets(RING).new() for _browser in range(2)]
    assert (await _begin(running, client, *secrets))[0] not in secrets


async def test_on_an_https_issuer_a_cookie_without_the_prefix_is_not_read(https: TestGateway) -> None:
    """Contract §4: a sibling host can set the plain name, but not the one with __Host-."""
    client = await _https_client(https)
    own = BrowserSecrets(RING).new()
    assert (await _begin(https, client, own, host=HTTPS_HOST))[0] != own
    assert (await _begin(https, client, own, host=HTTPS_HOST, name=HTTPS_COOKIE))[0] == own
    assert (await _begin(https, client, own, host=HTTPS_HOST, name=HTTPS_COOKIE.lower()))[0] != own


async def test_a_refusal_leaves_the_cookie_of_the_browser_alone(running: TestGateway) -> None:
    """Contract §4: no cookie without a flow, and a later flow still finds the old one."""
    async with running.browser() as browser:
        client = await registered(running)
        await oauth.begin(browser, client)
        secret = browser.cookies[COOKIE]
        answer = await browser.get(AUTHORIZE, params=client.request(response_type="token"))
        assert answer.status_code == 400
        assert browser.cookies[COOKIE] == secret


FORWARDED: dict[str, Headers] = {
    "x-forwarded": [
        ("x-forwarded-host", "evil.test"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-port", "444"),
        ("x-forwarded-prefix", "/evil"),
        ("x-forwarded-for", "127.0.0.1"),
        ("x-forwarded-server", "evil.test"),
    ],
    "forwarded": [("forwarded", "for=127.0.0.1;host=evil.test;proto=https")],
    "rewritten": [
        ("x-original-url", "/evil"),
        ("x-rewrite-url", "/evil"),
        ("x-original-host", "evil.test"),
        ("x-host", "evil.test"),
        ("x-forwarded-scheme", "https"),
        ("x-http-method-override", "DELETE"),
    ],
}


@pytest.mark.parametrize("trusted", [[], ["203.0.113.0/24"]], ids=["direct", "through a trusted proxy"])
@pytest.mark.parametrize("how", FORWARDED)
async def test_forwarded_headers_change_nothing(
    sqlite_url: str, tmp_path: Path, clock: FakeClock, how: str, trusted: list[str]
) -> None:
    """Contract §1: absolute URLs come from configuration; proxies are believed for the client address only."""
    async with running_gateway(sqlite_url, tmp_path, clock=clock, server={"trusted_proxies": trusted}) as running:
        client = await registered(running)
        good = await ask(running, AUTHORIZE, request(client), headers=[PERSON, *FORWARDED[how]])
        bad = await ask(running, AUTHORIZE, request(client, scope=b"%ff"), headers=[PERSON, *FORWARDED[how]])
    assert good.status_code == 302
    location = urlsplit(good.headers["location"])
    assert (location.scheme, location.netloc, location.path) == ("", "", "/oauth/consent")
    name, _value, flags = _set_cookie(good)
    assert (name, "Secure" in flags) == (COOKIE, False)
    assert bad.status_code == 400
    assert "evil" not in bad.text
    assert "iss=http%3A%2F%2Flocalhost%3A8080" in bad.text


@pytest.mark.parametrize("how", FORWARDED)
async def test_forwarded_headers_do_not_make_an_https_issuer_plain(https: TestGateway, how: str) -> None:
    """Contract §1: the cookie is Secure because of the configuration, not because of a header."""
    client = await _https_client(https)
    headers = [PERSON, *((name, value.replace("https", "http")) for name, value in FORWARDED[how])]
    answer = await ask(https, AUTHORIZE, request(client, resource=None), headers=headers, host=HTTPS_HOST)
    name, _value, flags = _set_cookie(answer)
    assert (name, "Secure" in flags) == (HTTPS_COOKIE, True)


@pytest.mark.parametrize("host", ["localhost:8080", "LOCALHOST:8080", "127.0.0.1:8080", "[::1]:8080"])
async def test_every_loopback_spelling_of_the_host_is_ours(running: TestGateway, host: str) -> None:
    """Contract §1: the default public URLs; the redirect stays on the origin by which the browser came."""
    client = await registered(running)
    answer = await ask(running, AUTHORIZE, request(client), host=host)
    assert answer.status_code == 302
    assert answer.headers["location"].startswith("/oauth/consent?")


@pytest.mark.parametrize(
    "host",
    [
        "evil.test",
        "evil.test:8080",
        "localhost",
        "localhost:80",
        "localhost:8081",
        "localhost:80800",
        "localhost:8080:80",
        "localhost.:8080",
        "localhost:8080.evil.test",
        "evil.test/localhost:8080",
        "localhost:8080, evil.test",
        "user@localhost:8080",
        "127.0.0.2:8080",
        "127.1:8080",
        "0.0.0.0:8080",
        "::1:8080",
        "http://localhost:8080",
        "",
        None,
    ],
)
async def test_a_request_for_another_host_is_misdirected(running: TestGateway, host: str | None) -> None:
    """Contract §1: 421 before anything else, so that a rebound name reaches nothing."""
    client = await registered(running)
    page = await refused(running, request(client), host=host, status=421, code="misdirected_request", param="")
    assert page.links == []


async def test_two_hosts_in_one_request_are_misdirected(running: TestGateway) -> None:
    """Contract §1 and RFC 9112 §3.2: no guessing which one is meant."""
    client = await registered(running)
    for second in (HOST, "evil.test"):
        answer = await ask(running, AUTHORIZE, request(client), headers=[PROGRAM, ("host", second)])
        assert answer.status_code in (400, 421)
        assert "location" not in answer.headers


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("gw.example.com", 302),
        ("GW.Example.com", 302),
        ("gw.example.com:443", 302),
        ("gw.example.com:80", 421),
        ("gw.example.com:8080", 421),
        ("x.gw.example.com", 421),
        ("gw.example.com.evil.test", 421),
        ("example.com", 421),
        ("localhost:8080", 421),
    ],
)
async def test_the_configured_host_is_the_only_one(https: TestGateway, host: str, status: int) -> None:
    """Contract §1: a configured public URL replaces the loopback names; its default port may be written."""
    client = await _https_client(https)
    answer = await ask(https, AUTHORIZE, request(client, resource=None), host=host)
    assert answer.status_code == status
