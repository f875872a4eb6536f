"""What stands before authentication at /mcp, and what right after it: host, origin, preflight, method, body (contract §7)."""

import asyncio
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.flows._mcp import (
    ERAS,
    KEY,
    ask,
    challenge,
    message,
    modern_headers,
    refusal,
    result_of,
    rpc_error,
    with_upstreams,
)
from tests.flows._tokens import signed_in
from tests.support.gateway import ISSUER, TestGateway, running_gateway, upstream

pytestmark = pytest.mark.anyio

NOTES = upstream("notes", "http://127.0.0.1:9/mcp")
PATHS = ("/mcp", "/mcp/", "/mcp/notes", "/mcp/notes/")
HOSTS = ("localhost:8080", "127.0.0.1:8080", "[::1]:8080")
JSON = {"Content-Type": "application/json"}
MAX_BYTES = 4 * 1024 * 1024


@pytest.mark.parametrize("host", HOSTS)
@pytest.mark.parametrize("path", PATHS)
async def test_the_challenge_names_the_metadata_of_the_address_that_was_called(
    sqlite_url: str, tmp_path: Path, path: str, host: str
) -> None:
    """TC-134, contract §§1, 7, RFC 9728 §3.3, R35: exact string, no `error` without credentials; the document agrees.

    RS3, RS5, RS6.
    """
    async with with_upstreams(sqlite_url, tmp_path, NOTES) as running:
        origin = f"http://{host}"
        for method in ("POST", "GET", "DELETE"):
            answer = await running.http.request(method, path, headers={"Host": host})
            assert refusal(answer, 401) == "missing_credentials"
            assert answer.headers["www-authenticate"] == challenge(path, origin)
        answer = await ask(running.http, "ping", path=path, headers={"Host": host, "x-bf-vk": "sk-bf-x"})
        assert answer.headers["www-authenticate"] == challenge(path, origin, "invalid_token")
        document = await running.http.get(urlsplit(challenge(path, origin).split('"')[1]).path, headers={"Host": host})
        assert document.json()["resource"] == f"{origin}{path}"
        assert document.json()["authorization_servers"] == [ISSUER]


async def test_an_unknown_endpoint_is_a_404_in_the_form_of_mcp(running: TestGateway) -> None:
    """Contract §2: with and without credentials; nothing is invented for a slug."""
    for path in ("/mcp/unknown", "/mcp/UNKNOWN", "/mcp/%00", "/mcp/-", "/mcp/%25"):
        for headers in ({}, KEY):
            word = refusal(await ask(running.http, "ping", path=path, headers=headers), 404)
            assert word in ("unknown_endpoint", "not_found")


async def test_no_refusal_is_kept_by_whatever_is_in_between(running: TestGateway) -> None:
    """RFC 9111 §4.2.2: a 404 or 405 may be kept without a word to the contrary, and then stand for other callers."""
    answers = [await running.http.get("/mcp/unknown"), await running.http.get("/mcp", headers=KEY)]
    answers += [await running.http.get("/mcp"), await ask(running.http, "no/such", headers=KEY)]
    assert [answer.status_code for answer in answers] == [404, 405, 401, 200]
    assert {answer.headers.get("cache-control") for answer in answers} == {"no-store"}


@pytest.mark.parametrize(
    "path",
    [
        "//mcp",
        "/MCP",
        "/mcp;x",
        "/%6dcp/x/y",
        "/mcp/a/b",
        "/mcp/a%2fb",
        "/mcp/..%2fadmin",
        "/api//oauth",
        "/mcp/../admin",
    ],
)
async def test_paths_that_only_look_like_ours_open_nothing(running: TestGateway, path: str) -> None:
    """TC-155: never a redirect, which would drop the credentials or send them on."""
    answer = await ask(running.http, "ping", path=f"http://localhost:8080{path}")
    assert answer.status_code in (400, 404)
    assert "location" not in answer.headers


