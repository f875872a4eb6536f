"""The stateless revision 2026-07-28 at /mcp (contract §7): headers, `_meta`, versions, and what a result carries."""

import base64
from typing import Any

import pytest

from bifrost import __version__
from bifrost.protocol import mcp
from tests.flows._mcp import KEY, ask, message, modern_headers, modern_message, result_of, rpc_error
from tests.support.gateway import TestGateway

pytestmark = pytest.mark.anyio

SERVER_INFO = {"name": "bifrost", "title": "Bifrost gateway", "version": __version__}
VERSION, METHOD, NAME = "MCP-Protocol-Version", "Mcp-Method", "Mcp-Name"
MISMATCH, UNSUPPORTED, INVALID = -32020, -32022, -32602


async def _send(running: TestGateway, body: dict[str, Any], headers: dict[str, Any] | list[tuple[str, str]]) -> Any:
    pairs = list(headers.items()) if isinstance(headers, dict) else headers
    return await running.http.post("/mcp", json=body, headers=[*KEY.items(), *pairs])


def _without(headers: dict[str, str], name: str) -> dict[str, str]:
    return {key: value for key, value in headers.items() if key != name}


async def test_discover_says_what_this_server_is(running: TestGateway) -> None:
    """2026-07-28, server/discover: T8, T9, T18."""
    result = result_of(await ask(running.http, "server/discover", era="modern"))
    assert result["supportedVersions"] == ["2026-07-28"]
    assert result["capabilities"] == {"tools": {"listChanged": True}}
    assert result["resultType"] == "complete"
    assert result["cacheScope"] == "private"
    assert isinstance(result["ttlMs"], int)
    assert result["ttlMs"] >= 0
    assert result["_meta"] == {mcp.META_SERVER_INFO: SERVER_INFO}


async def test_a_list_is_private_and_complete(running: TestGateway) -> None:
    """Contract §7: cacheScope private; 2026-07-28, caching: ttlMs and cacheScope on every list."""
    result = result_of(await ask(running.http, "tools/list", era="modern"))
    assert result == {
        "resultType": "complete",
        "tools": [],
        "ttlMs": result["ttlMs"],
        "cacheScope": "private",
        "_meta": {mcp.META_SERVER_INFO: SERVER_INFO},
    }
    assert result["ttlMs"] >= 0


@pytest.mark.parametrize(
    "method", ["initialize", "ping", "logging/setLevel", "unknown", "resources/subscribe", "TOOLS/LIST"]
)
async def test_a_method_that_this_revision_lacks_is_a_404(running: TestGateway, method: str) -> None:
    """2026-07-28, transports: T6, with the id of the request."""
    error = rpc_error(await ask(running.http, method, era="modern"), 404)
    assert error["code"] == -32601


@pytest.mark.parametrize("missing", [mcp.META_VERSION, mcp.META_CAPABILITIES])
async def test_what_every_request_must_say_of_itself_may_not_be_missing(running: TestGateway, missing: str) -> None:
    """2026-07-28, base: T7, 400 and -32602."""
    body = modern_message("tools/list")
    del body["params"]["_meta"][missing]
    assert rpc_error(await _send(running, body, modern_headers("tools/list")), 400)["code"] == INVALID


@pytest.mark.parametrize("params", [None, {}, {"_meta": None}, {"_meta": 5}, {"_meta": []}, {"_meta": {}}])
async def test_a_request_without_meta_is_an_invalid_params(running: TestGateway, params: Any) -> None:
    """2026-07-28, base: T7."""
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"} | ({} if params is None else {"params": params})
    assert rpc_error(await _send(running, body, modern_headers("tools/list")), 400)["code"] == INVALID


async def test_client_info_is_not_required(running: TestGateway) -> None:
    """T7, 2026-07-28, base: a client should say who it is, and need not."""
    assert mcp.META_CLIENT_INFO not in modern_message("tools/list")["params"]["_meta"]
    assert result_of(await ask(running.http, "tools/list", era="modern"))["tools"] == []


