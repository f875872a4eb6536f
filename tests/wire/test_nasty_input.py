"""The nastiest input that we know of, over the wire to a running server: each is refused in its surface's own form.

Never a 5xx, never silence, and nothing that the log calls a fault of ours.
"""

import json
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.support.databases import fresh_postgresql
from tests.wire._bifrost import AUTHORIZE, CONSENT, KEY, PATIENCE_SECONDS, REGISTER, TOKEN, Installation, Person

pytestmark = pytest.mark.wire

ADMIN_TOKEN = "an-administrators-token-0123456789"
QUICKLY = 5.0
JSON = ("Content-Type", "application/json")
FORM = ("Content-Type", "application/x-www-form-urlencoded")
ADMIN = ("Authorization", f"Bearer {ADMIN_TOKEN}")
CALLER = ("x-bf-vk", KEY)
OAUTH = "/api/oauth/per-user"
Headers = tuple[tuple[str, str | bytes], ...]

BODIES: dict[str, bytes] = {
    "nothing": b"",
    "a NUL": b"\x00",
    "a byte order mark": b"\xef\xbb\xbf{}",
    "UTF-16": '{"a":1}'.encode("utf-16"),
    "no UTF-8": b'{"client_name":"\xff\xfe"}',
    "overlong UTF-8": b'{"client_name":"\xc0\x80"}',
    "a surrogate in bytes": b'{"client_name":"\xed\xa0\x80"}',
    "half a surrogate pair": b'{"client_name":"\\ud800"}',
    "an escaped NUL": b'{"client_name":"a\\u0000b"}',
    "a member twice": b'{"client_name":"a","client_name":"b"}',
    "an integer without end": b'{"client_name":' + b"9" * 60_000 + b"}",
    "a number beyond all numbers": b'{"client_name":1e999999}',
    "not a number": b'{"client_name":NaN}',
    "infinity": b'{"client_name":-Infinity}',
    "lists in lists": b"[" * 60_000,
    "lists in lists, closed": b"[" * 30_000 + b"]" * 30_000,
    "objects in objects": b'{"a":' * 10_000 + b"1" + b"}" * 10_000,
    "two values": b"{} {}",
    "blanks": b" " * 60_000,
    "a scalar": b"1",
    "null": b"null",
}
"""For every address that reads JSON; none of them is a request of any."""


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def serving(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    directory: Path = tmp_path_factory.mktemp("nasty")
    if request.param == "sqlite":
        url = f"sqlite:///{directory / 'bifrost.db'}"
    else:
        url = fresh_postgresql(request.getfixturevalue("postgresql_directory"))
    upstream = {"name": "notes", "connection_string": "http://127.0.0.1:9/mcp", "allow_on_all_virtual_keys": True}
    sections = {"admin_token": ADMIN_TOKEN, "mcp": {"client_configs": [{**upstream, "tools_to_execute": ["*"]}]}}
    installation = Installation(directory, url, sections)
    with installation.running():
        yield installation


@pytest.fixture(scope="module")
def client_id(serving: Installation) -> str:
    person = Person(serving.origin)
    person.register()
    return person.client_id


def _send(serving: Installation, method: str, target: str | bytes, headers: Headers, body: bytes) -> bytes:
    """One request with exactly these bytes; the whole answer."""
    path = target if isinstance(target, bytes) else target.encode()
    lines = [method.encode() + b" " + path + b" HTTP/1.1", f"Host: 127.0.0.1:{serving.port}".encode()]
    lines += [
        name.encode() + b": " + (value if isinstance(value, bytes) else value.encode()) for name, value in headers
    ]
    lines += [f"Content-Length: {len(body)}".encode(), b"Connection: close", b"", b""]
    with socket.create_connection(("127.0.0.1", serving.port), timeout=PATIENCE_SECONDS) as connection:
        connection.sendall(b"\r\n".join(lines) + body)
        answer = b""
        while part := connection.recv(65_536):
            answer += part
    return answer


def refused(serving: Installation, method: str, target: str | bytes, headers: Headers, body: bytes = b"") -> bytes:
    """The body of a refusal that came soon; what the log says is looked at as well."""
    began, known = time.monotonic(), len(serving.log.read_bytes())
    answer = _send(serving, method, target, headers, body)
    assert time.monotonic() - began < QUICKLY
    assert answer.startswith(b"HTTP/1.1 4"), answer[:300]
    said = serving.log.read_bytes()[known:]
    assert b"unexpected_error" not in said
    assert b"Traceback" not in said
    return answer.partition(b"\r\n\r\n")[2]


@pytest.mark.parametrize("body", BODIES)
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/api/mcp/client"),
        ("PUT", "/api/mcp/client/notes"),
        ("POST", "/api/oauth2/clients"),
        ("PUT", "/api/oauth2/clients/client_x"),
        ("POST", "/api/governance/virtual-keys"),
        ("PUT", "/api/governance/virtual-keys/vk-test"),
    ],
)
def test_the_management_api_reads_json_strictly(serving: Installation, method: str, path: str, body: str) -> None:
    """Contract §§2, 9, TC-169: the gateway's error, with every member."""
    answer = json.loads(refused(serving, method, path, (JSON, ADMIN), BODIES[body]))
    assert answer["is_bifrost_error"] is True
    assert answer["error"]["code"]


