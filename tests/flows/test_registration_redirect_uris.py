"""POST register: which redirect URIs are taken, dropped and refused."""

import pytest

from tests.flows._raw import everything
from tests.support import oauth
from tests.support.gateway import TestGateway
from tests.support.oauth import REGISTER

pytestmark = pytest.mark.anyio

GOOD = "https://app.test/cb"

ACCEPTABLE = [
    "https://app.test/cb",
    "https://app.test",
    "https://app.test/",
    "https://app.test:8443/cb",
    "https://app.test/cb?tenant=1&x=%C3%A9",
    "https://app.test/cb%23",
    "https://app.test/a.b/..c/d..",
    "https://xn--bcher-kva.test/cb",
    "https://192.0.2.1/cb",
    "https://[2001:db8::1]:8443/cb",
    "https://localhost/cb",
    "http://127.0.0.1/cb",
    "http://127.0.0.1:33418/",
    "http://127.0.0.1",
    "http://[::1]:8080/cb?x=1",
    "http://localhost:65535/callback/0a1b",
    "com.example.app:/cb",
    "com.example.app://oauth/cb",
    "com.example.app:cb",
    "cursor://anysphere.cursor-mcp/oauth/callback",
    "vscode://vscode.github-authentication/did-authenticate?x=1",
    "vscode-insiders://x/cb",
    "claude://cb",
    "zed://cb",
    "warp://mcp/oauth2callback",
    "windsurf://cb",
]

HOSTILE = [
    # scripts and documents, in any disguise (TC-009)
    "javascript:alert(1)",
    "JavaScript:alert(1)",
    "javascript://app.test/%0aalert(1)",
    " javascript:alert(1)",
    "\x01javascript:alert(1)",
    "java\tscript:alert(1)",
    "java\nscript:alert(1)",
    "javascript&colon;alert(1)",
    "data:text/html,<script>alert(1)</script>",
    "DATA:text/html;base64,PHNjcmlwdD4=",
    "vbscript:msgbox(1)",
    "file:///etc/passwd",
    "blob:https://app.test/0a1b",
    "filesystem:https://app.test/x",
    "about:blank",
    "view-source:https://app.test/cb",
    "ws://app.test/cb",
    "wss://app.test/cb",
    "ftp://app.test/cb",
    "mailto:a@app.test",
    "tel:+1",
    "intent://app.test/#Intent;scheme=https;end",
    "chrome://settings",
    "chrome-extension://abcdefghijklmnop/cb",
    "urn:ietf:wg:oauth:2.0:oob",
    "feed:javascript:alert(1)",
    # an app's scheme that nobody owns (TC-010)
    "myapp:/cb",
    "myapp://cb",
    "cursor:",
    "com.example.app:",
    "com.example.app://",
    # plain http anywhere but here (TC-008), and what only looks like here (TC-007, R24)
    "http://app.test/cb",
    "http://localhost.evil.test/cb",
    "http://localhostevil.test/cb",
    "http://127.0.0.1.nip.io/cb",
    "http://127.0.0.1.evil.test/cb",
    "http://127.0.0.2/cb",
    "http://127.1/cb",
    "http://0.0.0.0/cb",
    "http://2130706433/cb",
    "http://0x7f.1/cb",
    "http://0177.0.0.1/cb",
    "http://①②⑦.0.0.1/cb",
    "http://[::]/cb",
    "http://[::ffff:127.0.0.1]/cb",
    "http://xn--lcalhost-cfg/cb",
    "http://l\u043ecalhost/cb",
    "http://10.0.0.1/cb",
    "http://169.254.169.254/latest",
    "http://127.0.0.1:0/cb",
    "http://127.0.0.1:65536/cb",
    "http://127.0.0.1:٣٣/cb",
    "http://127.0.0.1:/cb",
    "http:127.0.0.1/cb",
    "http:/127.0.0.1/cb",
    # userinfo (TC-004)
    "https://app.test@evil.test/cb",
    "https://user:secret@app.test/cb",
    "https://@app.test/cb",
    "http://127.0.0.1@evil.test/cb",
    "http://127.0.0.1:80@evil.test/cb",
    "http://localhost:80@evil.test/cb",
    "com.example.app://user@host/cb",
    # backslashes, which browsers read as slashes
    "http://127.0.0.1\\@evil.test/cb",
    "https:\\\\app.test\\cb",
    "https://app.test\\.evil.test/cb",
    "https://app.test/cb\\x",
    "https://app.test/cb%5Cx",
    # fragments (TC-011)
    "https://app.test/cb#f",
    "https://app.test/cb#",
    "http://127.0.0.1/cb#",
    "com.example.app:/cb#x",
    # dot segments (TC-003)
    "https://app.test/cb/../evil",
    "https://app.test/..",
    "https://app.test/cb/.",
    "https://app.test/cb/./x",
    "https://app.test/cb/%2e%2e/evil",
    "https://app.test/cb/%2E./evil",
    "https://app.test/cb/..%2fevil",
    "https://app.test/cb/..%2Fevil",
    "https://app.test/cb%2f..%2fevil",
    "https://app.test/cb/..;/evil",
    "com.example.app:/../evil",
    "http://127.0.0.1/cb/../evil",
    # wildcards (TC-002)
    "*",
    "https://*/cb",
    "https://*.app.test/cb",
    "https://app.test/*",
    "https://app.test/cb?*",
    "http://127.0.0.1:*/cb",
    # control characters and line breaks
    "https://app.test/cb\r\nSet-Cookie: x=y",
    "https://app.test/cb\n",
    "https://app.test/c\tb",
    "https://app.test/cb%0d%0aSet-Cookie:x",
    "https://app.test/cb%00",
    "https://app.test/cb%7f",
    "https://app.test/cb x",
    "https://app.test/cb ",
    # no address at all
    "",
    " ",
    "/cb",
    "//app.test/cb",
    "app.test/cb",
    "https:",
    "https://",
    "https:///cb",
    "https:app.test/cb",
    "https:/app.test/cb",
    "https://:443/cb",
    "https://app.test:/cb",
    "https://app.test:0/cb",
    "https://app.test:65536/cb",
    "https://app.test:80:80/cb",
    "https://app..test/cb",
    "https://.app.test/cb",
    "https://app.test;x/cb",
    "https://app.test%2eevil.test/cb",
    "https://[::1/cb",
    "https://[zz]/cb",
    "https://\u0430pp.test/cb",
    "https://app。test/cb",
    "https://app.test/cb/é",
    "https://app.test/%zz",
    "https://app.test/%",
    "https://app.test/<script>",
    'https://app.test/"x',
    "https://app.test/{x}",
    "https://app.test/|x",
    "https://app.test/cb" + "x" * 2_048,
]


