"""The older era at /mcp (contract §7): 2024-11-05 to 2025-11-25, which begin with `initialize`."""

from typing import Any

import pytest

from bifrost import __version__
from tests.flows._mcp import KEY, ask, call, message, result_of, rpc_error
from tests.support.gateway import TestGateway

pytestmark = pytest.mark.anyio

VERSIONS = ("2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25")
CLIENT = {"capabilities": {"sampling": {}}, "clientInfo": {"name": "t", "version": "1"}}


async def _send(running: TestGateway, body: dict[str, Any], **headers: str) -> Any:
    return await running.http.post("/mcp", json=body, headers={**KEY, **headers})


@pytest.mark.parametrize("version", VERSIONS)
async def test_initialize_answers_with_the_revision_that_was_asked_for(running: TestGateway, version: str) -> None:
    """V1, 2025-11-25, lifecycle; nothing of the newer era, and a session."""
    answer = await ask(running.http, "initialize", {"protocolVersion": version, **CLIENT})
    assert result_of(answer) == {
        "protocolVersion": version,
        "capabilities": {"tools": {"listChanged": True}},
        "serverInfo": {"name": "bifrost", "title": "Bifrost gateway", "version": __version__},
    }
    assert answer.headers["mcp-session-id"].isascii()


@pytest.mark.parametrize("version", ["1999-01-01", "2026-07-28", "2025-06-19", "", None, 5, "x" * 5_000])
async def test_initialize_with_a_revision_that_this_era_lacks_offers_its_newest(
    running: TestGateway, version: Any
) -> None:
    """T23, V2, 2025-11-25, lifecycle: the client decides whether it can go on."""
    params = CLIENT if version is None else {"protocolVersion": version, **CLIENT}
    assert result_of(await ask(running.http, "initialize", params))["protocolVersion"] == "2025-11-25"


@pytest.mark.parametrize("version", VERSIONS)
async def test_later_requests_may_name_their_revision(running: TestGateway, version: str) -> None:
    """2025-06-18, transports."""
    results: dict[str, dict[str, Any]] = {"ping": {}, "tools/list": {"tools": []}}
    for method, result in results.items():
        assert result_of(await _send(running, message(method), **{"MCP-Protocol-Version": version})) == result


async def test_without_a_header_a_request_is_of_the_older_era(running: TestGateway) -> None:
    """V2, 2025-06-18, transports: clients of 2025-03-26 send none."""
    assert result_of(await ask(running.http, "tools/list")) == {"tools": []}


@pytest.mark.parametrize("version", ["1999-01-01", "2025-06-19", "2025-11-25x", "2026-07-29", "draft"])
async def test_an_unknown_revision_in_the_header_is_a_400(running: TestGateway, version: str) -> None:
    """V2, 2025-06-18, transports."""
    answer = await _send(running, message("ping"), **{"MCP-Protocol-Version": version})
    assert answer.status_code == 400
    assert answer.json()["error"]["data"]["requested"] == version


async def test_a_request_without_a_session_stands_alone(running: TestGateway) -> None:
    """MCP 2025-11-25, lifecycle: no `initialize` is needed first."""
    answer = await _send(running, message("ping"), **{"Last-Event-ID": "1"})
    assert result_of(answer) == {}
    assert "mcp-session-id" not in answer.headers


async def test_a_batch_is_answered_with_one_array(running: TestGateway) -> None:
    """V3, 2025-03-26, base: servers must take batches; notifications in them have no answer."""
    batch = [message("ping", request_id="a"), message("x", request_id=None), message("no", request_id=2), {"a": 1}]
    answer = await running.http.post("/mcp", json=batch, headers=KEY)
    first, second, third = answer.json()
    assert first == {"jsonrpc": "2.0", "id": "a", "result": {}}
    assert (second["id"], second["error"]["code"]) == (2, -32601)
    assert (third["id"], third["error"]["code"]) == (None, -32600)
    nothing = await running.http.post("/mcp", json=[message("x", request_id=None)], headers=KEY)
    assert (nothing.status_code, nothing.content) == (202, b"")


async def test_a_session_cannot_be_begun_inside_a_batch(running: TestGateway) -> None:
    """V3, 2025-03-26, lifecycle: initialize must not be part of a batch."""
    answer = await running.http.post("/mcp", json=[message("initialize", {})], headers=KEY)
    assert answer.json()[0]["error"]["code"] == -32600
    assert "mcp-session-id" not in answer.headers


@pytest.mark.parametrize(
    "method", ["notifications/initialized", "notifications/cancelled", "notifications/unknown", "x"]
)
async def test_a_notification_is_accepted_without_a_body(running: TestGateway, method: str) -> None:
    """2025-11-25, transports: 202."""
    body = {"jsonrpc": "2.0", "method": method}
    for sent in (body, {**body, "params": {"requestId": 1}}):
        answer = await _send(running, sent)
        assert (answer.status_code, answer.content) == (202, b"")


@pytest.mark.parametrize("outcome", [{"result": {}}, {"error": {"code": 1, "message": "x"}}])
async def test_an_answer_to_a_request_that_was_never_made_is_accepted(
    running: TestGateway, outcome: dict[str, Any]
) -> None:
    """2025-11-25, transports: 202, and nothing happens."""
    answer = await _send(running, {"jsonrpc": "2.0", "id": 7, **outcome})
    assert (answer.status_code, answer.content) == (202, b"")


@pytest.mark.parametrize(
    "method", ["unknown", "server/discover", "tools/unknown", "", "initialize ", "TOOLS/LIST", "é"]
)
async def test_an_unknown_method_is_an_error_inside_a_200(running: TestGateway, method: str) -> None:
    """V15, JSON-RPC 2.0 §5.1; in this era HTTP says only that the message was read."""
    assert rpc_error(await ask(running.http, method))["code"] == -32601


@pytest.mark.parametrize("params", [{}, {"name": None}, {"name": 5}, {"name": ["a"]}, {"name": {}}])
async def test_a_call_without_a_name_is_an_invalid_params(running: TestGateway, params: dict[str, Any]) -> None:
    """JSON-RPC 2.0 §5.1."""
    assert rpc_error(await ask(running.http, "tools/call", params))["code"] == -32602


@pytest.mark.parametrize("name", ["unknown", "", "-", "a-b", "x" * 10_000, "\u202e", "notes-add"])
async def test_a_call_of_an_unknown_tool_is_an_invalid_params(running: TestGateway, name: str) -> None:
    """2025-11-25, tools: and an endless name is not repeated in full."""
    answer = await call(running.http, name)
    assert rpc_error(answer)["code"] == -32602
    assert len(answer.content) < 2_000


@pytest.mark.parametrize("meta", [5, None, [], "x", {"io.modelcontextprotocol/protocolVersion": 5}])
async def test_a_meta_that_is_no_object_is_no_fault_of_ours(running: TestGateway, meta: Any) -> None:
    """Contract §2: never an internal error."""
    body = (await ask(running.http, "tools/list", {"_meta": meta})).json()
    assert body.get("error", {}).get("code") != -32603


async def test_an_answer_is_plain_json(running: TestGateway) -> None:
    """2025-11-25, transports: one JSON object, whatever of the two the client would rather have."""
    for accept in (
        "application/json, text/event-stream",
        "application/json",
        "*/*",
        "text/event-stream, application/json",
    ):
        answer = await _send(running, message("ping"), Accept=accept)
        assert answer.headers["content-type"] == "application/json"
        assert answer.json() == {"jsonrpc": "2.0", "id": 1, "result": {}}
