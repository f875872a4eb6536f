"""What belongs to some revisions only: batches, ping, changes of roots; each where its revision has it, and nowhere else."""

import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from bifrost.protocol import mcp
from tests.flows._matrix import CLIENTS, UPSTREAMS
from tests.flows._mcp import KEY, message
from tests.support.gateway import TestGateway, upstream
from tests.support.mcp_client import McpClient, gateway_on_a_port
from tests.support.piped import reached
from tests.support.scripted_upstream import ScriptedUpstream
from tests.support.servers import until

pytestmark = pytest.mark.anyio

PINGS = [message("ping", request_id="a"), message("ping", request_id=2)]


@asynccontextmanager
async def opened(
    server: ScriptedUpstream, transport: str, client: str, url: str, directory: Path, path: str = "/mcp/up"
) -> AsyncIterator[McpClient]:
    with reached(transport, server) as way:
        section = {"client_configs": [{**upstream("up", ""), **way}], "stdio_allowed_commands": [sys.executable]}
        async with gateway_on_a_port(url, directory, mcp=section) as http:
            one = McpClient(http, client, CLIENTS[client], path)
            await one.open()
            yield one


# ---- batches --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", mcp.LEGACY_VERSIONS)
async def test_in_a_session_of_another_revision_a_batch_is_no_message(running: TestGateway, version: str) -> None:
    """V3, 2025-06-18: batches were taken out; before 2025-03-26 there were none."""
    client = McpClient(running.http, version)
    await client.open()
    answer = await running.http.post("/mcp", json=PINGS, headers=client.headers("", {}))
    if version == "2025-03-26":
        assert [(one["id"], one["result"]) for one in answer.json()] == [("a", {}), (2, {})]
    else:
        assert (answer.status_code, answer.json()["error"]["code"]) == (400, -32600)


@pytest.mark.parametrize("version", [None, *mcp.LEGACY_VERSIONS, mcp.MODERN, "1999-01-01"])
async def test_without_a_session_the_header_says_whether_a_batch_is_a_message(
    running: TestGateway, version: str | None
) -> None:
    """V3, T16, 2025-06-18, transports: who sends no header speaks 2025-03-26."""
    named = {} if version is None else {"MCP-Protocol-Version": version}
    answer = await running.http.post("/mcp", json=PINGS, headers={**KEY, **named})
    if version in (None, "2025-03-26"):
        assert [one["id"] for one in answer.json()] == ["a", 2]
    else:
        assert (answer.status_code, answer.json()["error"]["code"]) == (400, -32600)


# ---- ping -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", mcp.LEGACY_VERSIONS)
async def test_a_ping_is_answered_in_every_revision_that_has_one(running: TestGateway, version: str) -> None:
    """V9, 2025-11-25, ping: with an empty result; 2026-07-28 has none."""
    client = McpClient(running.http, version)
    await client.open()
    assert (await client.request(mcp.PING)).result == {}


@pytest.mark.parametrize(("transport", "revision"), [one for one in UPSTREAMS if one[1] != mcp.MODERN])
async def test_a_ping_of_an_upstream_is_answered_whoever_its_client_is(
    transport: str, revision: str, sqlite_url: str, tmp_path: Path
) -> None:
    """V9, 2025-11-25, ping: also for a client that has none, and without asking it."""
    server = ScriptedUpstream(version=revision, question=(mcp.PING, {}), result={"content": []})
    async with opened(server, transport, mcp.MODERN, sqlite_url, tmp_path) as client:
        said = await client.request(mcp.TOOLS_CALL, {"name": "said"})
        assert (said.error, said.asked) == (None, [])
        assert server.answered == [{}]


# ---- roots ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("transport", "revision"), UPSTREAMS)
@pytest.mark.parametrize("version", CLIENTS)
async def test_a_change_of_roots_is_told_to_an_upstream_that_knows_of_such_a_thing(
    version: str, transport: str, revision: str, sqlite_url: str, tmp_path: Path
) -> None:
    """V11, 2025-11-25, roots: after the request that made the session; 2026-07-28 has no such notification."""
    server = ScriptedUpstream(version=revision, result={"content": []})
    async with opened(server, transport, version, sqlite_url, tmp_path) as client:
        assert (await client.request(mcp.TOOLS_CALL, {"name": "said"})).result["content"] == []
        assert await client.tell(mcp.ROOTS_CHANGED, {"_meta": {"x-new": 1}}) == 202
        if mcp.MODERN not in (version, revision):
            await until(lambda: server.requests(mcp.ROOTS_CHANGED))
            assert server.requests(mcp.ROOTS_CHANGED) == [
                {"jsonrpc": "2.0", "method": mcp.ROOTS_CHANGED, "params": {"_meta": {"x-new": 1}}}
            ]
        assert (await client.request(mcp.TOOLS_CALL, {"name": "said"})).result["content"] == []
        assert len(server.requests(mcp.ROOTS_CHANGED)) == int(mcp.MODERN not in (version, revision))


# ---- completion -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/mcp", "/mcp/up"])
@pytest.mark.parametrize("version", CLIENTS)
async def test_what_is_completed_and_what_is_known_already_reach_the_upstream(
    version: str, path: str, sqlite_url: str, tmp_path: Path
) -> None:
    """V10, 2025-06-18, completion: a prompt by its own name, a template as it is, and `context` with them."""
    server = ScriptedUpstream(version="2025-11-25")
    async with opened(server, "http", version, sqlite_url, tmp_path, path) as client:
        name = "up-greet" if path == "/mcp" else "greet"
        known = {"argument": {"name": "who", "value": "a"}, "context": {"arguments": {"x": "é"}}, "x-new": [1.0]}
        for sent, own in (
            ({"type": "ref/prompt", "name": name, "title": "T"}, {"type": "ref/prompt", "name": "greet", "title": "T"}),
            ({"type": "ref/resource", "uri": "notes:///by-id/{id}"}, None),
        ):
            done = await client.request(mcp.COMPLETE_ARGUMENT, {"ref": sent, **known})
            assert done.result["completion"] == {"values": ["a", "b"], "hasMore": False}
            arrived: dict[str, Any] = json.loads(server.bodies[-1])["params"]
            assert {name: arrived[name] for name in ("ref", *known)} == {"ref": own or sent, **known}
