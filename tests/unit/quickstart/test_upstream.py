"""The sample upstream over its ASGI interface, in both protocol eras."""

import asyncio
from typing import Any

import httpx2
import pytest

from bifrost.protocol import mcp
from bifrost.quickstart.notebook import MAX_NOTES, Caller, Notebook
from bifrost.quickstart.upstream import MAX_BODY_BYTES, create_app

BASE = "http://127.0.0.1:8181"
META = {mcp.META_VERSION: mcp.MODERN, mcp.META_CAPABILITIES: {}}


def send(
    body: Any,
    headers: dict[str, str] | list[tuple[str, str]] | None = None,
    *,
    method: str = "POST",
    path: str = "/mcp",
    notebook: Notebook | None = None,
) -> httpx2.Response:
    async def exchange() -> httpx2.Response:
        transport = httpx2.ASGITransport(app=create_app(notebook))
        async with httpx2.AsyncClient(transport=transport, base_url=BASE) as client:
            if isinstance(body, bytes):
                return await client.request(method, path, content=body, headers=headers)
            return await client.request(method, path, json=body, headers=headers)

    return asyncio.run(exchange())


def legacy(method: str, params: dict[str, Any] | None = None, **options: Any) -> dict[str, Any]:
    message = {"jsonrpc": "2.0", "id": 1, "method": method} | ({} if params is None else {"params": params})
    response = send(message, **options)
    assert response.status_code == 200
    answer: dict[str, Any] = response.json()
    assert answer["id"] == 1
    return answer


def modern(
    method: str, params: dict[str, Any] | None = None, headers: dict[str, str] | None = None, **options: Any
) -> httpx2.Response:
    body = {"jsonrpc": "2.0", "id": "a", "method": method, "params": {"_meta": META, **(params or {})}}
    routing = {"MCP-Protocol-Version": mcp.MODERN, "Mcp-Method": method}
    if "name" in (params or {}):
        routing["Mcp-Name"] = (params or {})["name"]
    lines = {name: value for name, value in (routing | (headers or {})).items() if value}
    return send(body, lines, **options)


@pytest.mark.parametrize("version", mcp.LEGACY_VERSIONS)
def test_initialize_answers_the_legacy_version_that_was_asked_for(version: str) -> None:
    """MCP 2025-11-25 basic/lifecycle, version negotiation."""
    result = legacy("initialize", {"protocolVersion": version, "capabilities": {}})["result"]
    assert result["protocolVersion"] == version
    assert result["capabilities"] == {"tools": {}}


@pytest.mark.parametrize("version", [mcp.MODERN, "1999-01-01", None, 5])
def test_initialize_answers_the_newest_legacy_version_to_any_other(version: object) -> None:
    """MCP 2025-11-25 basic/lifecycle; mcp-requirements §2, "version answer to unknown initialize version"."""
    assert legacy("initialize", {"protocolVersion": version})["result"]["protocolVersion"] == "2025-11-25"


def test_a_legacy_client_finds_no_session_and_no_stream() -> None:
    """MCP 2025-11-25 basic/transports: GET may be answered 405, a session id is optional."""
    assert send(b"", method="GET").status_code == 405
    assert send(b"", method="DELETE").headers["allow"] == "POST"
    initialized = send({"jsonrpc": "2.0", "method": "notifications/initialized"})
    assert (initialized.status_code, initialized.content) == (202, b"")
    assert "mcp-session-id" not in initialized.headers
    assert legacy("ping")["result"] == {}


def test_a_legacy_error_travels_in_a_200() -> None:
    """mcp-requirements §2, "unknown method"."""
    assert legacy("resources/list")["error"]["code"] == -32601


def test_discover_names_the_modern_revision_and_how_long_it_may_be_kept() -> None:
    """MCP 2026-07-28 server/discover, server/utilities/caching; T8, T9, T18."""
    result = modern("server/discover").json()["result"]
    assert result["supportedVersions"] == ["2026-07-28"]
    assert result["resultType"] == "complete"
    assert result["ttlMs"] > 0
    assert result["cacheScope"] == "public"
    assert result["_meta"]["io.modelcontextprotocol/serverInfo"]["name"] == "bifrost-sample-notes"


@pytest.mark.parametrize("method", ["initialize", "ping", "logging/setLevel", "tools/unknown"])
def test_a_method_the_modern_revision_does_not_have_is_404(method: str) -> None:
    """MCP 2026-07-28 streamable-http; T6."""
    response = modern(method)
    assert (response.status_code, response.json()["error"]["code"], response.json()["id"]) == (404, -32601, "a")