@pytest.mark.parametrize("body", BODIES)
def test_registration_reads_json_strictly(serving: Installation, body: str) -> None:
    """Contract §3, TC-169: RFC 7591 errors."""
    answer = json.loads(refused(serving, "POST", REGISTER, (JSON,), BODIES[body]))
    assert answer["error"] in ("invalid_request", "invalid_client_metadata", "invalid_redirect_uri")


PARAMS = b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":'
MESSAGES: dict[str, bytes] = {
    **BODIES,
    "deep arguments": PARAMS + b'{"name":"notes-a","arguments":' + b"[" * 200_000 + b"]" * 200_000 + b"}}",
    "deep arguments, not closed": PARAMS + b'{"name":"notes-a","arguments":' + b"[" * 200_000,
    "deep _meta": PARAMS + b'{"_meta":' + b'{"a":' * 100_000 + b"1" + b"}" * 100_000 + b"}}",
    "a method twice": b'{"jsonrpc":"2.0","id":1,"method":"ping","method":"tools/list"}',
    "a name twice": PARAMS + b'{"name":"notes-a","name":"notes-b"}}',
    "no UTF-8 in arguments": PARAMS + b'{"name":"notes-a","arguments":{"x":"\xff"}}}',
    "an id without end": b'{"jsonrpc":"2.0","id":' + b"9" * 4_000 + b',"method":"ping"}',
    "an id beyond all numbers": b'{"jsonrpc":"2.0","id":1e400,"method":"ping"}',
    "half a surrogate pair as id": b'{"jsonrpc":"2.0","id":"\\ud800","method":"ping"}',
    "half a surrogate pair as method": b'{"jsonrpc":"2.0","id":1,"method":"\\ud800"}',
    "a list as id": b'{"jsonrpc":"2.0","id":[],"method":"ping"}',
    "a batch of twenty thousand": b"[" + b",".join([b'{"jsonrpc":"2.0","id":1,"method":"ping"}'] * 20_000) + b"]",
    "a batch of commas": b"[" + b"1," * 500_000 + b"1]",
    "a deep batch": b"[" + b"[" * 100_000 + b"]" * 100_000 + b"]",
}


@pytest.mark.parametrize("more", [(), (("Mcp-Session-Id", b"bogus\xff"),), (("MCP-Protocol-Version", "2026-07-28"),)])
@pytest.mark.parametrize("message", MESSAGES)
def test_the_mcp_endpoints_read_messages_strictly(serving: Installation, message: str, more: Headers) -> None:
    """Contract §§2, 7, TC-169: JSON-RPC errors, in both eras and with a session that is none."""
    answer = json.loads(refused(serving, "POST", "/mcp", (JSON, CALLER, *more), MESSAGES[message]))
    assert answer["jsonrpc"] == "2.0"
    assert answer["error"]["code"] < 0


FIELDS = (
    "Mcp-Session-Id",
    "Last-Event-ID",
    "Mcp-Method",
    "Origin",
    "Authorization",
    "DPoP",
    "Cookie",
    "X-Forwarded-For",
)


@pytest.mark.parametrize("field", FIELDS)
def test_a_field_of_a_hundred_kilobytes_is_refused(serving: Installation, field: str) -> None:
    """RFC 6585 §5: by the connection, before anybody looks at it."""
    ping = b'{"jsonrpc":"2.0","id":1,"method":"ping"}'
    answer = _send(serving, "POST", "/mcp", (JSON, CALLER, (field, b"a" * 100_000)), ping)
    assert answer.startswith(b"HTTP/1.1 431 "), answer[:200]