@pytest.mark.parametrize(
    "origin",
    ["https://evil.test", "null", "", "http://localhost.evil.test", "http://evil.test:8080", "file://", "localhost"],
)
async def test_a_foreign_origin_is_refused_before_anything_else(running: TestGateway, origin: str) -> None:
    """T2, contract §7, TC-153: 403 with good credentials, with bad ones and with none; for a preflight as well."""
    for headers in (KEY, {}, {"x-bf-vk": "bad"}):
        answer = await ask(running.http, "ping", headers={**headers, "Origin": origin})
        assert refusal(answer, 403) == "origin_not_allowed"
        assert "access-control-allow-origin" not in answer.headers
        assert "www-authenticate" not in answer.headers
    for method in ("GET", "DELETE", "OPTIONS", "PUT"):
        answer = await running.http.request(method, "/mcp", headers={"Origin": origin})
        assert refusal(answer, 403) == "origin_not_allowed"


@pytest.mark.parametrize("origin", [ISSUER, "http://127.0.0.1:8080", "http://localhost:6274", "http://[::1]:3000"])
async def test_pages_of_this_machine_may_call_a_gateway_of_this_machine(running: TestGateway, origin: str) -> None:
    """Contract §7: while every public URL is loopback; the answer names the origin and varies with it."""
    answer = await ask(running.http, "ping", headers={**KEY, "Origin": origin})
    assert result_of(answer) == {}
    assert answer.headers["access-control-allow-origin"] == origin
    assert "origin" in answer.headers["vary"].lower()
    assert "access-control-allow-credentials" not in answer.headers
    assert {"www-authenticate", "mcp-session-id"} <= _words(answer.headers["access-control-expose-headers"])


async def test_under_a_real_name_only_its_own_and_configured_origins_may_call(sqlite_url: str, tmp_path: Path) -> None:
    """Contract §7: a page on somebody's machine is foreign to a gateway on the network."""
    server = {"public_urls": ["https://gw.example"], "allowed_origins": ["https://app.example"]}
    async with running_gateway(sqlite_url, tmp_path, server=server) as running:
        expected = {
            "https://gw.example": 200,
            "https://app.example": 200,
            "http://localhost:6274": 403,
            "https://app.example:444": 403,
            "http://app.example": 403,
            "https://sub.app.example": 403,
        }
        for origin, status in expected.items():
            answer = await ask(running.http, "ping", headers={**KEY, "Host": "gw.example", "Origin": origin})
            assert answer.status_code == status, origin


def _words(header: str) -> set[str]:
    return {word.strip().lower() for word in header.split(",")}


@pytest.mark.parametrize("path", ["/mcp", "/mcp/", "/mcp/notes"])
async def test_a_preflight_is_answered_before_authentication(sqlite_url: str, tmp_path: Path, path: str) -> None:
    """Contract §7, R43: browsers send it without credentials; everything a client of either era sends is allowed."""
    async with with_upstreams(sqlite_url, tmp_path, NOTES) as running:
        answer = await running.http.options(
            path,
            headers={
                "Origin": "http://localhost:6274",
                "Access-Control-Request-Method": "POST",
                "Access-Control-Request-Headers": "authorization,mcp-method,Mcp-Param-Region,mcp-param-,x-evil",
            },
        )
        assert answer.status_code == 204
        assert answer.headers["access-control-allow-origin"] == "http://localhost:6274"
        assert {"get", "post", "delete"} <= _words(answer.headers["access-control-allow-methods"])
        assert {
            "authorization",
            "content-type",
            "accept",
            "mcp-method",
            "mcp-name",
            "mcp-protocol-version",
            "mcp-session-id",
            "last-event-id",
            "mcp-param-region",
        } <= _words(answer.headers["access-control-allow-headers"])
        assert {"mcp-param-", "x-evil"}.isdisjoint(_words(answer.headers["access-control-allow-headers"]))
        assert "www-authenticate" not in answer.headers