@pytest.mark.parametrize(
    "meta",
    [
        {},
        {mcp.META_VERSION: mcp.MODERN},
        {mcp.META_CAPABILITIES: {}},
        {mcp.META_VERSION: mcp.MODERN, mcp.META_CAPABILITIES: 1},
        None,
    ],
)
def test_a_modern_request_without_its_meta_is_refused(meta: object) -> None:
    """MCP 2026-07-28 basic/index; T7."""
    response = modern("tools/list", {"_meta": meta})
    assert (response.status_code, response.json()["error"]["code"]) == (400, -32602)


def test_a_version_that_is_not_served_is_told_which_are() -> None:
    """MCP 2026-07-28 basic/versioning; T3."""
    meta = {**META, mcp.META_VERSION: "2030-01-01"}
    response = modern("tools/list", {"_meta": meta}, {"MCP-Protocol-Version": "2030-01-01"})
    assert response.status_code == 400
    assert response.json()["error"]["code"] == -32022
    assert response.json()["error"]["data"] == {"supported": ["2026-07-28"], "requested": "2030-01-01"}


@pytest.mark.parametrize(
    "headers",
    [
        {"MCP-Protocol-Version": ""},
        {"MCP-Protocol-Version": "2025-11-25"},
        {"MCP-Protocol-Version": "2030-01-01"},
        {"Mcp-Method": ""},
        {"Mcp-Method": "tools/list"},
        {"Mcp-Method": "Tools/Call"},
        {"Mcp-Name": ""},
        {"Mcp-Name": "add_note"},
        {"Mcp-Name": "=?base64?!!?="},
    ],
)
def test_a_header_that_does_not_say_what_the_body_says_is_refused(headers: dict[str, str]) -> None:
    """MCP 2026-07-28 streamable-http, Server Validation; T3, T4."""
    response = modern("tools/call", {"name": "whoami"}, headers)
    assert (response.status_code, response.json()["error"]["code"]) == (400, -32020)


def test_a_name_wrapped_in_base64_is_read() -> None:
    """MCP 2026-07-28 streamable-http, value encoding; T4."""
    assert modern("tools/call", {"name": "whoami"}, {"Mcp-Name": "=?base64?d2hvYW1p?="}).status_code == 200


def test_blanks_around_a_header_value_are_no_part_of_it() -> None:
    """RFC 9110 §5.5; conformance sep-2243-server-accepts-whitespace-header-value."""
    assert modern("tools/call", {"name": "whoami"}, {"Mcp-Name": "whoami \t"}).status_code == 200
    assert (
        send({"jsonrpc": "2.0", "id": 1, "method": "ping"}, {"MCP-Protocol-Version": "2025-11-25 "}).status_code == 200
    )


def test_a_repeated_routing_header_is_refused() -> None:
    """MCP 2026-07-28 streamable-http, Server Validation; T4."""
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {"_meta": META}}
    lines = [("MCP-Protocol-Version", mcp.MODERN), ("Mcp-Method", "tools/list"), ("Mcp-Method", "tools/list")]
    assert send(body, lines).json()["error"]["code"] == -32020


def test_a_modern_notification_is_acknowledged_and_a_posted_response_is_not() -> None:
    """MCP 2026-07-28 streamable-http; T10, T16."""
    version = {"MCP-Protocol-Version": mcp.MODERN}
    assert send({"jsonrpc": "2.0", "method": "notifications/cancelled"}, version).status_code == 202
    assert send({"jsonrpc": "2.0", "id": 1, "result": {}}, version).status_code == 400
    unknown = send({"jsonrpc": "2.0", "method": "notifications/cancelled"}, {"MCP-Protocol-Version": "2030-01-01"})
    assert (unknown.status_code, unknown.json()["error"]["code"]) == (400, -32022)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"{", -32700),
        (b"\xff", -32700),
        (b'{"jsonrpc":"2.0","id":1,"method":"ping","params":' + b"[" * 30_000 + b"]" * 30_000 + b"}", -32700),
        (b"[]", -32600),
        (b'{"id":1,"method":"ping"}', -32600),
        (b'{"jsonrpc":"2.0","id":1}', -32600),
        (b'{"jsonrpc":"2.0","id":null,"method":"ping"}', -32600),
        (b'{"jsonrpc":"2.0","id":true,"method":"ping"}', -32600),
        (b'{"jsonrpc":"2.0","id":1,"method":5}', -32600),
        (b'{"jsonrpc":"2.0","id":1,"method":"ping","params":[]}', -32602),
    ],
)
def test_a_body_that_is_not_one_message_is_refused(body: bytes, code: int) -> None:
    """JSON-RPC 2.0 §4, §5.1; T16."""
    response = send(body, {"Content-Type": "application/json"})
    assert (response.status_code, response.json()["error"]["code"]) == (400, code)


