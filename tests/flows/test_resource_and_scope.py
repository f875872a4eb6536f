"""The parameters resource and scope of the authorization endpoint: every spelling that is ours, and none that is not."""

from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest

from tests.flows._authorization import accepted, refused, registered, request
from tests.flows._raw import ask
from tests.support import oauth
from tests.support.clock import FakeClock
from tests.support.gateway import TestGateway, running_gateway, upstream
from tests.support.oauth import AUTHORIZE

pytestmark = pytest.mark.anyio


@pytest.fixture
async def with_notes(sqlite_url: str, tmp_path: Path, clock: FakeClock) -> AsyncIterator[TestGateway]:
    """A gateway with the endpoints /mcp and /mcp/notes; nothing listens behind the second."""
    mcp = {"client_configs": [upstream("notes", "http://127.0.0.1:9/mcp")]}
    async with running_gateway(sqlite_url, tmp_path, clock=clock, mcp=mcp) as started:
        yield started


OURS = {
    "http://localhost:8080/mcp": "/mcp",
    "http://localhost:8080/mcp/": "/mcp",
    "http://localhost:8080": "/mcp",
    "http://localhost:8080/": "/mcp",
    "HTTP://localhost:8080/mcp": "/mcp",
    "http://LOCALHOST:8080/mcp/": "/mcp",
    "http://127.0.0.1:8080/mcp": "/mcp",
    "http://127.0.0.1:8080": "/mcp",
    "http://[::1]:8080/mcp": "/mcp",
    "http://localhost:8080/mcp/notes": "/mcp/notes",
    "http://localhost:8080/mcp/notes/": "/mcp/notes",
    "HTTP://[::1]:8080/mcp/notes": "/mcp/notes",
}


@pytest.mark.parametrize(("resource", "path"), OURS.items())
async def test_every_spelling_of_an_endpoint_means_it(with_notes: TestGateway, resource: str, path: str) -> None:
    """RS15, contract §4 and R36: case of scheme and host, one trailing slash, the bare origin."""
    client = await registered(with_notes)
    assert (await accepted(with_notes, request(client, resource=resource)))["resource"] == path


NOT_OURS = [
    "http://localhost:8080/other",
    "http://localhost:8080/mcpx",
    "http://localhost:8080/mcp/unknown",
    "http://localhost:8080/mcp/notes/tools",
    "http://localhost:8080/MCP",
    "http://localhost:8080/mcp/NOTES",
    "http://localhost:8080/mcp//",
    "http://localhost:8080//mcp",
    "http://localhost:8080//",
    "http://localhost:8080/mcp/../mcp",
    "http://localhost:8080/mcp/%6eotes",
    "http://localhost:8080/mcp;x",
    "http://localhost:8080/mcp?x=1",
    "http://localhost:8080/mcp?",
    "http://localhost:8080/mcp#f",
    "http://localhost:8080/mcp#",
    "http://localhost:8080#",
    "http://localhost:8080/mcp ",
    " http://localhost:8080/mcp",
    "http://localhost:8080\\mcp",
    "http://localhost/mcp",
    "http://localhost:8081/mcp",
    "http://localhost:80800/mcp",
    "http://localhost:8080:80/mcp",
    "https://localhost:8080/mcp",
    "ws://localhost:8080/mcp",
    "http://user@localhost:8080/mcp",
    "http://localhost:8080@evil.test/mcp",
    "http://localhost:8080.evil.test/mcp",
    "http://evil.test/localhost:8080/mcp",
    "https://evil.test/mcp",
    "http://localhost.:8080/mcp",
    "http://127.1:8080/mcp",
    "http://127.0.0.2:8080/mcp",
    "//localhost:8080/mcp",
    "/mcp",
    "mcp",
    "notes",
    "urn:mcp",
    "localhost:8080/mcp",
    "http:///mcp",
    "http://",
    "*",
]


@pytest.mark.parametrize("resource", NOT_OURS)
async def test_whatever_is_not_one_of_our_endpoints_is_an_invalid_target(
    with_notes: TestGateway, resource: str
) -> None:
    """A32, contract §4, RFC 8707 §2 (absolute, no fragment), R36."""
    client = await registered(with_notes)
    await refused(with_notes, request(client, resource=resource), param="resource", code="invalid_target")


@pytest.mark.parametrize("issuer", ["https://gw.example.com", "https://gw.example.com:8443"])
async def test_a_default_port_may_be_written_or_left_out(
    sqlite_url: str, tmp_path: Path, clock: FakeClock, issuer: str
) -> None:
    """Contract §4: the default port is ignored, and no other one is."""
    default = issuer == "https://gw.example.com"
    server = {"public_urls": [issuer]}
    host = issuer.removeprefix("https://")
    async with running_gateway(sqlite_url, tmp_path, clock=clock, server=server) as running:
        transport = httpx2.ASGITransport(app=running.gateway.app)
        async with httpx2.AsyncClient(transport=transport, base_url=issuer) as http:
            client = await oauth.register(http)
        for resource, ours in {
            "https://gw.example.com/mcp": default,
            "https://gw.example.com:443/mcp/": default,
            "HTTPS://GW.EXAMPLE.COM:443": default,
            "https://gw.example.com:8443/mcp": not default,
            "http://gw.example.com/mcp": False,
            "https://gw.example.com:80/mcp": False,
            "http://gw.example.com:443/mcp": False,
            "https://gw.example.com:/mcp": False,
        }.items():
            answer = await ask(running, AUTHORIZE, request(client, resource=resource), host=host)
            assert answer.status_code == (302 if ours else 400), resource


