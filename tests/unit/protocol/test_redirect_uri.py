"""Redirect URIs: what may be registered, what matches, where a person is told it leads."""

from urllib.parse import parse_qsl, unquote, urlsplit

import pytest

from bifrost.protocol import redirect_uri
from bifrost.protocol.redirect_uri import APP_SCHEMES, refusal, select, target, with_response

ACCEPTED = [
    # https
    "https://app.example.com/callback",
    "https://app.example.com",
    "https://app.example.com/",
    "https://app.example.com:8443/callback",
    "https://app.example.com/callback?tenant=1&next=%2Fhome",
    "https://app.example.com/callback?",
    "https://app.example.com?x=1",
    "HTTPS://APP.EXAMPLE.COM/callback",
    "https://xn--bcher-kva.example/cb",
    "https://127.0.0.1/cb",
    "https://[2001:db8::1]:8443/cb",
    "https://claude.ai/api/mcp/auth_callback",
    "https://my_host.example.com/cb",
    "https://example.com./cb",
    "https://app.example.com/a%20b/%C3%BC",
    "https://app.example.com/a..b/c.",
    "https://app.example.com/...",
    "https://app.example.com/cb?path=../..",
    "https://app.example.com/~user/@handle:1",
    # loopback (RFC 8252 §7.3)
    "http://127.0.0.1/callback",
    "http://127.0.0.1:33418/callback",
    "http://127.0.0.1",
    "http://127.0.0.1:1",
    "http://127.0.0.1:65535/",
    "http://localhost/callback",
    "http://localhost:3000/oauth/callback?x=1",
    "http://localhost?x=1",
    "http://[::1]/callback",
    "http://[::1]:8080/callback",
    # applications (RFC 8252 §7.1)
    "com.example.app:/oauth2redirect",
    "com.example.app://callback",
    "com.example.app:callback",
    "cursor://anysphere.cursor-retrieval/oauth/user-agent-mcp/callback",
    "vscode://vscode.github-authentication/did-authenticate",
    "vscode-insiders://x/y",
    "claude://oauth",
    "zed://mcp/callback",
    "warp://mcp/oauth2callback",
    "windsurf://codeium.windsurf/callback",
]