@pytest.mark.parametrize(
    "header", ["x-bf-vk", "x-api-key", "x-goog-api-key", "api-key", "x-bf-mcp-session-id", "x-bf-mcp-include-tools"]
)
async def test_a_browser_may_send_every_credential_and_filter_that_the_endpoint_reads(
    running: TestGateway, header: str
) -> None:
    """Contract §7: a header that a preflight does not allow cannot be used by a browser-based client."""
    answer = await running.http.options("/mcp", headers={"Origin": ISSUER, "Access-Control-Request-Headers": header})
    assert header in _words(answer.headers["access-control-allow-headers"])


@pytest.mark.parametrize("origin", [None, "http://localhost:6274"])
async def test_a_refusal_can_be_read_by_the_page_that_caused_it(running: TestGateway, origin: str | None) -> None:
    """R43: without the challenge a browser-based client could never sign in."""
    answer = await ask(running.http, "ping", headers={"Origin": origin} if origin else {})
    assert refusal(answer, 401) == "missing_credentials"
    assert answer.headers.get("access-control-allow-origin") == origin
    assert origin is None or "www-authenticate" in _words(answer.headers["access-control-expose-headers"])


@pytest.mark.parametrize(
    "host",
    [
        "evil.test",
        "localhost",
        "localhost:8081",
        "localhost:8080.evil.test",
        "evil.test:8080",
        "localhost:8080@evil.test",
    ]
    + ["localhost:8080/x?", "localhost:8080#", "localhost:99999", "", "[::1]", "127.0.0.2:8080"],
)
async def test_another_host_is_misdirected(running: TestGateway, host: str) -> None:
    """Contract §1, TC-153, TC-154: 421 before origin and authentication, and its name is repeated nowhere."""
    for headers in (KEY, {}, {**KEY, "Origin": ISSUER}, {"Origin": "https://evil.test"}):
        answer = await ask(running.http, "ping", headers={**headers, "Host": host})
        assert refusal(answer, 421) == "misdirected_request"
        assert "evil" not in answer.text
        assert "www-authenticate" not in answer.headers


async def test_two_hosts_are_misdirected(running: TestGateway) -> None:
    """TC-154: which of them counts must never be a question."""
    pairs = [("Host", "localhost:8080"), ("Host", "localhost:8080"), *KEY.items()]
    assert refusal(await running.http.post("/mcp", json=message("ping"), headers=pairs), 421) == "misdirected_request"


async def test_forwarded_headers_change_no_address(running: TestGateway) -> None:
    """Contract §1, TC-117, TC-156: absolute URLs come from the configuration alone."""
    forged = {
        "X-Forwarded-Host": "evil.test",
        "X-Forwarded-Proto": "https",
        "X-Forwarded-Prefix": "/evil",
        "Forwarded": "host=evil.test;proto=https",
        "X-Original-URL": "/evil",
    }
    answer = await ask(running.http, "ping", headers=forged)
    assert answer.headers["www-authenticate"] == challenge("/mcp")


@pytest.mark.parametrize("method", ["GET", "DELETE"])
@pytest.mark.parametrize("path", ["/mcp", "/mcp/notes"])
async def test_without_a_session_there_is_no_stream_to_open_and_none_to_end(
    sqlite_url: str, tmp_path: Path, method: str, path: str
) -> None:
    """T15: 405 with Allow, after authentication; in the stateless revision a session id is ignored."""
    async with with_upstreams(sqlite_url, tmp_path, NOTES) as running:
        assert (await running.http.request(method, path)).status_code == 401
        assert (await running.http.request(method, path, headers={"x-bf-vk": "bad"})).status_code == 401
        headers = {**KEY, "Last-Event-ID": "1", "Accept": "text/event-stream"}
        modern = {"MCP-Protocol-Version": "2026-07-28", "Mcp-Session-Id": "x"}
        for more in ({}, modern):
            answer = await running.http.request(method, path, headers={**headers, **more})
            assert refusal(answer, 405) == "method_not_allowed"
            assert answer.headers["allow"] == "POST"
            assert "mcp-session-id" not in answer.headers
        answer = await running.http.request(method, path, headers={**headers, "Mcp-Session-Id": "x"})
        assert refusal(answer, 404) == "unknown_session"