async def test_without_a_resource_the_token_is_for_the_endpoint_of_everything(with_notes: TestGateway) -> None:
    """Contract §4 and R37: absent means /mcp; never a token without an audience."""
    client = await registered(with_notes)
    for value in (None, b""):
        assert (await accepted(with_notes, request(client, resource=value)))["resource"] == "/mcp"


async def test_a_token_for_one_endpoint_is_refused_at_the_other(with_notes: TestGateway) -> None:
    """R37: a token for A is refused at B, also when A was only the default."""
    for asked, elsewhere in ((None, "/mcp/notes"), ("http://localhost:8080/mcp/notes", "/mcp")):
        async with with_notes.browser() as browser:
            _client, tokens = await oauth.signed_in(with_notes.http, browser, resource=asked)
        answer = await with_notes.http.post(
            elsewhere,
            json={"jsonrpc": "2.0", "id": 1, "method": "tools/list"},
            headers={"Authorization": f"Bearer {tokens['access_token']}"},
        )
        assert answer.status_code == 401
        assert 'error="invalid_token"' in answer.headers["www-authenticate"]


@pytest.mark.parametrize(
    ("sent", "path"),
    [
        ("resource=http://localhost:8080/mcp&resource=http://localhost:8080/mcp", "/mcp"),
        ("resource=http://localhost:8080/mcp&resource=HTTP://127.0.0.1:8080/", "/mcp"),
        ("resource=&resource=http://localhost:8080/mcp/notes", "/mcp/notes"),
    ],
)
async def test_a_resource_may_be_said_twice(with_notes: TestGateway, sent: str, path: str) -> None:
    """A22, contract §4 and RFC 8707 §2: the one parameter that may be repeated."""
    client = await registered(with_notes)
    row = await accepted(with_notes, request(client, resource=None) + b"&" + sent.encode())
    assert row["resource"] == path


@pytest.mark.parametrize(
    "sent",
    [
        "resource=http://localhost:8080/mcp&resource=http://localhost:8080/mcp/notes",
        "resource=http://localhost:8080/mcp&resource=https://evil.test/mcp",
        "resource=https://evil.test/mcp&resource=http://localhost:8080/mcp",
    ],
)
async def test_two_resources_that_are_not_the_same_are_an_invalid_target(with_notes: TestGateway, sent: str) -> None:
    """A32, contract §6: a token is bound to one resource."""
    client = await registered(with_notes)
    query = request(client, resource=None) + b"&" + sent.encode()
    await refused(with_notes, query, param="resource", code="invalid_target")


SCOPES = {
    None: "mcp:read mcp:write",
    b"": "mcp:read mcp:write",
    "mcp:read": "mcp:read",
    "mcp:read mcp:write": "mcp:read mcp:write",
    "mcp:write mcp:read": "mcp:read mcp:write",
    "mcp:read mcp:read": "mcp:read",
    " mcp:read  ": "mcp:read",
    "openid email profile": "mcp:read mcp:write",
    "offline_access": "mcp:read mcp:write",
    "offline_access openid mcp:read weird": "mcp:read",
    "offline_access openid mcp weird": "mcp:read mcp:write",
    "MCP:READ": "mcp:read mcp:write",
    "mcp:read,mcp:write": "mcp:read mcp:write",
    "mcp:*": "mcp:read mcp:write",
    "mcp:admin mcp:read": "mcp:read",
    "日本語 mcp:read": "mcp:read",
    '"mcp:write" mcp:read': "mcp:read",
    "x" * 4_000: "mcp:read mcp:write",
}


@pytest.mark.parametrize(("scope", "granted"), SCOPES.items(), ids=[str(scope)[:30] for scope in SCOPES])
async def test_unknown_scopes_are_dropped_and_none_left_means_both(
    running: TestGateway, scope: str | bytes | None, granted: str
) -> None:
    """Contract §4, R47, A31: never invalid_scope."""
    client = await registered(running)
    assert (await accepted(running, request(client, scope=scope)))["scope"] == granted


async def test_the_right_to_write_is_kept(running: TestGateway) -> None:
    """Contract §4: mcp:write implies mcp:read, so both ways of writing it down are right."""
    client = await registered(running)
    row = await accepted(running, request(client, scope="mcp:write email"))
    assert row["scope"] in ("mcp:write", "mcp:read mcp:write")


@pytest.mark.parametrize(
    ("scope", "granted"), [("mcp:read email", "mcp:read"), ("openid email profile", "mcp:read mcp:write")]
)
async def test_the_token_response_names_what_was_granted(running: TestGateway, scope: str, granted: str) -> None:
    """A31, contract §4 and R47: the client can see what became of its wish."""
    async with running.browser() as browser:
        _client, tokens = await oauth.signed_in(running.http, browser, scope=scope)
    assert tokens["scope"] == granted
