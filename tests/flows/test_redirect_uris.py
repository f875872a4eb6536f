"""Redirect URIs at the authorization endpoint: what matches, what only looks as if it did, what was never acceptable."""

from pathlib import Path

import pytest

from bifrost.authserver.sealed_clients import SealedClients
from bifrost.protocol.client_registration import ClientMetadata
from bifrost.protocol.redirect_uri import APP_SCHEMES
from tests.flows._authorization import accepted, assert_no_way_back, refused, registered, request
from tests.support import oauth
from tests.support.clock import FakeClock
from tests.support.gateway import RING, TestGateway, running_gateway
from tests.support.oauth import OAuthClient

pytestmark = pytest.mark.anyio

CODE = "invalid_redirect_uri"

HTTPS_NEAR_MISSES = [
    # TC-001
    "https://app.test/cb/",
    "https://app.test/CB",
    "https://app.test/cb?x=1",
    "https://app.test/cb?",
    "https://app.test/cb;x",
    "https://app.test/c%62",
    "https://app.test:443/cb",
    "https://app.test:8443/cb",
    "https://APP.test/cb",
    "HTTPS://app.test/cb",
    "https://app.test/cb ",
    " https://app.test/cb",
    "https://app.test/",
    "https://app.test",
    "https://app.test/c",
    "https://app.test//cb",
    "http://app.test/cb",
    "//app.test/cb",
    "/cb",
    "app.test/cb",
    # TC-002
    "https://app.test.evil.test/cb",
    "https://evilapp.test/cb",
    "https://x.app.test/cb",
    "https://app.test./cb",
    "https://\u0430pp.test/cb",
    "https://app。test/cb",
    "https://app.test/cb*",
    "https://*.test/cb",
    "*",
    # TC-003
    "https://app.test/cb/../evil",
    "https://app.test/cb/..%2fevil",
    "https://app.test/cb%252f..%252fevil",
    "https://app.test/cb/.",
    "https://app.test/x/../cb",
    "https://app.test/./cb",
    # TC-004
    "https://app.test@evil.test/cb",
    "https://user@app.test/cb",
    "https://evil.test\\@app.test/cb",
    "https://app.test\\.evil.test/cb",
    "https:\\\\app.test/cb",
    # TC-011
    "https://app.test/cb#f",
    "https://app.test/cb#",
    "https://app.test/cb%23",
]


@pytest.mark.parametrize("uri", HTTPS_NEAR_MISSES)
async def test_a_near_miss_of_an_https_redirect_uri_does_not_match(running: TestGateway, uri: str) -> None:
    """A24, contract §4: exact string comparison; TC-001 to TC-004, TC-011; R27: the port of a website counts."""
    client = await registered(running, "https://app.test/cb")
    page = await refused(running, request(client, redirect_uri=uri), param="redirect_uri", code=CODE)
    assert_no_way_back(page)


async def test_the_registered_port_of_a_website_cannot_be_left_out(running: TestGateway) -> None:
    """Contract §4 and R27: port flexibility is for loopback only, in both directions."""
    client = await registered(running, "https://app.test:8443/cb", "https://127.0.0.1:8443/cb")
    for uri in ("https://app.test/cb", "https://app.test:8444/cb", "https://127.0.0.1:1/cb", "https://127.0.0.1/cb"):
        await refused(running, request(client, redirect_uri=uri), param="redirect_uri", code=CODE)
    for uri in ("https://app.test:8443/cb", "https://127.0.0.1:8443/cb"):
        assert (await accepted(running, request(client, redirect_uri=uri)))["redirect_uri"] == uri


@pytest.mark.parametrize(
    "asked", ["http://{host}:55555/cb", "http://{host}/cb", "http://{host}:1/cb", "http://{host}:65535/cb"]
)
@pytest.mark.parametrize("listed", ["http://{host}:1234/cb", "http://{host}/cb"])
@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]", "localhost"])
async def test_a_loopback_redirect_uri_matches_on_any_port(
    running: TestGateway, host: str, listed: str, asked: str
) -> None:
    """A24, contract §4, RFC 8252 §7.3, TC-006, R27 and R28: whether or not a port was registered."""
    client = await registered(running, listed.format(host=host))
    uri = asked.format(host=host)
    assert (await accepted(running, request(client, redirect_uri=uri)))["redirect_uri"] == uri