@pytest.mark.parametrize("value", [5, None, [], "x", True])
async def test_capabilities_are_an_object(running: TestGateway, value: Any) -> None:
    """2026-07-28, schema: ClientCapabilities."""
    body = modern_message("tools/list", {"_meta": {mcp.META_CAPABILITIES: value}})
    assert rpc_error(await _send(running, body, modern_headers("tools/list")), 400)["code"] == INVALID


@pytest.mark.parametrize("value", [5, None, [], {}, ""])
async def test_a_version_in_the_body_that_is_none_is_refused(running: TestGateway, value: Any) -> None:
    """2026-07-28, transports: T3, the body's version must be there and equal the header's."""
    body = modern_message("tools/list", {"_meta": {mcp.META_VERSION: value}})
    answer = await _send(running, body, modern_headers("tools/list"))
    assert answer.status_code == 400
    assert answer.json()["error"]["code"] in (INVALID, MISMATCH)


VERSIONS: dict[str, tuple[str | None, str | None, int]] = {
    "no header": (None, "2026-07-28", MISMATCH),
    "an empty header": ("", "2026-07-28", MISMATCH),
    "an older header": ("2025-11-25", "2026-07-28", MISMATCH),
    "an unknown header": ("2027-01-01", "2026-07-28", MISMATCH),
    "an older body": ("2026-07-28", "2025-11-25", MISMATCH),
    "an unknown body": ("2026-07-28", "2027-01-01", MISMATCH),
    "two different unknown ones": ("2027-01-01", "2027-01-02", MISMATCH),
    "the same unknown one": ("2027-01-01", "2027-01-01", UNSUPPORTED),
    "an unknown one in the header alone": ("2027-01-01", None, UNSUPPORTED),
}


@pytest.mark.parametrize(("header", "body", "code"), VERSIONS.values(), ids=VERSIONS)
async def test_header_and_body_must_speak_of_one_known_version(
    running: TestGateway, header: str | None, body: str | None, code: int
) -> None:
    """2026-07-28, transports and versioning: T3, 400 with -32020 or -32022."""
    sent = modern_message("tools/list") if body else message("tools/list")
    if body:
        sent["params"]["_meta"][mcp.META_VERSION] = body
    headers = _without(modern_headers("tools/list"), VERSION) | ({} if header is None else {VERSION: header})
    answer = await _send(running, sent, headers)
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert error["code"] == code
    if code == UNSUPPORTED:
        assert error["data"]["requested"] == header
        older = [] if body else ["2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05"]
        assert error["data"]["supported"] == ["2026-07-28", *older]


CALL = {"name": "notes-add", "arguments": {}}
HEADERS: dict[str, list[tuple[str, str]]] = {
    "no method": [(NAME, "notes-add")],
    "another method": [(METHOD, "tools/list"), (NAME, "notes-add")],
    "a method in another case": [(METHOD, "Tools/Call"), (NAME, "notes-add")],
    "two methods": [(METHOD, "tools/call"), (METHOD, "tools/call"), (NAME, "notes-add")],
    "an empty method": [(METHOD, ""), (NAME, "notes-add")],
    "no name": [(METHOD, "tools/call")],
    "another name": [(METHOD, "tools/call"), (NAME, "notes-list")],
    "a name in another case": [(METHOD, "tools/call"), (NAME, "Notes-Add")],
    "two names": [(METHOD, "tools/call"), (NAME, "notes-add"), (NAME, "notes-add")],
    "a name and more": [(METHOD, "tools/call"), (NAME, "notes-add, notes-add")],
    "an empty name": [(METHOD, "tools/call"), (NAME, "")],
    "another name in base64": [(METHOD, "tools/call"), (NAME, "=?base64?eA==?=")],
    "broken base64": [(METHOD, "tools/call"), (NAME, "=?base64?bm90ZXMtYWR?=")],
    "base64 that is not UTF-8": [(METHOD, "tools/call"), (NAME, "=?base64?//8=?=")],
}


