"""Any client meets any upstream (contract §7): every client revision with every upstream revision, over real sockets.

What arrives equals what was sent, in both directions, whatever the two eras make of it in between.
"""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from bifrost.protocol import mcp
from tests.support.gateway import upstream
from tests.support.mcp_client import ANSWERS, CAPABILITIES, Conversation, McpClient, gateway_on_a_port
from tests.support.servers import until
from tests.support.talking_upstream import (
    COMPLETION,
    CONTENTS,
    ERROR,
    LARGE,
    MESSAGES,
    PROMPT,
    QUESTIONS,
    RESOURCE,
    TEMPLATE,
    TalkingUpstream,
    talking,
)

pytestmark = pytest.mark.anyio

REVISIONS = ("2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25", "2026-07-28")
UNICODE = {"größe": "日本 \u2028\U0001f600\u0000", "n": [1.5, 12345678901234567890, None], "x": {"": True}}


def without_ours(result: dict[str, Any]) -> dict[str, Any]:
    """A result without what a revision adds to every result."""
    ours = ("resultType", "ttlMs", "cacheScope")
    meta = {name: value for name, value in result.get("_meta", {}).items() if name != mcp.META_SERVER_INFO}
    kept = {name: value for name, value in result.items() if name not in (*ours, "_meta")}
    return {**kept, "_meta": meta} if meta else kept


async def _call(client: McpClient, tool: str, arguments: Any = None, **more: Any) -> Conversation:
    return await client.request("tools/call", {"name": f"up-{tool}", "arguments": arguments or {}, **more})


async def _results(client: McpClient) -> None:
    echoed = await _call(client, "echo", UNICODE)
    expected = {"content": [], "structuredContent": UNICODE, "x-new": {"n": 1.5}}
    assert without_ours(echoed.result) == expected
    assert without_ours((await _call(client, "fails")).result)["isError"] is True
    assert (await _call(client, "refuses")).error == ERROR
    assert (await _call(client, "large")).result["content"][0]["text"] == LARGE


async def _progress(client: McpClient, server: TalkingUpstream) -> None:
    for token in ("t", 7):
        client.log_level = "info"
        heard = (await _call(client, "progress", _meta={"progressToken": token, "x-new": 1})).heard
        progress = [said["params"] for said in heard if said["method"] == mcp.PROGRESS]
        assert progress == [{"progressToken": token, "progress": n, "total": 2, "x-new": [n]} for n in (1, 2)]
        logs = [said["params"] for said in heard if said["method"] == mcp.LOG_MESSAGE]
        assert logs == [{"level": "warning", "data": {"x-new": 1}}]
        assert server.requests("tools/call")[-1]["params"]["_meta"]["x-new"] == 1


async def _questions(client: McpClient, server: TalkingUpstream) -> None:
    for tool, (method, question) in QUESTIONS.items():
        asked = await _call(client, tool)
        assert asked.asked == [(method, question)], asked
        state = {"state": "mine"} if server.modern else {}
        assert asked.result["structuredContent"] == {**ANSWERS[method], **state}
    assert server.declared[-1] == CAPABILITIES


async def _others(client: McpClient) -> None:
    listed = {
        "resources/list": ("resources", RESOURCE),
        "resources/templates/list": ("resourceTemplates", TEMPLATE),
        "prompts/list": ("prompts", {**PROMPT, "name": "up-greet"}),
    }
    for method, (member, entry) in listed.items():
        assert (await client.request(method)).result[member] == [entry]
    reads: dict[str, tuple[dict[str, Any], Any]] = {
        "resources/read": ({"uri": "notes:///a"}, CONTENTS),
        "prompts/get": ({"name": "up-greet", "arguments": {"who": "é"}}, MESSAGES),
        "completion/complete": ({"ref": {"type": "ref/prompt", "name": "up-greet"}, "argument": {}}, COMPLETION),
    }
    for method, (params, expected) in reads.items():
        assert without_ours((await client.request(method, params)).result) == expected


async def _cancelled(client: McpClient, server: TalkingUpstream) -> None:
    """An older client says so; a stateless one goes away."""
    call = asyncio.create_task(_call(client, "slow"))
    await until(lambda: any(one["params"]["name"] == "slow" for one in server.requests("tools/call")))
    if client.modern:
        call.cancel()
    else:
        for number in range(client.last_id + 1):
            await client.tell("notifications/cancelled", {"requestId": number, "reason": "changed my mind"})
    await asyncio.gather(call, return_exceptions=True)
    await until(lambda: server.cancelled)


@pytest.mark.parametrize("upstream_revision", REVISIONS)
@pytest.mark.parametrize("client_revision", REVISIONS)
async def test_a_whole_conversation(
    sqlite_url: str, tmp_path: Path, client_revision: str, upstream_revision: str
) -> None:
    """Contract §7: results, errors, unicode, unknown members, size; progress, logs; questions; lists; cancellation."""
    with talking(upstream_revision) as server:
        mounted = {"mcp": {"client_configs": [upstream("up", server.url)]}}
        async with gateway_on_a_port(sqlite_url, tmp_path, **mounted) as http:
            client = McpClient(http, client_revision)
            assert set((await client.open())["capabilities"]) >= {"tools", "resources", "prompts", "completions"}
            await _results(client)
            await _progress(client, server)
            await _questions(client, server)
            await _others(client)
            await _cancelled(client, server)