def test_a_body_has_a_greatest_size_and_one_kind() -> None:
    """TC "oversized body"; RFC 9110 §15.5.14, §15.5.16, §15.5.7."""
    assert send(b" " * (MAX_BODY_BYTES + 1), {"Content-Type": "application/json"}).status_code == 413
    assert send(b"{}", {"Content-Type": "text/plain"}).status_code == 415
    assert send({}, {"Accept": "text/html"}).status_code == 406


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "evil.example"}, 421),
        ({"Host": "127.0.0.1.evil.example"}, 421),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://localhost:6274"}, 200),
        ({"Host": "[::1]:8181"}, 200),
    ],
)
def test_a_page_elsewhere_cannot_reach_the_server_through_a_browser(headers: dict[str, str], status: int) -> None:
    """MCP 2026-07-28 streamable-http, Security; T2 (DNS rebinding)."""
    assert send({"jsonrpc": "2.0", "id": 1, "method": "ping"}, headers).status_code == status


def test_every_tool_says_whether_it_only_reads_and_what_it_takes() -> None:
    """MCP 2026-07-28 server/tools; contract §4 (`mcp:read` goes by readOnlyHint)."""
    tools = {tool["name"]: tool for tool in modern("tools/list").json()["result"]["tools"]}
    assert list(tools) == ["add_note", "list_notes", "search_notes", "whoami"]
    assert [name for name, tool in tools.items() if not tool["annotations"]["readOnlyHint"]] == ["add_note"]
    for tool in tools.values():
        assert tool["description"]
        assert tool["inputSchema"]["additionalProperties"] is False
        assert tool["outputSchema"]["type"] == "object"


def test_a_list_has_one_page() -> None:
    """MCP 2026-07-28 server/utilities/pagination: an unknown cursor is -32602."""
    assert legacy("tools/list", {"cursor": "x"})["error"]["code"] == -32602


def test_both_eras_see_the_same_notebook() -> None:
    """Contract §7, both eras at once."""
    notebook = Notebook()
    added = legacy("tools/call", {"name": "add_note", "arguments": {"text": "Ødegård"}}, notebook=notebook)
    assert added["result"]["structuredContent"] == {"note": {"id": 1, "text": "Ødegård"}, "total": 1}
    found = modern("tools/call", {"name": "search_notes", "arguments": {"query": "ødeg"}}, notebook=notebook)
    assert found.json()["result"]["structuredContent"]["total"] == 1
    assert found.json()["result"]["resultType"] == "complete"


def test_what_a_tool_cannot_do_is_a_result_that_the_model_can_read() -> None:
    """MCP 2026-07-28 server/tools, Error Handling."""
    notebook = Notebook()
    for number in range(MAX_NOTES):
        notebook.add_note({"text": str(number)}, Caller(headers={}))
    result = legacy("tools/call", {"name": "add_note", "arguments": {"text": "x"}}, notebook=notebook)["result"]
    assert result["isError"] is True
    assert "full" in result["content"][0]["text"]


@pytest.mark.parametrize("params", [{"name": "nope"}, {}, {"name": 1}, {"name": "whoami", "arguments": []}])
def test_a_call_of_no_tool_is_a_protocol_error(params: dict[str, Any]) -> None:
    """MCP 2026-07-28 server/tools, Error Handling."""
    assert legacy("tools/call", params)["error"]["code"] == -32602


def test_whoami_names_credentials_and_repeats_none() -> None:
    """Contract §7: a caller's token never goes upstream, and this tool shows it."""
    meta = {**META, mcp.META_CLIENT_INFO: {"name": "probe", "version": "1"}}
    headers = {"Authorization": "Bearer hush-hush", "User-Agent": "probe/1", "X-BF-VK": "hush-hush"}
    response = modern("tools/call", {"name": "whoami", "_meta": meta}, headers)
    assert response.json()["result"]["structuredContent"] == {
        "headers": {"user-agent": "probe/1", "mcp-protocol-version": "2026-07-28"},
        "credentialHeaders": ["authorization", "x-bf-vk"],
        "client": {"name": "probe", "version": "1"},
    }
    assert "hush" not in response.text
