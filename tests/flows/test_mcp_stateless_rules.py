"""Rules of 2026-07-28 that can be seen from outside: header fields that repeat arguments, streams, and no memory at all."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from bifrost.gateway.endpoints import answer as answering
from bifrost.protocol import mcp
from tests.flows._hostile_upstream import DONE, hostile, result
from tests.flows._mcp import KEY, call, modern_headers, modern_message, names, result_of, rpc_error, with_upstreams
from tests.support.gateway import upstream
from tests.support.mcp_client import ACCEPT, McpClient, gateway_on_a_port, messages
from tests.support.scripted_upstream import ScriptedUpstream
from tests.support.servers import serving, until

pytestmark = pytest.mark.anyio

INTEGER, STRING, BOOLEAN = {"type": "integer"}, {"type": "string"}, {"type": "boolean"}
SCHEMA = {
    "type": "object",
    "properties": {
        "region": {**STRING, "x-mcp-header": "Region"},
        "limits": {"type": "object", "properties": {"rows": {**INTEGER, "x-mcp-header": "Rows"}}},
        "dry": {**BOOLEAN, "x-mcp-header": "Dry"},
        "free": STRING,
    },
}
INVALID = {"type": "object", "properties": {"a": {**STRING, "x-mcp-header": "not a name"}}}
TOOLS = [{"name": "sql", "inputSchema": SCHEMA}, {"name": "broken", "inputSchema": INVALID}]
LISTED = result(json.dumps({"resultType": "complete", "tools": TOOLS}).encode())
SCRIPT = {"tools/list": LISTED, "tools/call": result(DONE)}
RIGHT: list[tuple[dict[str, Any], dict[str, str]]] = [
    ({}, {}),
    ({"region": None, "free": "x"}, {}),
    ({"region": "eu"}, {"Mcp-Param-Region": "eu"}),
    ({"region": "eu"}, {"mcp-param-region": "=?base64?ZXU=?="}),
    ({"region": " größe"}, {"Mcp-Param-Region": "=?base64?IGdyw7bDn2U=?="}),
    ({"limits": {"rows": 42}}, {"Mcp-Param-Rows": "42"}),
    ({"limits": {"rows": 42}}, {"Mcp-Param-Rows": "42.0"}),
    ({"limits": {"rows": 42.0}}, {"Mcp-Param-Rows": "42"}),
    ({"limits": {"rows": -7}, "dry": False}, {"Mcp-Param-Rows": "-7", "Mcp-Param-Dry": "false"}),
    ({"region": "eu"}, {"Mcp-Param-Region": "eu", "Mcp-Param-Unheard-Of": "x"}),
]
WRONG: list[tuple[dict[str, Any], list[tuple[str, str]]]] = [
    ({"region": "eu"}, []),
    ({"region": "eu"}, [("Mcp-Param-Region", "EU")]),
    ({"region": "eu"}, [("Mcp-Param-Region", "eu"), ("Mcp-Param-Region", "eu")]),
    ({}, [("Mcp-Param-Region", "eu")]),
    ({}, [("Mcp-Param-Region", "=?base64?!?=")]),
    ({"region": "42"}, [("Mcp-Param-Region", "42.0")]),
    ({"region": "eu"}, [("Mcp-Param-Region", "=?base64?RVU=?=")]),
    ({"limits": {"rows": 42}}, [("Mcp-Param-Rows", "43")]),
    ({"limits": {"rows": 42}}, [("Mcp-Param-Rows", "42.5")]),
    ({"limits": {"rows": 42}}, [("Mcp-Param-Rows", "0x2a")]),
    ({"dry": True}, [("Mcp-Param-Dry", "True")]),
    ({"dry": True}, [("Mcp-Param-Dry", "1")]),
]


# ---- header fields that repeat arguments ----------------------------------------------------------------------------


@pytest.mark.parametrize(("arguments", "fields"), RIGHT)
async def test_a_field_that_repeats_its_argument_is_right(
    arguments: dict[str, Any], fields: dict[str, str], sqlite_url: str, tmp_path: Path
) -> None:
    """T5, G17: decoded first; whole numbers by their value; one that nobody asked for is ignored."""
    with hostile(script=dict(SCRIPT)) as server:
        async with with_upstreams(sqlite_url, tmp_path, upstream("up", server.url)) as running:
            result_of(await call(running.http, "up-sql", arguments, era="modern", headers={**KEY, **fields}))


@pytest.mark.parametrize(("arguments", "fields"), WRONG)
async def test_a_field_that_says_something_else_is_refused(
    arguments: dict[str, Any], fields: list[tuple[str, str]], sqlite_url: str, tmp_path: Path
) -> None:
    """T5, G17: 400 and -32020, also where it is missing; a proxy may have decided by it. Nothing goes upstream."""
    with hostile(script=dict(SCRIPT)) as server:
        async with with_upstreams(sqlite_url, tmp_path, upstream("up", server.url)) as running:
            headers = [*KEY.items(), *modern_headers("tools/call", "up-sql").items(), *fields]
            body = modern_message("tools/call", {"name": "up-sql", "arguments": arguments})
            assert rpc_error(await running.http.post("/mcp", json=body, headers=headers), 400)["code"] == -32020
            assert server.requests("tools/call") == []


@pytest.mark.parametrize("era", ["legacy", "modern"])
async def test_the_gateway_repeats_for_an_upstream_what_its_tool_wants_repeated(
    era: str, sqlite_url: str, tmp_path: Path
) -> None:
    """G18: from the arguments, whatever era the client is of; a tool whose annotations cannot be is left out."""
    fields = {"Mcp-Param-Region": "=?base64?Z3LDtsOfZQ==?=", "Mcp-Param-Rows": "3", "Mcp-Param-Other": "canary"}
    with hostile(script=dict(SCRIPT)) as server:
        async with with_upstreams(sqlite_url, tmp_path, upstream("up", server.url)) as running:
            assert await names(running.http, era=era) == ["up-sql"]
            arguments = {"region": "größe", "limits": {"rows": 3}}
            result_of(await call(running.http, "up-sql", arguments, era=era, headers={**KEY, **fields}))
            (seen,) = server.requests("tools/call")
            sent = {name: value for name, value in seen.headers if name.startswith("mcp-param-")}
            assert sent == {"mcp-param-region": "=?base64?Z3LDtsOfZQ==?=", "mcp-param-rows": "3"}


# ---- streams --------------------------------------------------------------------------------------------------------


async def test_a_stream_is_told_to_no_buffer_and_shows_that_it_lives(
    sqlite_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """T1, T14: events to a client that takes them and JSON to any other; comments as long as nothing else is said."""
    monkeypatch.setattr(answering, "KEEP_ALIVE_SECONDS", 0.01)
    server = ScriptedUpstream(version=mcp.MODERN, hangs=True)
    server.heard = [{"method": mcp.PROGRESS, "params": {"progressToken": None, "progress": 1}}]
    params = {"name": "up-said", "_meta": {"progressToken": 1}}
    with serving(server) as origin:
        mounted = {"mcp": {"client_configs": [upstream("up", f"{origin}/mcp")]}}
        async with gateway_on_a_port(sqlite_url, tmp_path, **mounted) as http:
            headers = {**KEY, **modern_headers("tools/call", "up-said")}
            body = modern_message("tools/call", params)
            async with http.stream("POST", "/mcp", json=body, headers={**headers, "Accept": ACCEPT}) as stream:
                assert stream.headers["content-type"] == "text/event-stream"
                assert (stream.headers["x-accel-buffering"], stream.headers["cache-control"]) == ("no", "no-store")
                lines = stream.aiter_lines()
                while not (await anext(lines)).startswith(":"):
                    pass
            server.hangs, server.result = False, {"content": []}
            plain = await http.post("/mcp", json=body, headers={**headers, "Accept": "application/json"})
            assert plain.headers["content-type"] == "application/json"
            assert plain.json()["result"]["content"] == []


@pytest.mark.parametrize("revision", ["2024-11-05", "2025-11-25", mcp.MODERN])
@pytest.mark.parametrize("level", ["", "warning", "error"])
async def test_a_stream_has_nothing_but_notifications_of_its_request_and_then_the_answer(
    level: str, revision: str, sqlite_url: str, tmp_path: Path
) -> None:
    """T11, T19: no request, whatever the upstream asks; log lines only if this request wants them, and from its level on."""
    server = ScriptedUpstream(version=revision, question=(mcp.ELICITATION_CREATE, {"message": "?"}))
    log = {"level": "warning", "data": "x"}
    server.heard = [
        {"method": mcp.LOG_MESSAGE, "params": log},
        {"method": mcp.PROGRESS, "params": {"progressToken": None, "progress": 1}},
        {"method": mcp.TOOLS_CHANGED, "params": {}},
    ]
    with serving(server) as origin:
        mounted = {"mcp": {"client_configs": [upstream("up", f"{origin}/mcp")]}}
        async with gateway_on_a_port(sqlite_url, tmp_path, **mounted) as http:
            client = McpClient(http, mcp.MODERN, log_level=level)
            said = await client.request("tools/call", {"name": "up-said", "_meta": {"progressToken": "p"}})
            messages = [json.loads(raw) for raw in said.spoken]
            asked, answer = (one for one in messages if "method" not in one)
            assert asked["result"]["resultType"] == "input_required"
            assert (answer["id"], answer["result"]["resultType"]) == (client.last_id, "complete")
            heard = [one for one in messages if "method" in one]
            assert all("id" not in one for one in heard)
            logs = [one["params"] for one in heard if one["method"] == mcp.LOG_MESSAGE]
            assert logs == [log] * (len(logs) if level == "warning" else 0)
            assert bool(logs) is (level == "warning")
            assert {one["method"] for one in heard} <= {mcp.LOG_MESSAGE, mcp.PROGRESS}


# ---- no memory ------------------------------------------------------------------------------------------------------


async def test_no_request_depends_on_the_one_before_it_or_on_its_connection(sqlite_url: str, tmp_path: Path) -> None:
    """T17, R16: interleaved on one connection and on two, each hears what it declares itself, and all see one list."""
    with hostile() as server:
        mounted = {"mcp": {"client_configs": [upstream("up", server.url)]}}
        async with gateway_on_a_port(sqlite_url, tmp_path, **mounted) as http:
            can: list[dict[str, Any]] = [{}, {"sampling": {}}, {"roots": {}, "elicitation": {"url": {}}}]
            clients = [McpClient(http, mcp.MODERN, one) for one in can] * 3
            lists = await asyncio.gather(*(client.request("tools/list") for client in clients))
            assert len({json.dumps(one.result["tools"]) for one in lists}) == 1
            await asyncio.gather(
                *(
                    client.request("tools/call", {"name": "up-read", "arguments": {"n": n}})
                    for n, client in enumerate(clients)
                )
            )
            calls = [one.message["params"] for one in server.requests("tools/call")]
            assert len(calls) == len(clients)
            for params in calls:
                assert params["_meta"][mcp.META_CAPABILITIES] == can[params["arguments"]["n"] % 3]


@pytest.mark.parametrize("revision", ["2025-11-25", mcp.MODERN])
@pytest.mark.parametrize("uris", [[], ["notes:///a"]])
async def test_a_subscription_hears_of_the_kinds_that_it_asked_for_and_of_no_others(
    uris: list[str], revision: str, sqlite_url: str, tmp_path: Path
) -> None:
    """T13, V18: acknowledged first, under one id; whatever else an upstream says of its own accord is not passed on."""
    server = ScriptedUpstream(version=revision)
    with serving(server) as origin:
        mounted = {"mcp": {"client_configs": [upstream("up", f"{origin}/mcp")]}}
        async with gateway_on_a_port(sqlite_url, tmp_path, **mounted) as http:
            wanted = {"promptsListChanged": True, **({"resourceSubscriptions": uris} if uris else {})}
            body = modern_message(mcp.LISTEN, {"notifications": wanted}, request_id="sub")
            headers = {**KEY, "Accept": ACCEPT, **modern_headers(mcp.LISTEN)}
            async with http.stream("POST", "/mcp", json=body, headers=headers) as stream:
                heard = messages(stream)
                first = await anext(heard)
                assert (first["method"], first["params"]["notifications"]) == (mcp.ACKNOWLEDGED, wanted)
                await until(lambda: server.listeners == 1 + len(uris))  # for the lists, and for the resource
                server.says(mcp.TOOLS_CHANGED)
                server.says(mcp.RESOURCE_UPDATED, {"uri": "notes:///a"})
                server.says("notifications/x/new")
                news = [await anext(heard)] if uris else []
                server.says(mcp.PROMPTS_CHANGED)
                news.append(await anext(heard))
                methods = [one["method"] for one in news]
                assert methods == [*([mcp.RESOURCE_UPDATED] if uris else []), mcp.PROMPTS_CHANGED]
                assert all(one["params"]["uri"] == "notes:///a" for one in news[:-1])
                assert {one["params"]["_meta"][mcp.META_SUBSCRIPTION] for one in [first, *news]} == {"sub"}
