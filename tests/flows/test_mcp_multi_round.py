"""Questions to stateless clients (2026-07-28, multi-round-trip requests): the state between the rounds is sealed."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest

from bifrost.gateway.held import MAX_HELD_BY_ONE_PRINCIPAL
from tests.support.gateway import KEY_ID, VIRTUAL_KEY, upstream
from tests.support.mcp_client import ANSWERS, Conversation, McpClient, gateway_on_a_port
from tests.support.talking_upstream import TalkingUpstream, talking

pytestmark = pytest.mark.anyio

MODERN = "2026-07-28"
ERAS = ("2025-11-25", MODERN)
OTHER_KEY = "sk-bf-other-0123456789abcdefghijklmnopqrstuvwx"
KEYS = [{"id": KEY_ID, "name": "test", "value": VIRTUAL_KEY}, {"id": "other", "name": "other", "value": OTHER_KEY}]
ELICIT = {"name": "up-elicit", "arguments": {"a": 1, "b": [2.0]}}


@asynccontextmanager
async def gateway(sqlite_url: str, tmp_path: Path, *servers: TalkingUpstream) -> AsyncIterator[httpx2.AsyncClient]:
    upstreams = [upstream(name, server.url) for name, server in zip(("up", "two"), servers, strict=False)]
    sections = {"mcp": {"client_configs": upstreams}, "governance": {"virtual_keys": KEYS}}
    async with gateway_on_a_port(sqlite_url, tmp_path, **sections) as http:
        yield http


async def _asked(client: McpClient, params: dict[str, Any]) -> dict[str, Any]:
    """The first round: what the client is asked."""
    first = Conversation()
    await client.once(first, "tools/call", params)
    result: dict[str, Any] = first.result
    assert result["resultType"] == "input_required"
    return result


async def _retry(client: McpClient, params: dict[str, Any], asked: dict[str, Any], **more: Any) -> Conversation:
    answers = {key: ANSWERS[one["method"]] for key, one in asked["inputRequests"].items()}
    again = Conversation()
    sent = {**params, "inputResponses": answers, "requestState": asked["requestState"], **more}
    await client.once(again, "tools/call", sent)
    return again


@pytest.mark.parametrize("revision", ERAS)
async def test_the_state_is_good_for_the_same_request_of_the_same_principal_only(
    sqlite_url: str, tmp_path: Path, revision: str
) -> None:
    """RS17, G10: nothing goes upstream for anybody else, another tool, other arguments, or a state that was touched."""
    with talking(revision) as server, talking(revision) as second:
        async with gateway(sqlite_url, tmp_path, server, second) as http:
            client, thief = McpClient(http, MODERN), McpClient(http, MODERN, key=OTHER_KEY)
            elsewhere = McpClient(http, MODERN, path="/mcp/up")
            asked = await _asked(client, ELICIT)
            state = asked["requestState"]
            before = len(server.seen) + len(second.seen)
            wrong = [
                await _retry(thief, ELICIT, asked),
                await _retry(client, {**ELICIT, "arguments": {"a": 2, "b": [2.0]}}, asked),
                await _retry(client, ELICIT, asked, requestState=state[:-4] + "AAAA"),
                await _retry(client, ELICIT, asked, requestState="mine"),
                await _retry(client, ELICIT, asked, requestState=5),
            ]
            assert [one.error["code"] for one in wrong] == [-32602] * len(wrong)
            assert [one.status for one in wrong] == [400] * len(wrong)
            assert len(server.seen) + len(second.seen) == before
            await second_tool(client, asked)
            assert (await _retry(elsewhere, {**ELICIT, "name": "elicit"}, asked)).error["code"] == -32602
            good = await _retry(client, {**ELICIT, "arguments": {"b": [2.0], "a": 1}}, asked)
            assert good.result["structuredContent"]["action"] == "accept"


async def second_tool(client: McpClient, asked: dict[str, Any]) -> None:
    for name in ("up-sample", "two-elicit"):
        assert (await _retry(client, {**ELICIT, "name": name}, asked)).error["code"] == -32602


@pytest.mark.parametrize("revision", ERAS)
async def test_the_upstreams_own_state_never_leaves_the_gateway(sqlite_url: str, tmp_path: Path, revision: str) -> None:
    """G10: the client holds ours, the upstream gets back its own."""
    with talking(revision) as server:
        async with gateway(sqlite_url, tmp_path, server) as http:
            client = McpClient(http, MODERN)
            asked = await _asked(client, ELICIT)
            assert "mine" not in asked["requestState"]
            await _retry(client, ELICIT, asked)
            sent = [one["params"].get("requestState") for one in server.requests("tools/call")]
            assert sent == ([None, "mine"] if revision == MODERN else [None])


async def test_a_held_call_that_got_no_answer_asks_again(sqlite_url: str, tmp_path: Path) -> None:
    """G11: the same question, and the call goes on waiting."""
    with talking("2025-11-25") as server:
        async with gateway(sqlite_url, tmp_path, server) as http:
            client = McpClient(http, MODERN)
            asked = await _asked(client, ELICIT)
            again = await _retry(client, ELICIT, asked, inputResponses={"unknown": {}})
            assert again.result["inputRequests"] == asked["inputRequests"]
            done = await _retry(client, ELICIT, again.result)
            assert done.result["structuredContent"] == ANSWERS["elicitation/create"]
            over = await _retry(client, ELICIT, asked)
            assert over.error["code"] == -32602
            assert len(server.requests("tools/call")) == 1


async def test_held_calls_of_one_principal_are_bounded(sqlite_url: str, tmp_path: Path) -> None:
    """TC-211: and whoever is over the bound takes nothing from anybody else."""
    with talking("2025-11-25") as server:
        async with gateway(sqlite_url, tmp_path, server) as http:
            client, other = McpClient(http, MODERN), McpClient(http, MODERN, key=OTHER_KEY)
            for _ in range(MAX_HELD_BY_ONE_PRINCIPAL):
                await _asked(client, ELICIT)
            refused = Conversation()
            await client.once(refused, "tools/call", ELICIT)
            assert refused.error["code"] == -32000
            await _asked(other, ELICIT)


@pytest.mark.parametrize("revision", ERAS)
async def test_a_client_that_declares_nothing_is_asked_nothing(sqlite_url: str, tmp_path: Path, revision: str) -> None:
    """G8, G19."""
    with talking(revision) as server:
        async with gateway(sqlite_url, tmp_path, server) as http:
            client = McpClient(http, MODERN, capabilities={})
            await client.request("tools/call", {"name": "up-echo"})
            assert server.declared[-1] == {}
