"""Methods of extensions reach the one upstream that an endpoint is, and nothing else does (2026-07-28, versioning)."""

import json
from pathlib import Path
from typing import Any

import httpx2
import pytest

from bifrost.protocol import mcp
from tests.flows._hostile_upstream import HostileUpstream, hostile, result
from tests.flows._mcp import KEY, key, modern_headers, modern_message, with_upstreams
from tests.support.gateway import VIRTUAL_KEY, TestGateway, upstream

pytestmark = pytest.mark.anyio

TASKS = "io.modelcontextprotocol/tasks"
GET = "tasks/get"
TASK = b'{"resultType":"complete","taskId":"t1","status":"working","x-new":[1.0]}'


def offering(*extensions: str) -> HostileUpstream:
    capabilities = json.dumps({"tools": {}, "extensions": {name: {} for name in extensions}}).encode()
    discovered = b'{"supportedVersions":["2026-07-28"],"capabilities":%s}' % capabilities
    return HostileUpstream(script={mcp.DISCOVER: result(discovered), GET: result(TASK)})


async def ask(
    running: TestGateway, method: str = GET, *, path: str = "/mcp/up", declared: Any = (TASKS,), **headers: str
) -> httpx2.Response:
    capabilities: dict[str, Any] = {"extensions": {name: {} for name in declared}} if declared else {}
    message = modern_message(method, {"taskId": "t1", "_meta": {mcp.META_CAPABILITIES: capabilities}})
    return await running.http.post(path, json=message, headers={**modern_headers(method), **KEY, **headers})


async def test_a_method_of_an_extension_that_both_sides_declared_goes_through(sqlite_url: str, tmp_path: Path) -> None:
    """G23: as it came, both ways; what was offered at server/discover is kept."""
    with hostile(script=offering(TASKS).script) as server:
        async with with_upstreams(sqlite_url, tmp_path, upstream("up", server.url)) as running:
            discovered = (await ask(running, mcp.DISCOVER)).json()["result"]
            assert TASKS in discovered["capabilities"]["extensions"]
            answer = await ask(running)
            assert answer.status_code == 200, answer.text
            got = answer.json()["result"]
            assert {name: got[name] for name in ("taskId", "status", "x-new", "resultType")} == json.loads(TASK)
            (seen,) = [one for one in server.seen if one.message.get("method") == GET]
            assert seen.message["params"]["taskId"] == "t1"
            assert seen.header("mcp-method") == GET


@pytest.mark.parametrize(
    ("method", "more"),
    [
        (GET, {"declared": ()}),
        (GET, {"declared": ("com.example/other",)}),
        (GET, {"path": "/mcp"}),
        (GET, {"x-bf-mcp-include-tools": "up-read"}),
        ("tools/unheard-of", {}),
        ("resources/delete", {}),
        ("initialize", {}),
        ("logging/setLevel", {}),
    ],
)
async def test_anything_else_is_no_method_here(
    sqlite_url: str, tmp_path: Path, method: str, more: dict[str, Any]
) -> None:
    """G23, T6: 404 and -32601 where a side lacks it, where several upstreams are one, and past a filter of tools."""
    with hostile(script=offering(TASKS).script) as server:
        async with with_upstreams(sqlite_url, tmp_path, upstream("up", server.url)) as running:
            answer = await ask(running, method, **more)
            assert (answer.status_code, answer.json()["error"]["code"]) == (404, -32601)
            assert method not in [one.message.get("method") for one in server.seen]


async def test_a_key_that_may_use_some_tools_reaches_no_extension(sqlite_url: str, tmp_path: Path) -> None:
    """Contract §7: who was given some tools was given nothing else."""
    some = {"mcp_configs": [{"mcp_client_name": "up", "tools_to_execute": ["read"]}]}
    with hostile(script=offering(TASKS).script) as server:
        keys = {"virtual_keys": [key(**some)]}
        async with with_upstreams(sqlite_url, tmp_path, upstream("up", server.url), governance=keys) as running:
            assert (await ask(running)).json()["error"]["code"] == -32601


async def test_a_method_of_an_extension_counts_as_a_request(sqlite_url: str, tmp_path: Path) -> None:
    """Contract §9, `rate_limit`: it is no way past the limits of a key."""
    limit = {"request_max_limit": 1, "request_reset_duration": "1h"}
    with hostile(script=offering(TASKS).script) as server:
        keys = {"virtual_keys": [key(rate_limit=limit)]}
        async with with_upstreams(sqlite_url, tmp_path, upstream("up", server.url), governance=keys) as running:
            assert "result" in (await ask(running)).json()
            assert (await ask(running)).json()["error"]["data"]["code"] == "rate_limited"
            assert VIRTUAL_KEY not in (await ask(running)).text
