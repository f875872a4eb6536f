"""What one principal can do to others, to the upstreams and to the memory of the gateway: nothing (contract §7)."""

import json
from pathlib import Path
from typing import Any

import pytest

from bifrost.gateway.letter_limits import Measure
from bifrost.protocol import mcp
from tests.flows._hostile_upstream import hostile, result
from tests.flows._mcp import KEY, message, with_upstreams
from tests.support.gateway import KEY_ID, VIRTUAL_KEY, TestGateway, upstream
from tests.support.mcp_client import McpClient

pytestmark = pytest.mark.anyio

OTHER_KEY = "sk-bf-other-0123456789abcdefghijklmnopqrstuvwx"
KEYS = {
    "virtual_keys": [
        {"id": KEY_ID, "name": "test", "value": VIRTUAL_KEY},
        {"id": "other", "name": "other", "value": OTHER_KEY},
    ]
}


async def test_one_evil_entry_of_a_batch_costs_the_others_nothing(running: TestGateway) -> None:
    """2025-03-26, JSON-RPC 2.0 §6: each has its own answer."""
    evil: list[Any] = [5, None, [], {}, "x", {"jsonrpc": "1.0", "id": 3, "method": "ping"}, [message("ping")]]
    evil += [message("ping", request_id=None) | {"id": None}, message("initialize", request_id=4), {"id": {"a": 1}}]
    parts = [message("ping", request_id="first"), *evil, message("ping", request_id="last")]
    answers = (await running.http.post("/mcp", json=parts, headers=KEY)).json()
    good = [answer["id"] for answer in answers if "result" in answer]
    assert good == ["first", "last"]
    assert len(answers) == len(parts)
    assert all(answer["error"]["code"] in (-32600, -32700) for answer in answers if "error" in answer)


async def test_a_method_cannot_become_a_header_field_of_a_request_upstream(sqlite_url: str, tmp_path: Path) -> None:
    """RFC 9112 §11.1: the stateless revision repeats method and name in the header."""
    capabilities = b'{"supportedVersions":["2026-07-28"],"capabilities":{"tools":{},"extensions":{"x":{}}}}'
    odd = "a\r\nEvil: 1"
    tool = json.dumps({"name": odd, "inputSchema": {"type": "object"}}).encode()
    with hostile(script={mcp.DISCOVER: result(capabilities)}, tools=[tool]) as server:
        async with with_upstreams(sqlite_url, tmp_path, upstream("up", server.url)) as running:
            client = McpClient(running.http, "2025-11-25", path="/mcp/up", capabilities={"extensions": {"x": {}}})
            await client.open()
            for method in ("x/y\r\nEvil: 1", "x/é", "x/" + "y" * 4_000, "", " x", "x/\x00"):
                assert (await client.request(method)).error["code"] == -32601
            assert (await client.request("tools/call", {"name": odd, "arguments": {}})).error["code"] == -32602
            assert not [one for one in server.seen if one.message["method"] == "tools/call"]
            assert all(one.header("evil") is None for one in server.seen)
            assert not [one for one in server.seen if one.message["method"].startswith("x/")]


async def test_sessions_without_number_leave_nothing_behind(sqlite_url: str, tmp_path: Path) -> None:
    """Contract §7: a session id says everything itself, so that beginning one writes and keeps nothing."""
    with hostile(era="legacy") as server:
        async with with_upstreams(sqlite_url, tmp_path, upstream("up", server.url)) as running:
            client = McpClient(running.http, "2025-11-25")
            for _ in range(100):
                await client.open()
            assert await running.rows("session_letters") == []
            greetings = [one for one in server.seen if one.message.get("method") == "initialize"]
            assert len(greetings) <= 1, "an upstream is greeted for a session when that session asks something of it"


async def test_whoever_writes_without_end_is_stopped_and_nobody_else(
    sqlite_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Contract §10: what is kept of sessions is bounded for each principal."""
    monkeypatch.setattr("bifrost.gateway.endpoints.legacy.LASTING", Measure("lasting", most=3, seconds=60))
    async with with_upstreams(sqlite_url, tmp_path, governance=KEYS) as running:
        greedy, other = McpClient(running.http, "2025-11-25"), McpClient(running.http, "2025-11-25", key=OTHER_KEY)
        await greedy.open()
        await other.open()
        levels = [await greedy.request("logging/setLevel", {"level": "error"}) for _ in range(5)]
        assert [one.error is None for one in levels] == [True] * 3 + [False] * 2
        assert levels[-1].error["data"] == {
            "code": "too_many_messages", "event_id": levels[-1].error["data"]["event_id"], "retry_after": 60,
        }  # fmt: skip
        ended = await running.http.delete("/mcp", headers=greedy.headers("", {}))
        assert (ended.status_code, ended.headers["retry-after"]) == (429, "60")
        assert len(await running.rows("session_letters")) == 3
        assert (await running.http.delete("/mcp", headers=other.headers("", {}))).status_code == 204


async def test_a_progress_token_without_measure_is_none(sqlite_url: str, tmp_path: Path) -> None:
    """2025-11-25, progress: every piece of progress repeats the token, so its size is multiplied."""
    with hostile() as server:
        async with with_upstreams(sqlite_url, tmp_path, upstream("up", server.url)) as running:
            client = McpClient(running.http, "2025-11-25")
            await client.open()
            for token in ("t", "t" * 100_000):
                params = {"name": "up-read", "arguments": {}, "_meta": {"progressToken": token, "mine": 1}}
                assert (await client.request("tools/call", params)).error is None
            metas = [one.message["params"]["_meta"] for one in server.seen if one.message["method"] == "tools/call"]
            assert ["progressToken" in meta for meta in metas] == [True, False]
            assert [meta["mine"] for meta in metas] == [1, 1]
