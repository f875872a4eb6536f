"""Upstreams that misbehave while a call is streaming: one clear error, to the right caller, and bounded memory."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from bifrost.upstreams.links.base import MAX_QUESTIONS
from tests.flows._hostile_upstream import DONE, Answer, Era, events, hostile
from tests.support.gateway import upstream
from tests.support.mcp_client import Conversation, McpClient, gateway_on_a_port

pytestmark = pytest.mark.anyio

OK = b'{"jsonrpc":"2.0","id":$ID,"result":' + DONE + b"}"
LOG = b'{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info","data":1}}'
PROGRESS = b'{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":%s,"progress":1}}'
QUESTION = b'{"jsonrpc":"2.0","id":%d,"method":"elicitation/create","params":{"message":"?"}}'


def _cut(*data: bytes) -> Answer:
    body = b"".join(b"data: " + one + b"\n\n" for one in data)
    return Answer(
        body=body + b'data: {"jsonrpc":"2.0","id":$ID' + b" " * len(body),
        content_type="text/event-stream",
        ending="cut",
    )


STREAMS: dict[str, tuple[Answer, bool]] = {
    "cut in the middle": (_cut(LOG, LOG), False),
    "ends without an answer": (events(LOG, LOG), False),
    "garbage between messages": (events(LOG, b"10.11.12.13", OK), False),
    "progress of others": (events(PROGRESS % b"0", PROGRESS % b'"t"', PROGRESS % b"99", PROGRESS % b"null", OK), True),
    "a flood of questions": (events(*(QUESTION % number for number in range(500)), OK), True),
    "answers to others": (events(OK.replace(b"$ID", b"99"), OK.replace(b"$ID", b'"1"'), OK), True),
    "a request that the gateway should do": (events(b'{"jsonrpc":"2.0","id":5,"method":"tools/list"}', OK), True),
    "a batch": (events(b"[" + LOG + b"]"), False),
}


@pytest.mark.parametrize(("answer", "succeeds"), STREAMS.values(), ids=STREAMS)
@pytest.mark.parametrize("era", ["legacy", "modern"])
async def test_a_stream_that_goes_wrong_goes_wrong_for_its_call_only(
    sqlite_url: str, tmp_path: Path, era: Era, answer: Answer, *, succeeds: bool
) -> None:
    """TC-210, TC-211: whoever asks at the same time is not touched, and nothing foreign gets through."""
    with hostile(era=era, sessions=era == "legacy") as bad, hostile(era=era) as good:
        mounted = {"mcp": {"client_configs": [upstream("bad", bad.url), upstream("good", good.url)]}}
        async with gateway_on_a_port(sqlite_url, tmp_path, **mounted) as http:
            client = McpClient(http, "2025-11-25")
            await client.open()
            bad.script["tools/call"] = answer

            async def call(name: str) -> Conversation:
                params: dict[str, Any] = {"name": f"{name}-read", "_meta": {"progressToken": "t"}}
                return await client.request("tools/call", params)

            wrong, right = await asyncio.gather(call("bad"), call("good"))
            assert right.result == json.loads(DONE)
            assert (right.heard, right.asked) == ([], [])
            assert (wrong.result is not None) is succeeds
            if not succeeds:
                assert wrong.error["data"]["code"] == "upstream_unavailable"
                assert "10.11.12.13" not in str(wrong.error)
            assert not [said for said in wrong.heard if said["method"] == "notifications/progress"]
            assert len(wrong.asked) <= MAX_QUESTIONS
            bad.script.clear()
            assert (await call("bad")).result == json.loads(DONE)


async def test_a_client_that_goes_away_ends_what_it_asked_for(sqlite_url: str, tmp_path: Path) -> None:
    """T12, TC-213: the upstream sees the connection closed."""
    with hostile() as server:
        mounted = {"mcp": {"client_configs": [upstream("up", server.url)]}}
        async with gateway_on_a_port(sqlite_url, tmp_path, **mounted) as http:
            client = McpClient(http, "2026-07-28")
            await client.request("tools/list")
            server.script["tools/call"] = Answer(ending="never")
            calls = [
                asyncio.create_task(client.request("tools/call", {"name": "up-read", "arguments": {}}))
                for _ in range(20)
            ]
            await asyncio.sleep(0.3)
            for one in calls:
                one.cancel()
            await asyncio.gather(*calls, return_exceptions=True)
            server.script.clear()
            again = await client.request("tools/call", {"name": "up-read", "arguments": {}})
            assert again.result["content"]