@pytest.mark.parametrize(
    "uri", ["http://127.0.0.1:55555/cb", "http://[::1]:55555/cb", "http://localhost:55555/cb", "http://localhost/cb"]
)
async def test_the_code_is_delivered_to_the_port_that_was_asked_for(running: TestGateway, uri: str) -> None:
    """TC-006: and the token request with the same redirect URI succeeds, with the registered one it does not."""
    listed = "http://{}:1234/cb".format(uri.split("/")[2].removesuffix(":55555"))
    client = await registered(running, listed)
    async with running.browser() as browser:
        flow_id = await oauth.begin(browser, client, redirect_uri=uri)
        csrf = await oauth.csrf_of(browser, flow_id)
        await oauth.press(browser, "skip", flow_id, csrf=csrf)
        answer = await oauth.press(browser, "submit", flow_id, csrf=csrf)
    assert answer.headers["location"].startswith(f"{uri}?code=bfac_")
    code = oauth.response_of(answer)["code"]
    assert (await client.redeem(code, redirect_uri=listed)).json()["error"] == "invalid_grant"
    assert (await client.redeem(code, redirect_uri=uri)).status_code == 200


LOOPBACK_ABUSE = [
    # TC-007
    "http://127.0.0.1:1234/other",
    "http://127.0.0.1:1234/cb/",
    "http://127.0.0.1:1234/CB",
    "http://127.0.0.1:1234/cb?x=1",
    "http://127.0.0.1:1234/",
    "http://127.0.0.1:1234",
    "https://127.0.0.1:1234/cb",
    "http://localhost:1234/cb",
    "http://[::1]:1234/cb",
    "http://[0:0:0:0:0:0:0:1]:1234/cb",
    "http://[::ffff:127.0.0.1]:1234/cb",
    "http://127.0.0.2:1234/cb",
    "http://0.0.0.0:1234/cb",
    "http://127.1:1234/cb",
    "http://2130706433:1234/cb",
    "http://0x7f.1:1234/cb",
    "http://0177.0.0.1:1234/cb",
    "http://①②⑦.0.0.1:1234/cb",
    "http://127.0.0.1.:1234/cb",
    "http://localhost.evil.test/cb",
    "http://127.0.0.1.nip.io/cb",
    "http://127.0.0.1.evil.test:1234/cb",
    "http://127.0.0.1:0/cb",
    "http://127.0.0.1:65536/cb",
    "http://127.0.0.1:99999/cb",
    "http://127.0.0.1:٣٣/cb",
    "http://127.0.0.1:-1/cb",
    "http://127.0.0.1:01234/cb",
    "http://127.0.0.1:/cb",
    "http://127.0.0.1:1234:80/cb",
    "HTTP://127.0.0.1:1/cb",
    "http:/127.0.0.1:1234/cb",
    "http://127.0.0.1:1234\\/cb",
    "http://127.0.0.1:1234/x/../cb",
    "http://127.0.0.1:1234/cb#",
    # TC-004
    "http://127.0.0.1:80@evil.test/cb",
    "http://127.0.0.1@evil.test/cb",
    "http://evil.test@127.0.0.1:1234/cb",
    "http://127.0.0.1\\@evil.test/cb",
]


@pytest.mark.parametrize("uri", LOOPBACK_ABUSE)
async def test_only_the_port_of_a_loopback_redirect_uri_is_flexible(running: TestGateway, uri: str) -> None:
    """A24, contract §4, TC-004 and TC-007: host, scheme, path and query stay exact."""
    client = await registered(running, "http://127.0.0.1:1234/cb")
    page = await refused(running, request(client, redirect_uri=uri), param="redirect_uri", code=CODE)
    assert_no_way_back(page)


async def test_the_query_of_a_loopback_redirect_uri_is_exact_on_every_port(running: TestGateway) -> None:
    """R27: scheme, host, path and query exact."""
    client = await registered(running, "http://localhost:8787/cb?tool=1")
    await accepted(running, request(client, redirect_uri="http://localhost:9/cb?tool=1"))
    for uri in ("http://localhost:9/cb?tool=2", "http://localhost:9/cb", "http://localhost:9/cb?tool=1&x=2"):
        await refused(running, request(client, redirect_uri=uri), param="redirect_uri", code=CODE)


