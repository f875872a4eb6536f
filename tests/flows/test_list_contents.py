"""What a list says of itself (its order, how long it may be kept, who is missing), and names that cannot be."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.flows._hostile_upstream import READ, WRITE, Answer, hostile, result
from tests.flows._mcp import ERAS, ask, call, names, result_of, with_upstreams
from tests.support.clock import FakeClock
from tests.support.gateway import TestGateway, upstream

pytestmark = pytest.mark.anyio

LIST = "tools/list"


def _listing(ttl: Any = None, tools: tuple[bytes, ...] = (READ,)) -> Answer:
    said = b"" if ttl is None else b',"ttlMs":%s' % json.dumps(ttl).encode()
    return result(b'{"tools":[' + b",".join(tools) + b"]" + said + b',"cacheScope":"public"}')


async def _ttl(running: TestGateway) -> int:
    listed = result_of(await ask(running.http, LIST, era="modern"))
    assert listed["cacheScope"] == "private"
    ttl: int = listed["ttlMs"]
    return ttl


@pytest.mark.parametrize(
    ("first", "second", "ttl"),
    [(30_000, 20_000, 20_000), (600_000, 50_000, 50_000), (600_000, 600_000, 60_000)]
    + [(30_000, None, 0), (30_000, 0, 0), (30_000, -5, 0), (30_000, "x", 0), (30_000, True, 0)],
)
async def test_a_merged_list_is_kept_no_longer_than_its_shortest_part(
    sqlite_url: str, tmp_path: Path, first: Any, second: Any, ttl: int
) -> None:
    """2026-07-28, caching (G16, T18): never longer than the gateway keeps it itself, and always private."""
    with hostile(script={LIST: _listing(first)}) as one, hostile(script={LIST: _listing(second)}) as two:
        entries = (upstream("one", one.url), upstream("two", two.url))
        async with with_upstreams(sqlite_url, tmp_path, *entries) as running:
            assert await _ttl(running) == ttl
            assert "ttlMs" not in result_of(await ask(running.http, LIST))


async def test_the_time_runs_while_the_gateway_keeps_the_list_and_then_the_upstream_is_asked_again(
    sqlite_url: str, tmp_path: Path
) -> None:
    """2026-07-28, caching: what is left of the time, and nothing that is older than the upstream allows."""
    clock = FakeClock()
    with hostile(script={LIST: _listing(30_000)}) as server:
        async with with_upstreams(sqlite_url, tmp_path, upstream("up", server.url), clock=clock) as running:
            assert await _ttl(running) == 30_000
            clock.advance(seconds=10)
            assert await _ttl(running) == 20_000
            assert len(server.requests(LIST)) == 1
            server.script[LIST] = _listing(30_000, (READ, WRITE))
            clock.advance(seconds=20)
            assert await names(running.http, era="modern") == ["up-read", "up-write"]
            assert len(server.requests(LIST)) == 2


async def test_an_upstream_that_allows_no_time_is_not_asked_at_every_call(sqlite_url: str, tmp_path: Path) -> None:
    """Ours: every call looks into the list."""
    clock = FakeClock()
    with hostile(script={LIST: _listing(1)}) as server:
        async with with_upstreams(sqlite_url, tmp_path, upstream("up", server.url), clock=clock) as running:
            for _ in range(5):
                result_of(await call(running.http, "up-read"))
            assert len(server.requests(LIST)) == 1
            clock.advance(seconds=1)
            result_of(await call(running.http, "up-read"))
            assert len(server.requests(LIST)) == 2


@pytest.mark.parametrize("era", ERAS)
async def test_who_is_missing_is_named_and_a_list_without_them_is_not_kept(
    sqlite_url: str, tmp_path: Path, era: str
) -> None:
    """Contract §7, TC-210: the rest, and the names of those that are down, in the order of all lists."""
    with hostile(script={LIST: _listing(30_000)}) as good, hostile(script={"*": Answer(status=500)}) as bad:
        # neither the order in the configuration nor who answers first is the order of the list
        order = ("zeta", bad.url), ("good", good.url), ("alpha", bad.url), ("Best", good.url)
        entries = (upstream(name, url) for name, url in order)
        async with with_upstreams(sqlite_url, tmp_path, *entries) as running:
            for _ in range(3):
                listed = result_of(await ask(running.http, LIST, era=era))
                assert [tool["name"] for tool in listed["tools"]] == ["Best-read", "good-read"]
                assert listed["_meta"]["bifrost/unavailable"] == ["alpha", "zeta"]
                assert listed.get("ttlMs", 0) == 0


async def test_an_upstream_that_is_back_is_in_the_list_at_once(sqlite_url: str, tmp_path: Path) -> None:
    """Contract §7: nothing is remembered of a failure."""
    with hostile(script={"*": Answer(status=503)}) as server:
        async with with_upstreams(sqlite_url, tmp_path, upstream("up", server.url)) as running:
            assert await names(running.http, era="modern") == []
            server.script.clear()
            assert await names(running.http, era="modern") == ["up-read", "up-write"]


def _tool(name: str, description: str = "") -> bytes:
    return json.dumps({"name": name, "description": description, "inputSchema": {"type": "object"}}).encode()


@pytest.mark.parametrize("path", ["/mcp", "/mcp/up"])
async def test_a_name_is_there_once_and_one_that_no_client_can_take_is_not_there(
    sqlite_url: str, tmp_path: Path, path: str
) -> None:
    """2026-07-28, tools (G15): unique names of 1 to 128 characters; one bad entry costs nobody the list."""
    good = ["a", "a.b-c_D/9", "two words", "ü☃", "x" * 128]
    bad = ["", "x" * 129, "line\nbreak", "nul\0", "bidi\u202e", "\x1b[31m"]
    tools = [*map(_tool, good), *map(_tool, bad), _tool("a", "again"), b'{"description":"no name"}', b"5", b"null"]
    objects = [tool for tool in tools if tool.startswith(b"{")]
    with hostile(tools=objects) as server:
        async with with_upstreams(sqlite_url, tmp_path, upstream("up", server.url)) as running:
            listed = result_of(await ask(running.http, LIST, path=path))["tools"]
            prefix = "up-" if path == "/mcp" else ""
            shown = [f"{prefix}{name}" for name in good]
            assert [tool["name"] for tool in listed] == [name for name in shown if len(name) <= 128]
            assert listed[0]["description"] == ""
            for name in shown:
                result_of(await call(running.http, name, path=path, era="modern"))


async def test_two_upstreams_with_the_same_tools_are_told_apart(sqlite_url: str, tmp_path: Path) -> None:
    """G15: by a prefix that is the gateway's own name for them, not what they call themselves; hyphens do no harm."""
    with hostile(tools=[_tool("b-c")]) as one, hostile(tools=[_tool("b-c"), _tool("c")]) as two:
        entries = (upstream("a", one.url), upstream("a_b", two.url))
        async with with_upstreams(sqlite_url, tmp_path, *entries) as running:
            assert await names(running.http) == ["a-b-c", "a_b-b-c", "a_b-c"]
            result_of(await call(running.http, "a-b-c"))
            assert (len(one.requests("tools/call")), len(two.requests("tools/call"))) == (1, 0)
            result_of(await call(running.http, "a_b-b-c"))
            assert (len(one.requests("tools/call")), len(two.requests("tools/call"))) == (1, 1)
