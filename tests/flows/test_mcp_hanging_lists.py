"""A list is never late for the sake of one upstream, and never wrong for long (contract §7)."""

import asyncio
from pathlib import Path

import pytest

from tests.flows._hostile_upstream import READ, WRITE, Answer, hostile
from tests.flows._mcp import ask, names, result_of, rpc_error, with_upstreams
from tests.support.clock import FakeClock
from tests.support.gateway import upstream

pytestmark = pytest.mark.anyio


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bifrost.gateway.patience.BUDGET_SECONDS", 0.5)


async def test_an_upstream_that_hangs_shows_what_it_listed_last(sqlite_url: str, tmp_path: Path) -> None:
    """TC-210: the others are there, and so is what is known of this one."""
    clock = FakeClock()
    with hostile() as good, hostile() as slow:
        configured = (upstream("good", good.url), upstream("slow", slow.url))
        async with with_upstreams(sqlite_url, tmp_path, *configured, clock=clock) as running:
            known = await names(running.http)
            clock.advance(seconds=61)
            slow.script["tools/list"] = Answer(ending="never")
            assert await names(running.http) == known


async def test_an_upstream_that_hangs_from_the_beginning_is_named(
    sqlite_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """TC-210."""
    with hostile() as good, hostile(script={"*": Answer(ending="never")}) as slow:
        configured = (upstream("good", good.url), upstream("slow", slow.url))
        async with with_upstreams(sqlite_url, tmp_path, *configured) as running:
            listed = result_of(await ask(running.http, "tools/list"))
            assert [tool["name"] for tool in listed["tools"]] == ["good-read", "good-write"]
            assert listed["_meta"] == {"bifrost/unavailable": ["slow"]}
            monkeypatch.setattr("bifrost.gateway.patience.BUDGET_SECONDS", 3_600)
            async with asyncio.timeout(30):  # who let one wait in vain lets nobody else wait
                assert await names(running.http) == ["good-read", "good-write"]


async def test_a_long_list_comes_in_pages_that_stay_good_when_it_changes(
    sqlite_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """2025-11-25, pagination: nothing twice, nothing left out that was there all the time."""
    monkeypatch.setattr("bifrost.gateway.lists.PAGE_ENTRIES", 2)
    clock = FakeClock()
    with hostile(tools=[b'{"name":"%s"}' % name for name in (b"a", b"b", b"c", b"d")]) as first, hostile() as second:
        configured = (upstream("one", first.url), upstream("two", second.url))
        async with with_upstreams(sqlite_url, tmp_path, *configured, clock=clock) as running:
            page = result_of(await ask(running.http, "tools/list"))
            found = [tool["name"] for tool in page["tools"]]
            first.tools = [b'{"name":"new"}', *first.tools]
            clock.advance(seconds=61)
            while "nextCursor" in page:
                page = result_of(await ask(running.http, "tools/list", {"cursor": page["nextCursor"]}))
                found += [tool["name"] for tool in page["tools"]]
            assert found == ["one-a", "one-b", "one-c", "one-d", "two-read", "two-write"]


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 6, 7, 8])
async def test_pages_together_are_the_whole_list_whatever_their_size(
    sqlite_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    """V13, 2025-11-25, pagination; with a filter, and with upstreams that add nothing at all places."""
    tools = [b'{"name":"%s"}' % name for name in (b"a", b"b", b"c")]
    with hostile(tools=tools) as one, hostile(tools=[]) as none, hostile(script={"*": Answer(status=503)}) as down:
        configured = (
            upstream("a_none", none.url), upstream("b_three", one.url), upstream("c_down", down.url),
            upstream("d_some", one.url, tools_to_execute=("c", "a")), upstream("e_three", one.url),
            upstream("f_none", none.url),
        )  # fmt: skip
        async with with_upstreams(sqlite_url, tmp_path, *configured) as running:
            whole = await names(running.http)
            assert whole == ["b_three-a", "b_three-b", "b_three-c", "d_some-a", "d_some-c"] + [
                f"e_three-{name}" for name in "abc"
            ]
            monkeypatch.setattr("bifrost.gateway.lists.PAGE_ENTRIES", size)
            pages = [result_of(await ask(running.http, "tools/list"))]
            while "nextCursor" in pages[-1]:
                pages.append(result_of(await ask(running.http, "tools/list", {"cursor": pages[-1]["nextCursor"]})))
            assert [tool["name"] for page in pages for tool in page["tools"]] == whole
            assert len(pages) == -(-len(whole) // size)


@pytest.mark.parametrize("cursor", ["", "x", 5, "2", {}, "v1.AAAA.AAAA"])
async def test_a_cursor_that_was_not_given_here_is_refused(sqlite_url: str, tmp_path: Path, cursor: object) -> None:
    """V13, 2025-11-25, pagination: -32602. One of another list, or of somebody else, is none of this one."""
    with hostile(tools=[READ, WRITE]) as server:
        async with with_upstreams(sqlite_url, tmp_path, upstream("up", server.url)) as running:
            answer = await ask(running.http, "tools/list", {"cursor": cursor})
            assert rpc_error(answer)["code"] == -32602


@pytest.mark.parametrize("limit", ["MAX_ENTRIES", "MAX_BYTES", "MAX_PAGES"])
async def test_an_upstream_that_lists_without_an_end_is_cut_and_named(
    sqlite_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str
) -> None:
    """2025-11-25, pagination: what others list is whole; a client can see whose list is not."""
    monkeypatch.setattr(f"bifrost.upstreams.paging.{limit}", 300 if limit == "MAX_BYTES" else 2)
    endless = [b'{"name":"t%d","description":"%s"}' % (number, b"x" * 40) for number in range(20)]
    with hostile() as good, hostile(tools=endless, page_size=1) as large:
        configured = (upstream("good", good.url), upstream("large", large.url))
        async with with_upstreams(sqlite_url, tmp_path, *configured) as running:
            listed = result_of(await ask(running.http, "tools/list"))
            found = [tool["name"] for tool in listed["tools"]]
            assert found[:2] == ["good-read", "good-write"]
            assert 2 <= len(found[2:]) < 5
            assert listed["_meta"] == {"bifrost/incomplete": ["large"]}