@pytest.mark.parametrize("headers", HEADERS.values(), ids=HEADERS)
async def test_method_and_name_of_the_headers_must_be_those_of_the_body(
    running: TestGateway, headers: list[tuple[str, str]]
) -> None:
    """2026-07-28, transports: T4; a proxy may have let the request pass because of them."""
    sent = [(VERSION, "2026-07-28"), *headers]
    assert rpc_error(await _send(running, modern_message("tools/call", CALL), sent), 400)["code"] == MISMATCH


@pytest.mark.parametrize("method", ["tools/call", "prompts/get", "resources/read"])
async def test_each_method_that_names_something_has_its_name_checked(running: TestGateway, method: str) -> None:
    """2026-07-28, transports: T4, also for methods that are not offered."""
    params = {"name": "a", "uri": "a"}
    answer = await _send(running, modern_message(method, params), modern_headers(method, "b"))
    assert rpc_error(answer, 400)["code"] == MISMATCH


@pytest.mark.parametrize("name", ["notes-add", "notes-größe", "notes-\u65e5\u672c", " notes-add ", "=?base64?eA==?="])
async def test_a_name_may_be_written_in_base64(running: TestGateway, name: str) -> None:
    """2026-07-28, transports: names that a header cannot carry, and any other, are decoded before they are compared."""
    encoded = f"=?base64?{base64.b64encode(name.encode()).decode()}?="
    body = modern_message("tools/call", {"name": name, "arguments": {}})
    answer = await _send(running, body, modern_headers("tools/call", encoded))
    assert rpc_error(answer, 400)["message"].startswith("Unknown tool")


async def test_names_of_headers_have_no_case(running: TestGateway) -> None:
    """2026-07-28, transports: T4, names no, values yes."""
    headers = {name.upper(): value for name, value in modern_headers("tools/list").items()}
    assert result_of(await _send(running, modern_message("tools/list"), headers))["tools"] == []


async def test_a_list_needs_no_name(running: TestGateway) -> None:
    """2026-07-28, transports: Mcp-Name belongs to three methods; elsewhere it is not looked at."""
    answer = await _send(running, modern_message("tools/list"), modern_headers("tools/list", "whatever"))
    assert result_of(answer)["tools"] == []


async def test_a_call_without_a_name_or_of_an_unknown_tool_is_a_400(running: TestGateway) -> None:
    """2026-07-28: -32602."""
    answer = await _send(running, modern_message("tools/call"), modern_headers("tools/call"))
    assert rpc_error(answer, 400)["code"] == INVALID
    answer = await ask(running.http, "tools/call", CALL, era="modern")
    assert rpc_error(answer, 400)["code"] == INVALID


async def test_a_notification_is_accepted_without_a_body(running: TestGateway) -> None:
    """2026-07-28, transports: T10."""
    body = modern_message("notifications/cancelled", {"requestId": 1}, None)
    answer = await _send(running, body, modern_headers("notifications/cancelled"))
    assert (answer.status_code, answer.content) == (202, b"")


async def test_sessions_and_resumption_of_older_revisions_are_ignored(running: TestGateway) -> None:
    """2026-07-28, transports: T15, neither read nor made."""
    headers = {**modern_headers("tools/list"), "Mcp-Session-Id": "x", "Last-Event-ID": "1"}
    answer = await _send(running, modern_message("tools/list"), headers)
    assert result_of(answer)["tools"] == []
    assert "mcp-session-id" not in answer.headers


@pytest.mark.parametrize("request_id", [0, "", "a", 2**53])
async def test_errors_carry_the_id_of_their_request(running: TestGateway, request_id: Any) -> None:
    """JSON-RPC 2.0 §5: whatever was wrong, as long as the id could be read."""
    good = modern_message("tools/call", CALL, request_id)
    wrong: list[tuple[dict[str, Any], dict[str, str], int]] = [
        (good, modern_headers("tools/call", "notes-add"), 400),
        (good, modern_headers("tools/call"), 400),
        (good, {**modern_headers("tools/call", "notes-add"), VERSION: "2027-01-01"}, 400),
        (message("tools/list", {}, request_id), {VERSION: "2027-01-01"}, 400),
        (modern_message("unknown", {}, request_id), modern_headers("unknown"), 404),
    ]
    for body, headers, status in wrong:
        rpc_error(await _send(running, body, headers), status, request_id)