REFUSED = [
    "",
    " ",
    "callback",
    "/callback",
    "//app.example.com/callback",
    "app.example.com/callback",
    ":",
    "://",
    # https without a host that is one
    "https:",
    "https:/app.example.com/cb",
    "https://",
    "https:///cb",
    "https://:443/cb",
    "https://app..example.com/cb",
    "https://.example.com/cb",
    "https://app.example.com:/cb",
    "https://app.example.com:0/cb",
    "https://app.example.com:65536/cb",
    "https://app.example.com:999999/cb",
    "https://app.example.com:port/cb",
    "https://[::1/cb",
    "https://::1/cb",
    "https://app%2eexample.com/cb",
    "https://app.example.com%00.evil.example/cb",
    "https://bücher.example/cb",
    # http is for loopback only
    "http://app.example.com/cb",
    "http://127.0.0.2/cb",
    "http://10.0.0.1/cb",
    "http://0.0.0.0/cb",
    "http://127.1/cb",
    "http://2130706433/cb",
    "http://0x7f000001/cb",
    "http://localhost.evil.example/cb",
    "http://127.0.0.1.evil.example/cb",
    "http://localhost.:3000/cb",
    "http://localhost:0/cb",
    "http://localhost:00080/cb",
    "http://localhost:65536/cb",
    "http://localhost:/cb",
    "http://LOCALHOST/cb",
    "http://[::2]/cb",
    "http://[::ffff:127.0.0.1]/cb",
    "http:/127.0.0.1/cb",
    "http:127.0.0.1",
    # userinfo
    "https://user@app.example.com/cb",
    "https://user:password@app.example.com/cb",
    "https://app.example.com@evil.example/cb",
    "https://app.example.com:443@evil.example/cb",
    "http://127.0.0.1@evil.example/cb",
    "http://localhost:3000@evil.example/cb",
    "com.example.app://user@host/cb",
    "https://@app.example.com/cb",
    # fragments
    "https://app.example.com/cb#",
    "https://app.example.com/cb#x",
    "http://127.0.0.1/cb#x",
    "com.example.app:/cb#x",
    # backslashes, control characters, characters a URI has not
    "https://app.example.com\\@evil.example/cb",
    "https:\\\\app.example.com/cb",
    "https://app.example.com/cb\\x",
    "https://app.example.com/cb%5Cx",
    "https://app.example.com/cb%5cx",
    "https://app.example.com/cb\n",
    "https://app.example.com/cb\r\nSet-Cookie: a=b",
    "https://app.example.com/c\tb",
    "https://app.example.com/c b",
    " https://app.example.com/cb",
    "https://app.example.com/cb ",
    "\x00https://app.example.com/cb",
    "https://app.example.com/cb%00",
    "https://app.example.com/cb%0d%0aX: y",
    "https://app.example.com/cb%1F",
    "https://app.example.com/cb%7f",
    "https://app.example.com/cb%",
    "https://app.example.com/cb%2",
    "https://app.example.com/cb%zz",
    'https://app.example.com/"><script>',
    "https://app.example.com/{x}",
    "https://app.example.com/`x`",
    "https://app.example.com/x|y",
    "https://app.example.com/x^y",
    "https://app.example.com/cb\u202e",
    "https://app.example.com/cb\u200b",
    "https://\u0430pp.example.com/cb",
    # wildcards
    "https://*.example.com/cb",
    "https://app.example.com/*",
    "http://127.0.0.1:*/cb",
    "*",
    # dot segments
    "https://app.example.com/../cb",
    "https://app.example.com/a/..",
    "https://app.example.com/./cb",
    "https://app.example.com/a/.",
    "https://app.example.com/a/%2e%2e/cb",
    "https://app.example.com/a/%2E./cb",
    "https://app.example.com/a/.%2e",
    "https://app.example.com/a%2f..%2fcb",
    "https://app.example.com/a%2F%2e%2e",
    "https://app.example.com/a/..;/cb",
    "http://127.0.0.1/../cb",
    "https://[:1]/cb",
    "https://[::1/cb",
    "https://[1.2.3.4]/cb",
    "cursor://host]/cb",
    "cursor://[:1]/cb",
    "com.example.app:/../cb",
    "com.example.app:..",
    "cursor://host/a/../b",
    # schemes that run or read something
    "javascript:alert(1)",
    "JavaScript:alert(1)",
    "javascript://app.example.com/%0aalert(1)",
    "data:text/html,x",
    "vbscript:x",
    "file:///etc/passwd",
    "blob:https://app.example.com/x",
    "about:blank",
    "view-source:https://app.example.com",
    "filesystem:https://app.example.com/x",
    "ftp://app.example.com/cb",
    "ws://127.0.0.1/cb",
    "wss://app.example.com/cb",
    "intent://x#Intent;scheme=x;end",
    "mailto:a@example.com",
    "urn:ietf:wg:oauth:2.0:oob",
    "tel:123",
    "chrome://settings",
    # schemes nobody vouches for
    "myapp://callback",
    "myapp:/callback",
    "x:y",
    "1.2:/cb",
    "com.example.app:",
    "com.example.app://",
    "com.example.app:?code",
    "cursor:",
]


@pytest.mark.parametrize("uri", ACCEPTED)
def test_a_redirect_uri_of_a_kind_that_clients_use_is_accepted(uri: str) -> None:
    """Contract §3; RFC 8252 §7."""
    assert refusal(uri) is None


@pytest.mark.parametrize("uri", REFUSED)
def test_a_redirect_uri_that_could_lead_astray_is_refused_with_a_reason(uri: str) -> None:
    """Contract §3; RFC 9700 §4.1, TC on redirects."""
    reason = refusal(uri)
    assert reason
    assert reason.isascii(), "it becomes an error_description (RFC 7591 §3.2.2)"


def test_a_redirect_uri_has_at_most_2048_characters() -> None:
    """Contract §3."""
    base = "https://app.example.com/"
    assert refusal(base + "a" * (2_048 - len(base))) is None
    assert refusal(base + "a" * (2_049 - len(base)))


@pytest.mark.parametrize("scheme", sorted(APP_SCHEMES))
def test_the_scheme_of_a_known_application_is_accepted(scheme: str) -> None:
    """Contract §3: the list of known clients."""
    assert refusal(f"{scheme}://callback") is None
    assert refusal(f"{scheme}://callback", app_schemes=()) is not None