@pytest.mark.parametrize(
    "uri",
    [
        "com.example.app:/cb/",
        "com.example.app://cb",
        "com.example.app2:/cb",
        "COM.example.app:/cb",
        "com.example.app:/cb?x",
    ],
)
async def test_a_near_miss_of_an_app_redirect_uri_does_not_match(running: TestGateway, uri: str) -> None:
    """Contract §4: exact string comparison also for private-use schemes."""
    client = await registered(running, "com.example.app:/cb")
    page = await refused(running, request(client, redirect_uri=uri), param="redirect_uri", code=CODE)
    assert_no_way_back(page)


async def test_one_registered_redirect_uri_may_be_left_out(running: TestGateway) -> None:
    """A26, contract §4: only if exactly one is registered; TC-012 for more."""
    one = await registered(running, "https://app.test/cb")
    for value in (None, b""):
        row = await accepted(running, request(one, redirect_uri=value))
        assert row["redirect_uri"] == "https://app.test/cb"
    two = await registered(running, "https://app.test/cb", "http://127.0.0.1/cb")
    page = await refused(running, request(two, redirect_uri=None), param="redirect_uri")
    assert_no_way_back(page)


async def test_a_client_uses_its_own_redirect_uris_only(running: TestGateway) -> None:
    """Contract §4: registered by somebody is not registered by this client."""
    first, second = await registered(running, "https://one.test/cb"), await registered(running, "https://two.test/cb")
    uri = second.registration["redirect_uris"][0]
    await refused(running, request(first, redirect_uri=uri), param="redirect_uri", code=CODE)


SCRIPTS = [
    "javascript:alert(1)",
    "JavaScript:alert(1)",
    " javascript:alert(1)",
    "data:text/html,x",
    "vbscript:x",
    "file:///etc/passwd",
    "blob:https://app.test/x",
    "about:blank",
    "view-source:https://app.test/",
    "ws://app.test/cb",
    "http://app.test/cb",
    "myapp:/cb",
    "https://app.test/cb#f",
    "https://user@app.test/cb",
]


def _planted(*uris: str) -> OAuthClient:
    """A client id that this server sealed at a time when it accepted these redirect URIs."""
    metadata = ClientMetadata(
        redirect_uris=uris,
        client_name="Planted",
        grant_types=("authorization_code",),
        token_endpoint_auth_method="none",
        scope="",
    )
    client_id = SealedClients(RING, APP_SCHEMES).register(metadata)[0]
    return OAuthClient(None, {"client_id": client_id, "redirect_uris": list(uris)})  # type: ignore[arg-type]


@pytest.mark.parametrize("uri", SCRIPTS)
async def test_a_redirect_uri_that_was_registered_under_older_rules_is_not_used(running: TestGateway, uri: str) -> None:
    """A25, TC-009: refused at the authorization endpoint even when it is among the registered ones."""
    client = _planted(uri)
    page = await refused(running, request(client), param="redirect_uri", code=CODE)
    assert_no_way_back(page)
    page = await refused(running, request(client, redirect_uri=None), param="redirect_uri", code=None)
    assert_no_way_back(page)


async def test_a_planted_client_with_a_good_redirect_uri_is_served(running: TestGateway) -> None:
    """The counterpart of the test above: it is the redirect URI that is refused there, not the way it came."""
    client = _planted("https://app.test/cb")
    await accepted(running, request(client))


@pytest.mark.parametrize("scheme", ["cursor", "vscode", "vscode-insiders", "claude", "zed", "warp", "windsurf"])
async def test_the_schemes_of_known_clients_are_accepted(running: TestGateway, scheme: str) -> None:
    """Contract §3, TC-010."""
    uri = f"{scheme}://vendor.extension/callback"
    client = await registered(running, uri)
    await accepted(running, request(client))


async def test_a_scheme_on_the_configured_list_is_accepted(sqlite_url: str, tmp_path: Path, clock: FakeClock) -> None:
    """Contract §3: the list of known clients is configurable; TC-010. A script is none, whatever is configured."""
    schemes = {"allowed_app_schemes": ["myapp", "javascript"]}
    async with running_gateway(sqlite_url, tmp_path, clock=clock, client=schemes) as running:
        client = await registered(running, "myapp:/cb", "javascript:alert(1)", "otherapp:/cb")
        assert client.registration["redirect_uris"] == ["myapp:/cb"]
        await accepted(running, request(client))