@pytest.mark.parametrize("method", ["PUT", "PATCH", "TRACE", "HEAD"])
async def test_other_methods_are_a_405(running: TestGateway, method: str) -> None:
    """Contract §2, TC-159."""
    answer = await running.http.request(method, "/mcp", headers=KEY)
    assert answer.status_code == 405
    assert "POST" in answer.headers["allow"]


async def test_storage_that_does_not_answer_is_a_503(sqlite_url: str, tmp_path: Path) -> None:
    """Contract §2, TC-133: for key and token, never 401, which would make the client throw its token away."""
    async with with_upstreams(sqlite_url, tmp_path, NOTES) as running:
        _client, tokens = await signed_in(running)
        await running.gateway.database.close()
        for headers in (KEY, {"Authorization": f"Bearer {tokens['access_token']}"}):
            for path in ("/mcp", "/mcp/notes"):
                answer = await ask(running.http, "tools/list", path=path, headers=headers)
                assert refusal(answer, 503) == "temporarily_unavailable"
                assert int(answer.headers["retry-after"]) > 0
                assert "www-authenticate" not in answer.headers


@pytest.mark.parametrize("era", ERAS)
async def test_storage_that_fails_after_authentication_is_a_503_too(running: TestGateway, era: str) -> None:
    """Contract §2: an anonymous session needs no storage to be known, its tools do."""
    await running.gateway.database.close()
    answer = await ask(running.http, "tools/list", era=era, headers={"x-bf-mcp-session-id": "x" * 30})
    assert answer.status_code == 503
    assert int(answer.headers["retry-after"]) > 0


async def _send(running: TestGateway, content: Any, **headers: str) -> Any:
    return await running.http.post("/mcp", content=content, headers={**KEY, **JSON, **headers})


async def test_a_message_has_four_megabytes_at_most(running: TestGateway) -> None:
    """TC-168: declared or not; before it is read when it is declared."""
    head, tail = b'{"jsonrpc":"2.0","id":1,"method":"ping","params":{"x":"', b'"}}'
    fits = head + b"x" * (MAX_BYTES - len(head) - len(tail)) + tail
    assert result_of(await _send(running, fits)) == {}
    assert refusal(await _send(running, fits + b" "), 413) == "too_large"

    async def chunks() -> Any:
        for _ in range(5):
            yield b" " * (1024 * 1024)

    assert refusal(await _send(running, chunks()), 413) == "too_large"


@pytest.mark.parametrize("length", ["-1", "1e9", "\u0663", "99999999999999999999", "5, 5"])
async def test_a_length_that_makes_no_sense_is_refused(running: TestGateway, length: str) -> None:
    """TC-168: never a 500."""
    given = {**KEY, **JSON, "Content-Length": length}
    headers = {name.encode(): value.encode() for name, value in given.items()}
    answer = await running.http.post("/mcp", content=b"{}", headers=headers)
    assert answer.status_code in (400, 413)


@pytest.mark.parametrize(
    "content_type", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "", "application/jsonx"]
)
async def test_only_json_is_read(running: TestGateway, content_type: str) -> None:
    """Contract §7: 415; a page could send the others without a preflight."""
    answer = await running.http.post("/mcp", content=b"{}", headers={**KEY, "Content-Type": content_type})
    assert refusal(answer, 415) == "unsupported_media_type"


@pytest.mark.parametrize("content_type", ["application/json; charset=utf-8", "Application/JSON"])
async def test_usual_spellings_of_json_are_read(running: TestGateway, content_type: str) -> None:
    """RFC 9110 §8.3.1."""
    body = b'{"jsonrpc":"2.0","id":1,"method":"ping"}'
    assert result_of(await running.http.post("/mcp", content=body, headers={**KEY, "Content-Type": content_type})) == {}


@pytest.mark.parametrize("encoding", ["gzip", "br", "gzip, gzip", "unknown"])
async def test_a_compressed_body_is_refused(running: TestGateway, encoding: str) -> None:
    """TC-170."""
    assert refusal(await _send(running, b"{}", **{"Content-Encoding": encoding}), 415) == "unsupported_media_type"


