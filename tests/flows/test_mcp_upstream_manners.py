"""Upstreams that do what the letter of a revision does not foresee, and what clients of theirs put up with (contract §7)."""

import asyncio
from pathlib import Path

import pytest

from bifrost.protocol import mcp
from bifrost.upstreams.links.legacy import MAX_RESUMPTIONS, MIN_RETRY_SECONDS
from tests.flows._hostile_upstream import Answer, events, failure, hostile
from tests.flows._mcp import ask, call, names, result_of, rpc_error, with_upstreams
from tests.support.gateway import upstream
from tests.support.mcp_client import McpClient, gateway_on_a_port
from tests.support.servers import until

pytestmark = pytest.mark.anyio

DONE = b'{"jsonrpc":"2.0","id":$ID,"result":{"content":[]}}'
CUT = rb'{"content":[{"type":"text","text":"cut \ud83d"}]}'


@pytest.mark.parametrize("upstream_era", ["legacy", "modern"])
async def test_an_event_that_is_no_message_is_passed_over(upstream_era: str, sqlite_url: str, tmp_path: Path) -> None:
    """HTML §9.2.6, 2025-11-25, transports: messages come as events named so, or without a name; `ping` is none."""
    said = Answer(
        body=b"event: ping\ndata: 2026-11-26\n\nevent: message\ndata: " + DONE + b"\n\n",
        content_type="text/event-stream",
    )
    with hostile(era=upstream_era, script={"tools/call": said}) as server:
        async with with_upstreams(sqlite_url, tmp_path, upstream("up", server.url)) as running:
            assert result_of(await call(running.http, "up-read"))["content"] == []


async def test_a_text_that_was_cut_within_a_character_costs_that_character(sqlite_url: str, tmp_path: Path) -> None:
    r"""RFC 8259 §8.2: servers that count in UTF-16 send half a pair (`\ud83d`); readers put U+FFFD in its place."""
    tool = rb'{"name":"read","description":"cut \uDE00","inputSchema":{"type":"object"}}'
    with hostile(tools=[tool], calls={"read": CUT}) as server:
        async with with_upstreams(sqlite_url, tmp_path, upstream("up", server.url)) as running:
            (listed,) = result_of(await ask(running.http, "tools/list"))["tools"]
            assert listed["description"] == "cut \ufffd"
            assert result_of(await call(running.http, "up-read"))["content"][0]["text"] == "cut \ufffd"
            server.script["tools/call"] = events(b'{"jsonrpc":"2.0","id":$ID,"result":' + CUT + b"}")
            assert result_of(await call(running.http, "up-read"))["content"][0]["text"] == "cut \ufffd"


async def test_a_404_for_a_session_begins_another_whatever_is_in_it(sqlite_url: str, tmp_path: Path) -> None:
    """2025-11-25, transports: also when the error has the id of the request, as some servers answer."""
    with hostile(era="legacy", sessions=True, forgotten=failure(-32001, status=404)) as server:
        async with with_upstreams(sqlite_url, tmp_path, upstream("up", server.url)) as running:
            result_of(await call(running.http, "up-read"))
            server.forget_sessions()
            result_of(await call(running.http, "up-read"))
            assert len(server.requests("initialize")) == 2


@pytest.mark.parametrize("code", [-32601, -32602, -32002])
async def test_a_404_about_what_was_asked_for_is_its_callers_error(code: int, sqlite_url: str, tmp_path: Path) -> None:
    """The session is known: nothing is begun anew, and the caller learns what is wrong."""
    with hostile(era="legacy", sessions=True) as server:
        async with with_upstreams(sqlite_url, tmp_path, upstream("up", server.url)) as running:
            assert await names(running.http) == ["up-read", "up-write"]
            server.script["tools/call"] = failure(code, status=404)
            assert rpc_error(await call(running.http, "up-read"))["code"] == code
            assert len(server.requests("initialize")) == 1


async def test_an_upstream_that_no_longer_speaks_its_revision_is_asked_anew(sqlite_url: str, tmp_path: Path) -> None:
    """2026-07-28, versioning: -32022 from a server that was of this revision, after it was replaced by an older one."""
    with hostile(era="modern") as server:
        async with with_upstreams(sqlite_url, tmp_path, upstream("up", server.url)) as running:
            result_of(await call(running.http, "up-read"))
            server.era = "legacy"
            server.script = dict.fromkeys(
                ("server/discover", "tools/call"), failure(mcp.UNSUPPORTED_VERSION, status=400)
            )
            rpc_error(await call(running.http, "up-read"))
            assert server.requests("initialize"), "it was greeted the older way"
            del server.script["tools/call"]
            result_of(await call(running.http, "up-read"))


async def test_a_stream_that_is_to_be_asked_for_again_at_once_is_not_asked_for_without_a_pause(
    sqlite_url: str, tmp_path: Path
) -> None:
    """2025-11-25, transports: `retry: 0` of a stream that always ends before its answer."""
    ended = Answer(body=b"id: 1\nretry: 0\ndata:\n\n", content_type="text/event-stream")
    with hostile(era="legacy", script={"tools/call": ended, "": ended}) as server:
        async with with_upstreams(sqlite_url, tmp_path, upstream("up", server.url)) as running:
            await names(running.http)
            loop = asyncio.get_running_loop()
            begun = loop.time()
            assert rpc_error(await call(running.http, "up-read"))["data"]["code"] == "upstream_unavailable"
            assert len(server.requests("")) == MAX_RESUMPTIONS
            assert loop.time() - begun >= MAX_RESUMPTIONS * MIN_RETRY_SECONDS


async def test_an_upstream_that_fails_when_it_is_listened_to_is_listened_to_again(
    sqlite_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """RFC 9110 §15.6: a fault of the server is not its word that it has nothing to say."""
    monkeypatch.setattr("bifrost.gateway.streams.FIRST_PAUSE_SECONDS", 0.01)
    with hostile(era="legacy", sessions=True, script={"": Answer(status=503)}) as server:
        configured = {"client_configs": [upstream("up", server.url)]}
        async with gateway_on_a_port(sqlite_url, tmp_path, mcp=configured) as http:
            client = McpClient(http, "2025-11-25")
            await client.open()
            async with http.stream("GET", "/mcp", headers=client.headers("", {})):
                await client.request("tools/call", {"name": "up-read"})
                await until(lambda: len([one for one in server.requests("") if one.header("mcp-session-id")]) > 2)


_ENDED = b'{"jsonrpc":"2.0","id":$ID,"result":{"resultType":"complete"}}'


@pytest.mark.parametrize(
    "answer",
    [Answer(status=503), Answer(status=429), events(_ENDED), events(), events(_ENDED, ending="cut")],
    ids=["fails", "is too busy", "stops in good order", "ends the stream", "breaks the stream"],
)
async def test_a_stateless_upstream_that_ends_what_was_asked_of_it_is_asked_again(
    answer: Answer, sqlite_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """2026-07-28, subscriptions: a server ends them when it stops. Those who listen here are still there."""
    monkeypatch.setattr("bifrost.gateway.streams.FIRST_PAUSE_SECONDS", 0.01)
    with hostile(era="modern", script={"subscriptions/listen": answer}) as server:
        configured = {"client_configs": [upstream("up", server.url)]}
        async with gateway_on_a_port(sqlite_url, tmp_path, mcp=configured) as http:
            client = McpClient(http, "2025-11-25")
            await client.open()
            async with http.stream("GET", "/mcp", headers=client.headers("", {})):
                await until(lambda: len(server.requests("subscriptions/listen")) > 2)