@pytest.mark.parametrize("uri", ACCEPTABLE)
async def test_an_acceptable_redirect_uri_is_echoed_and_used(running: TestGateway, uri: str) -> None:
    """Contract §3, TC-010: https, loopback http, reversed domain names and the schemes of known clients."""
    client = await oauth.register(running.http, redirect_uris=[uri])
    assert client.registration["redirect_uris"] == [uri]
    async with running.browser() as browser:
        await oauth.begin(browser, client)
    (row,) = await running.rows("pending_flows")
    assert row["redirect_uri"] == uri


@pytest.mark.parametrize("uri", HOSTILE, ids=[ascii(uri)[:60] for uri in HOSTILE])
async def test_a_hostile_redirect_uri_is_never_registered(running: TestGateway, uri: str) -> None:
    """A25, contract §3, R24: refused alone, dropped next to a good one, and useless at the authorization endpoint.

    TC-002, TC-003, TC-004, TC-007, TC-008, TC-009, TC-010, TC-011.
    """
    before = await everything(running)
    answer = await running.http.post(REGISTER, json={"redirect_uris": [uri]})
    assert answer.status_code == 400, answer.text
    assert answer.headers["cache-control"] == "no-store"
    assert answer.json().keys() == {"error", "error_description"}
    assert answer.json()["error"] == "invalid_redirect_uri"

    for order in ([uri, GOOD], [GOOD, uri]):
        client = await oauth.register(running.http, redirect_uris=order)
        assert client.registration["redirect_uris"] == [GOOD]
    refused = await running.http.get(oauth.AUTHORIZE, params=client.request(redirect_uri=uri or "x"))
    assert refused.status_code == 400
    assert refused.json()["error"]["param"] == "redirect_uri"
    assert await everything(running) == before


async def test_of_many_entries_the_acceptable_ones_are_kept_in_order(running: TestGateway) -> None:
    """R23: one disliked entry does not fail the registration; the kept list is echoed."""
    sent = ["http://app.test/cb", GOOD, "javascript:alert(1)", "http://localhost/cb", "myapp:/cb", "cursor://x/cb"]
    client = await oauth.register(running.http, redirect_uris=sent)
    assert client.registration["redirect_uris"] == [GOOD, "http://localhost/cb", "cursor://x/cb"]


async def test_the_four_redirect_uris_of_an_editor_fit(running: TestGateway) -> None:
    """R28: VS Code lists a fixed port, no port and two websites, and then uses another port."""
    sent = [
        "http://127.0.0.1:33418/",
        "http://127.0.0.1/",
        "https://vscode.dev/redirect",
        "https://insiders.vscode.dev/redirect",
    ]
    client = await oauth.register(running.http, redirect_uris=sent)
    assert client.registration["redirect_uris"] == sent
    async with running.browser() as browser:
        await oauth.begin(browser, client, redirect_uri="http://127.0.0.1:52505/")


@pytest.mark.parametrize("count", [11, 101])
async def test_more_than_ten_redirect_uris_are_refused(running: TestGateway, count: int) -> None:
    """Contract §3, TC-022, R18: always refused."""
    ten = [f"https://app.test/{number}" for number in range(10)]
    assert (await oauth.register(running.http, redirect_uris=ten)).registration["redirect_uris"] == ten
    answer = await running.http.post(
        REGISTER, json={"redirect_uris": [f"https://app.test/{number}" for number in range(count)]}
    )
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_redirect_uri")


@pytest.mark.parametrize(
    "value", [None, [], "", GOOD, {}, {"0": GOOD}, 7, True, [1], [None], [[]], [[GOOD]], [{}], [True]], ids=repr
)
async def test_redirect_uris_must_be_a_list_of_strings(running: TestGateway, value: object) -> None:
    """TC-022 and TC-088: required, and of no other type."""
    for body in ({"redirect_uris": value}, {}):
        answer = await running.http.post(REGISTER, json=body)
        assert (answer.status_code, answer.json()["error"]) == (400, "invalid_redirect_uri")


@pytest.mark.parametrize("length", [2_048, 2_049])
async def test_a_redirect_uri_has_at_most_2048_characters(running: TestGateway, length: int) -> None:
    """TC-022, contract §3: over 2 048 characters is refused."""
    uri = "https://app.test/".ljust(length, "a")
    answer = await running.http.post(REGISTER, json={"redirect_uris": [uri]})
    assert answer.status_code == (201 if length == 2_048 else 400)