BROKEN: dict[str, tuple[bytes, int]] = {
    "nothing": (b"", -32700),
    "half": (b'{"jsonrpc":"2.0"', -32700),
    "not UTF-8": (b'{"jsonrpc":"2.0","id":1,"method":"\xff"}', -32700),
    "NaN": (b'{"jsonrpc":"2.0","id":NaN,"method":"ping"}', -32700),
    "half a surrogate": (b'{"jsonrpc":"2.0","id":1,"method":"\\ud800"}', -32700),
    "too deep": (b'{"jsonrpc":"2.0","id":1,"method":"ping","params":{"a":' + b"[" * 100_000, -32700),
    "too deep for an id": (b"[" * 100_000, -32700),
    "an id twice": (b'{"jsonrpc":"2.0","id":1,"id":2,"method":"ping"}', -32700),
    "a method twice": (b'{"jsonrpc":"2.0","id":1,"method":"tools/list","method":"ping"}', -32700),
    "an empty batch": (b"[]", -32600),
    "a batch of many": (b"[" + b",".join([b'{"jsonrpc":"2.0","id":1,"method":"ping"}'] * 10_000) + b"]", -32600),
    "a string": (b'"ping"', -32600),
    "null": (b"null", -32600),
    "no version": (b'{"id":1,"method":"ping"}', -32600),
    "another version": (b'{"jsonrpc":"1.0","id":1,"method":"ping"}', -32600),
    "a number for a method": (b'{"jsonrpc":"2.0","id":1,"method":1}', -32600),
    "a list for params": (b'{"jsonrpc":"2.0","id":1,"method":"ping","params":[1]}', -32600),
    "a fraction for an id": (b'{"jsonrpc":"2.0","id":1.5,"method":"ping"}', -32600),
    "null for an id": (b'{"jsonrpc":"2.0","id":null,"method":"ping"}', -32600),
    "true for an id": (b'{"jsonrpc":"2.0","id":true,"method":"ping"}', -32600),
    "an object for an id": (b'{"jsonrpc":"2.0","id":{},"method":"ping"}', -32600),
    "5 000 digits for an id": (b'{"jsonrpc":"2.0","id":' + b"9" * 5_000 + b',"method":"ping"}', -32600),
}


@pytest.mark.parametrize(("body", "code"), BROKEN.values(), ids=BROKEN)
@pytest.mark.parametrize("era", ERAS)
async def test_what_is_no_message_is_a_400_without_an_id(
    running: TestGateway, era: str, body: bytes, code: int
) -> None:
    """JSON-RPC 2.0 §5.1, T16, TC-169: -32700 or -32600, never a 500, in both eras."""
    headers = modern_headers("ping") if era == "modern" else {}
    answer = await _send(running, body, **headers)
    assert rpc_error(answer, 400, None)["code"] == code


@pytest.mark.parametrize("many", [b"1", b"{}", b"[[]]", b'""'])
async def test_what_is_only_large_holds_nobody_up(running: TestGateway, many: bytes) -> None:
    """TC-169: as many values as fit, and they are not for us to read."""
    count = MAX_BYTES // (len(many) + 1) - 100
    body = b'{"jsonrpc":"2.0","id":1,"method":"ping","params":{"a":[' + b",".join([many] * count) + b"]}}"
    async with asyncio.timeout(2):
        assert result_of(await _send(running, body)) == {}


@pytest.mark.parametrize("request_id", [0, -1, 2**53, "", "a", "é\U0001f600", "x" * 1_000])
async def test_the_id_comes_back_as_it_was_sent(running: TestGateway, request_id: Any) -> None:
    """JSON-RPC 2.0 §5."""
    body = (await running.http.post("/mcp", json=message("ping", request_id=request_id), headers=KEY)).json()
    assert body == {"jsonrpc": "2.0", "id": request_id, "result": {}}