def test_an_operator_may_add_a_scheme_but_never_one_that_runs_something() -> None:
    """Contract §3: the list is configurable; `javascript:` and its kin are always refused."""
    assert refusal("myapp://callback", app_schemes=("myapp",)) is None
    assert refusal("javascript:alert(1)", app_schemes=("javascript",)) is not None
    assert refusal("file:///x", app_schemes=("file",)) is not None


@pytest.mark.parametrize(
    ("uri", "kind", "label"),
    [
        ("https://app.example.com/cb", "https", "app.example.com"),
        ("https://app.example.com:8443/cb?x=1", "https", "app.example.com:8443"),
        ("HTTPS://app.example.com/cb", "https", "app.example.com"),
        ("http://127.0.0.1:33418/cb", "loopback", "127.0.0.1:33418"),
        ("http://localhost/cb", "loopback", "localhost"),
        ("http://[::1]:8080/cb", "loopback", "[::1]:8080"),
        ("cursor://anysphere.cursor/cb", "app", "cursor://"),
        ("com.example.app:/cb", "app", "com.example.app://"),
        ("not a uri", "app", "an application"),
    ],
)
def test_a_person_is_shown_where_a_redirect_leads(uri: str, kind: str, label: str) -> None:
    """Contract §5: the redirect host in large type."""
    shown = target(uri)
    assert (shown.kind, shown.label) == (kind, label)


def test_a_request_without_a_redirect_uri_uses_the_only_registered_one() -> None:
    """Contract §4; OAuth 2.1 §2.3.2."""
    assert select(["https://a.example/cb"], None) == "https://a.example/cb"
    assert select(["https://a.example/cb", "https://b.example/cb"], None) is None
    assert select([], None) is None


def test_a_presented_redirect_uri_is_returned_as_it_was_presented() -> None:
    """RFC 8252 §7.3: the port is the one of this request."""
    registered = ["https://a.example/cb", "http://127.0.0.1/cb"]
    assert select(registered, "http://127.0.0.1:51004/cb") == "http://127.0.0.1:51004/cb"
    assert select(registered, "https://a.example/cb") == "https://a.example/cb"
    assert select(registered, "https://b.example/cb") is None
    assert select([], "https://a.example/cb") is None


@pytest.mark.parametrize(
    ("uri", "before"),
    [
        ("https://a.example/cb", "https://a.example/cb?"),
        ("https://a.example/cb?", "https://a.example/cb?"),
        ("https://a.example/cb?x=%2F&y=a+b&y=", "https://a.example/cb?x=%2F&y=a+b&y=&"),
        ("https://a.example/cb?x=1&", "https://a.example/cb?x=1&"),
        ("https://a.example", "https://a.example?"),
        ("com.example.app:/cb", "com.example.app:/cb?"),
        ("cursor://host/cb?tenant=ü", "cursor://host/cb?tenant=ü&"),
    ],
)
def test_the_registered_query_is_kept_byte_for_byte(uri: str, before: str) -> None:
    """Contract §5; OAuth 2.1 §2.3."""
    assert with_response(uri, code="bfac_x", state="s") == f"{before}code=bfac_x&state=s"


@pytest.mark.parametrize("state", ["plain", "a b", "a+b", "a&b=c", "%20", "ü☃", "\n", "'\"<>", "=", "#x", "?", "a/b"])
def test_the_state_arrives_as_it_was_sent(state: str) -> None:
    """Contract §4: returned byte for byte."""
    answer = with_response("https://a.example/cb", state=state, iss="https://gw.example")
    assert dict(parse_qsl(urlsplit(answer).query)) == {"state": state, "iss": "https://gw.example"}
    assert "#" not in answer
    assert "\n" not in answer
    # a program that is called by its own scheme may decode escapes and nothing else
    read = dict(pair.split("=", 1) for pair in answer.partition("?")[2].split("&"))
    assert {name: unquote(value) for name, value in read.items()} == {"state": state, "iss": "https://gw.example"}


def test_a_parameter_that_is_none_is_left_out_and_an_empty_one_is_not() -> None:
    """RFC 6749 §4.1.2: state is there if it was there."""
    assert with_response("https://a.example/cb", code="x", state=None) == "https://a.example/cb?code=x"
    assert redirect_uri.with_response("https://a.example/cb", state="") == "https://a.example/cb?state="