ADDRESSES = (
    "https://169.254.169.254/latest/meta-data/",
    "https://[::ffff:169.254.169.254]/x",
    "https://127.0.0.1/x",
    "https://2130706433/x",
    "https://0x7f000001/x",
    "https://localhost/x",
    "http://169.254.169.254/x",
    "https://[fe80::1%25eth0]/x",
    "https://user@host.example/x",
    "https://" + "a" * 3_000 + "/x",
    "https://a\x00b/x",
)


@pytest.mark.parametrize("address", ADDRESSES, ids=lambda address: address[:30].replace("\x00", "NUL"))
def test_a_client_id_that_leads_inside_is_refused_and_nobody_is_asked(serving: Installation, address: str) -> None:
    """TC-098, RFC 6890: at the authorization endpoint and at the token endpoint."""
    query = f"client_id={quote(address, safe='')}&redirect_uri=http%3A%2F%2F127.0.0.1%2Fcb&response_type=code"
    refused(serving, "GET", f"{AUTHORIZE}?{query}", (("Accept", "application/json"),))
    form = f"grant_type=refresh_token&refresh_token=x&client_id={quote(address, safe='')}".encode()
    assert json.loads(refused(serving, "POST", TOKEN, (FORM,), form))["error"] in ("invalid_client", "invalid_request")


