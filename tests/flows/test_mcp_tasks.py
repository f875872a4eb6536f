"""Tasks of 2025-11-25 are not offered, to neither side, and nothing says that they are."""

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from bifrost.protocol import mcp
from tests.support.gateway import upstream
from tests.support.mcp_client import McpClient, gateway_on_a_port
from tests.support.piped import reached
from tests.support.scripted_upstream import ScriptedUpstream

pytestmark = pytest.mark.anyio

UPSTREAMS = [("http", "2025-11-25"), ("stdio", "2025-11-25"), ("sse", "2025-11-25"), ("http", mcp.MODERN)]
REQUESTS: dict[str, Any] = {"list": {}, "cancel": {}, "requests": {"tools": {"call": {}}}}
OF_CLIENTS: dict[str, Any] = {
    "list": {},
    "cancel": {},
    "requests": {"sampling": {"createMessage": {}}, "elicitation": {"create": {}}},
}
SCHEMA = {"type": "object"}
LISTED: list[dict[str, Any]] = [
    {"name": "said", "inputSchema": SCHEMA, "execution": {"taskSupport": "optional"}, "title": "Said"},
    {"name": "must", "execution": {"x-new": 1.5, "taskSupport": "required"}, "inputSchema": SCHEMA},
    {"name": "other", "inputSchema": SCHEMA, "execution": {"x-new": 1}},
]
SHOWN = [
    {"name": "said", "inputSchema": SCHEMA, "title": "Said"},
    {"name": "must", "execution": {"x-new": 1.5}, "inputSchema": SCHEMA},
    {"name": "other", "inputSchema": SCHEMA, "execution": {"x-new": 1}},
]
QUESTION: dict[str, Any] = {"messages": [], "maxTokens": 5}
ANSWER = {"role": "assistant", "content": {"type": "text", "text": "x"}, "model": "m"}


def with_tasks(revision: str) -> ScriptedUpstream:
    """A server that offers tasks, and says of its tools what they can do with them."""
    capabilities = {"tools": {}, "tasks": REQUESTS}
    greeting = {"protocolVersion": revision, "capabilities": capabilities, "serverInfo": {"name": "t", "version": "1"}}
    members: dict[str, dict[str, Any]] = {mcp.TOOLS_LIST: {"tools": LISTED}, mcp.INITIALIZE: greeting}
    if revision == mcp.MODERN:
        members |= {mcp.DISCOVER: {"supportedVersions": [revision], "capabilities": capabilities}}
        del members[mcp.INITIALIZE]
    return ScriptedUpstream(version=revision, members=members, result={"content": []})


@asynccontextmanager
async def opened(
    server: ScriptedUpstream, transport: str, client: str, url: str, directory: Path
) -> AsyncIterator[tuple[McpClient, dict[str, Any]]]:
    """A client of that revision at the upstream's own address, and what it was told there."""
    with reached(transport, server) as way:
        section = {"client_configs": [{**upstream("up", ""), **way}], "stdio_allowed_commands": [sys.executable]}
        async with gateway_on_a_port(url, directory, mcp=section) as http:
            capabilities = {"sampling": {}, "tasks": OF_CLIENTS}
            one = McpClient(http, client, capabilities, "/mcp/up", answers={mcp.SAMPLING_CREATE: ANSWER})
            yield one, await one.open()


@pytest.mark.parametrize(("transport", "revision"), UPSTREAMS)
@pytest.mark.parametrize("client", ["2025-11-25", mcp.MODERN])
async def test_no_client_is_told_of_tasks(
    client: str, transport: str, revision: str, sqlite_url: str, tmp_path: Path
) -> None:
    """2025-11-25, tasks: neither as a capability nor of a tool; every other member stays, and the methods are unknown.

    V14.
    """
    server = with_tasks(revision)
    async with opened(server, transport, client, sqlite_url, tmp_path) as (one, told):
        assert "tasks" not in told["capabilities"]
        assert (await one.request(mcp.TOOLS_LIST)).result["tools"] == SHOWN
        for method in ("tasks/get", "tasks/result", "tasks/list", "tasks/cancel"):
            refused = await one.request(method, {"taskId": "t1"})
            assert (refused.error["code"], refused.status) == (-32601, 404 if one.modern else 200)
            assert not server.requests(method)


@pytest.mark.parametrize(("transport", "revision"), UPSTREAMS)
@pytest.mark.parametrize("client", mcp.LEGACY_VERSIONS)
async def test_a_call_that_wants_to_be_a_task_is_a_call_like_any_other(
    client: str, transport: str, revision: str, sqlite_url: str, tmp_path: Path
) -> None:
    """2025-11-25, tasks: who does not declare them does what was asked, or the result would be where nobody can get it.

    V14.
    """
    server = with_tasks(revision)
    async with opened(server, transport, client, sqlite_url, tmp_path) as (one, _told):
        said = await one.request(
            mcp.TOOLS_CALL, {"name": "said", "arguments": {"a": 1}, "task": {"ttl": 1}, "x-new": 1}
        )
        assert said.result["content"] == []
        arrived = server.requests(mcp.TOOLS_CALL)[-1]["params"]
        assert (arrived["arguments"], arrived["x-new"]) == ({"a": 1}, 1)
        assert "task" not in arrived


@pytest.mark.parametrize("transport", ["http", "stdio", "sse"])
@pytest.mark.parametrize("client", ["2025-11-25", mcp.MODERN])
async def test_an_upstream_is_not_told_that_its_client_has_tasks(
    client: str, transport: str, sqlite_url: str, tmp_path: Path
) -> None:
    """2025-11-25, tasks: what it asks all the same is asked as an ordinary question, and nothing becomes of a task.

    V14.
    """
    server = with_tasks("2025-11-25")
    async with opened(server, transport, client, sqlite_url, tmp_path) as (one, _told):
        server.question = (mcp.SAMPLING_CREATE, {**QUESTION, "task": {"ttl": 1}})
        said = await one.request(mcp.TOOLS_CALL, {"name": "said"})
        assert (said.asked, server.answered) == ([(mcp.SAMPLING_CREATE, QUESTION)], [ANSWER])
        declared = [message["params"]["capabilities"] for message in server.requests(mcp.INITIALIZE)]
        assert {"sampling": {}} in declared
        assert all("tasks" not in one for one in declared)
        server.question = ("tasks/get", {"taskId": "t1"})
        assert (await one.request(mcp.TOOLS_CALL, {"name": "said"})).asked == []
        assert server.answered[-1]["code"] == -32601
