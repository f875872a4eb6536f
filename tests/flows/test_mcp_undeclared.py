"""What a client did not declare it is never asked, whatever its upstream does (2026-07-28, multi-round-trip requests)."""

import json
from pathlib import Path
from typing import Any

import pytest

from bifrost.protocol import mcp
from tests.flows._hostile_upstream import hostile, result
from tests.flows._mcp import rpc_error, with_upstreams
from tests.support.gateway import VIRTUAL_KEY, upstream
from tests.support.mcp_client import McpClient

pytestmark = pytest.mark.anyio

BY_URL = {"method": "elicitation/create", "params": {"mode": "url", "message": "Look", "url": "https://evil.example/"}}
FORM = {"method": "elicitation/create", "params": {"message": "Your name?", "requestedSchema": {}}}
SAMPLE = {"method": "sampling/createMessage", "params": {"messages": [], "tools": []}}
ROOTS: dict[str, Any] = {"method": "roots/list"}
FOREIGN = {"method": "tools/call", "params": {"name": "rm"}}
UNDECLARED: list[tuple[dict[str, Any], dict[str, Any], dict[str, Any]]] = [
    ({}, FORM, {"elicitation": {"form": {}}}),
    ({"elicitation": {}}, BY_URL, {"elicitation": {"url": {}}}),
    ({"sampling": {}}, SAMPLE, {"sampling": {"tools": {}}}),
    ({"sampling": {}}, ROOTS, {"roots": {}}),
    ({"elicitation": {}, "sampling": {}, "roots": {}, "extensions": {"x": {}}}, BY_URL, {"elicitation": {"url": {}}}),
    ({"elicitation": {}, "sampling": {}, "roots": {}}, FOREIGN, {}),
]


def asking(*questions: dict[str, Any]) -> bytes:
    numbered = {f"q{number}": question for number, question in enumerate(questions)}
    return json.dumps({"resultType": "input_required", "inputRequests": numbered, "requestState": "mine"}).encode()


@pytest.mark.parametrize(("capabilities", "question", "required"), UNDECLARED)
async def test_a_stateless_client_learns_what_it_would_have_to_declare(
    capabilities: dict[str, Any], question: dict[str, Any], required: dict[str, Any], sqlite_url: str, tmp_path: Path
) -> None:
    """G8, G9, G19: -32021 with what is missing, and no question."""
    with hostile(script={"tools/call": result(asking(question))}) as server:
        async with with_upstreams(sqlite_url, tmp_path, upstream("up", server.url)) as running:
            params = {"name": "up-read", "_meta": {mcp.META_VERSION: mcp.MODERN, mcp.META_CAPABILITIES: capabilities}}
            headers = McpClient(running.http, mcp.MODERN).headers("tools/call", params)
            body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
            error = rpc_error(await running.http.post("/mcp", json=body, headers=headers), 400)
            assert (error["code"], error["data"]["requiredCapabilities"]) == (mcp.MISSING_CAPABILITY, required)


@pytest.mark.parametrize(("capabilities", "question", "required"), UNDECLARED)
async def test_a_client_with_a_session_is_not_asked_by_a_stateless_upstream(
    capabilities: dict[str, Any], question: dict[str, Any], required: dict[str, Any], sqlite_url: str, tmp_path: Path
) -> None:
    """G19: nor would it be waited for. Older revisions have no code of their own for it."""
    with hostile(script={"tools/call": result(asking(question))}) as server:
        async with with_upstreams(sqlite_url, tmp_path, upstream("up", server.url)) as running:
            client = McpClient(running.http, "2025-11-25", capabilities=capabilities)
            await client.open()
            said = await client.request("tools/call", {"name": "up-read", "arguments": {}})
            assert said.asked == []
            assert (said.error["code"], said.error["data"]["requiredCapabilities"]) == (-32600, required)
            assert len(server.requests("tools/call")) == 1


async def test_a_question_of_an_extension_reaches_a_stateless_client_that_declares_one(
    sqlite_url: str, tmp_path: Path
) -> None:
    """2026-07-28, versioning: what an extension adds is known to the two sides, and passes through."""
    new = {"method": "x/ask", "params": {"n": 1}}
    with hostile(script={"tools/call": result(asking(new))}) as server:
        async with with_upstreams(sqlite_url, tmp_path, upstream("up", server.url)) as running:
            offers: list[tuple[dict[str, Any], bool]] = [({"extensions": {"x": {}}}, True), ({"sampling": {}}, False)]
            for capabilities, passes in offers:
                client = McpClient(running.http, mcp.MODERN, capabilities=capabilities, key=VIRTUAL_KEY)
                client.answers = {}
                meta: dict[str, Any] = {mcp.META_VERSION: mcp.MODERN, mcp.META_CAPABILITIES: capabilities}
                params = {"name": "up-read", "_meta": meta}
                body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
                answer = await running.http.post("/mcp", json=body, headers=client.headers("tools/call", params))
                asked = answer.json().get("result", {}).get("inputRequests")
                assert asked == ({"q0": new} if passes else None)