FORMS: dict[str, bytes] = {
    "nothing": b"",
    "an escaped NUL": b"grant_type=refresh_token&client_id=%s&refresh_token=bfrt_%%00",
    "a NUL": b"grant_type=refresh_token&client_id=%s&refresh_token=bfrt_\x00",
    "an escape that is no UTF-8": b"grant_type=refresh_token&client_id=%s&refresh_token=%%ff",
    "an escaped surrogate": b"grant_type=refresh_token&client_id=%s&refresh_token=%%ed%%a0%%80",
    "a byte that is no UTF-8": b"grant_type=refresh_token&client_id=%s&refresh_token=\xff",
    "half an escape": b"grant_type=refresh_token&client_id=%s&refresh_token=%%f",
    "a parameter twice": b"grant_type=refresh_token&client_id=%s&refresh_token=a&refresh_token=b",
    "a long value": b"grant_type=refresh_token&client_id=%s&refresh_token=" + b"a" * 50_000,
    "ampersands": b"&" * 60_000,
    "pairs": b"a=b&" * 15_000,
    "equals signs": b"=" * 60_000,
    "a NUL as code": b"grant_type=authorization_code&client_id=%s&code=%%00&code_verifier=x",
    "a verifier beyond ASCII": b"grant_type=authorization_code&client_id=%s&code=x&code_verifier=%%C3%%A9",
    "a resource that is no address": b"grant_type=refresh_token&client_id=%s&refresh_token=x&resource=http%%3A%%2F%%2F%%5B",
    "an id that was never sealed": b"grant_type=refresh_token&client_id=bfcl_%%C3%%A9!&refresh_token=x",
    "an assertion of nothing": b"grant_type=refresh_token&refresh_token=x&client_assertion_type="
    b"urn%%3Aietf%%3Aparams%%3Aoauth%%3Aclient-assertion-type%%3Ajwt-bearer&client_assertion=e30.W1tb.x",
    "JSON": b'{"grant_type":"refresh_token"}',
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("path", [TOKEN, f"{OAUTH}/revoke", f"{OAUTH}/introspect", f"{OAUTH}/par"])
def test_forms_are_read_strictly(serving: Installation, client_id: str, path: str, form: str) -> None:
    """Contract §6, OAuth 2.1 §3.1: one error in OAuth's form, whatever of it is wrong."""
    raw = FORMS[form]
    body = raw % client_id.encode() if b"%s" in raw else raw.replace(b"%%", b"%")
    headers = (FORM, ADMIN) if path.endswith("introspect") else (FORM,)
    assert json.loads(refused(serving, "POST", path, headers, body))["error"]


FLOODS = {
    "a million fields": b"a=b&" * 1_000_000,
    "many small fields": b"a=b&" * 16_000,
    "many empty fields": b"&" * 65_000,
    "an enormous field": b"grant_type=" + b"a" * 10_000_000,
    "an enormous name": b"a" * 65_000 + b"=",
    "escapes": b"a=" + b"%41" * 21_000,
}


@pytest.mark.parametrize("flood", FLOODS)
@pytest.mark.parametrize("path", [TOKEN, f"{OAUTH}/introspect", f"{OAUTH}/par", f"{CONSENT}/vk"])
def test_a_form_without_end_is_refused_and_keeps_nobody_waiting(serving: Installation, path: str, flood: str) -> None:
    """TC-167: counted before it is cut, and by its length before it is read; multipart is not read at all."""
    headers = (FORM, ADMIN) if path.endswith("introspect") else (FORM,)
    began = time.monotonic()
    refused(serving, "POST", path, headers, FLOODS[flood])
    parts = (("Content-Type", "multipart/form-data; boundary=x"), *headers[1:])
    refused(serving, "POST", path, parts, b"--x\r\n" + b"X-Field: a\r\n" * 100_000)
    assert time.monotonic() - began < QUICKLY


@pytest.mark.parametrize(
    "value", [b"Basic !!!", b"Basic AAA6AAA=", b"Basic //86//8=", b"Bearer \xff", b"Basic YWJj", b""]
)
@pytest.mark.parametrize("path", [TOKEN, f"{OAUTH}/revoke", f"{OAUTH}/introspect", f"{OAUTH}/par"])
def test_a_credential_that_cannot_be_read_is_refused(serving: Installation, path: str, value: bytes) -> None:
    """RFC 6749 §5.2."""
    form = b"grant_type=refresh_token&refresh_token=x&token=x"
    assert json.loads(refused(serving, "POST", path, (FORM, ("Authorization", value)), form))["error"]


@pytest.mark.parametrize("value", [b"x", b"\xff", b"." * 20_000, b"W1tb" * 2_000 + b".W1tb.x", b"e30.e30.x", b",", b""])
def test_a_proof_that_cannot_be_read_is_refused(serving: Installation, client_id: str, value: bytes) -> None:
    """RFC 9449 §4.3."""
    form = f"grant_type=refresh_token&refresh_token=x&client_id={client_id}".encode()
    answer = json.loads(refused(serving, "POST", TOKEN, (FORM, ("DPoP", value)), form))
    assert answer["error"] == "invalid_dpop_proof"


SEGMENTS = (b"%00", b"%ff", b"%ed%a0%80", b"..%2f..%2fetc", b"a" * 20_000, b"%0a", b"x%00y", b"%25" * 500, b"'%22;--")


@pytest.mark.parametrize("segment", SEGMENTS, ids=lambda segment: segment[:12].decode())
@pytest.mark.parametrize(
    "path", [b"/api/mcp/client/", b"/api/oauth2/clients/", b"/api/governance/virtual-keys/", b"/api/oauth2/sessions/"]
)
def test_a_name_in_a_path_that_nothing_has_is_not_found(serving: Installation, path: bytes, segment: bytes) -> None:
    """Contract §2: also one that no database would take."""
    for method in ("DELETE", "GET"):
        refused(serving, method, path + segment, (ADMIN,))
    refused(serving, "POST", b"/mcp/" + segment, (JSON, CALLER), b'{"jsonrpc":"2.0","id":1,"method":"ping"}')
    refused(serving, "GET", b"/.well-known/oauth-protected-resource/mcp/" + segment, ())


QUERIES = (b"limit=" + b"9" * 4_000, b"limit=-1", b"limit=1e5", b"limit=%00", b"offset=99999999999999999999") + (
    (b"limit=1&limit=2", b"a" * 20_000 + b"=1", b"&" * 9_000, b"%=%", b"search=%ff", b"search=%00", b"search=%ed%a0%80")
)


@pytest.mark.parametrize("query", QUERIES, ids=lambda query: query[:16].decode())
def test_a_query_is_read_strictly(serving: Installation, query: bytes) -> None:
    """Contract §9: an unknown parameter and a number out of bounds are errors that name it."""
    for path in (b"/api/mcp/clients", b"/api/oauth2/clients", b"/api/audit"):
        answer = json.loads(refused(serving, "GET", path + b"?" + query, (ADMIN,)))
        assert answer["is_bifrost_error"] is True


@pytest.mark.parametrize("query", [b"flow_id=%00", b"flow_id=%ff", b"flow_id=x&flow_id=y", b"state=%00", b"&" * 9_000])
def test_pages_are_asked_for_strictly(serving: Installation, query: bytes) -> None:
    """Contract §5: a page that says so, and nothing about any flow."""
    cookie = ("Cookie", b"__bifrost_flow_secret=" + b"a" * 5_000 + b"; __bifrost_flow_secret=\xff")
    for path in (b"/oauth/consent", b"/oauth/consent/mcps", b"/api/oauth/callback"):
        assert b"Traceback" not in refused(serving, "GET", path + b"?" + query, (cookie, ("Accept", "text/html")))
    refused(serving, "POST", f"{CONSENT}/vk", (cookie, FORM), query)
