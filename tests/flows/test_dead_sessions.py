"""A client that goes away without a word is not listened for at its upstreams for ever, and loses nothing by it when it
comes back (2025-11-25, session management: DELETE is what a client should send, not what it must)."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from bifrost.gateway.presence import SAY_MILLISECONDS
from tests.flows.test_mcp_processes import two_processes
from tests.flows.test_mcp_sessions import listening
from tests.support.clock import FakeClock
from tests.support.gateway import upstream
from tests.support.mcp_client import McpClient, gateway_on_a_port
from tests.support.servers import until
from tests.support.talking_upstream import TalkingUpstream, talking

pytestmark = pytest.mark.anyio

OLDER, MODERN = "2025-11-25", "2026-07-28"
UPDATED = "notifications/resources/updated"
URI = {"uri": "notes:///a"}
HALF_AN_HOUR = 30 * 60
SAY_SECONDS = SAY_MILLISECONDS // 1_000


@pytest.fixture(autouse=True)
def looking_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bifrost.upstreams.sessions.LOOK_SECONDS", 0.01)
    monkeypatch.setattr("bifrost.gateway.streams.LOOK_SECONDS", 0.01)


def one(server: TalkingUpstream) -> dict[str, Any]:
    return {"mcp": {"client_configs": [upstream("up", server.url)]}}


async def subscribed(client: McpClient) -> None:
    assert (await client.request("resources/subscribe", URI)).error is None


async def heard(news: "asyncio.Queue[dict[str, Any]]", server: TalkingUpstream) -> None:
    """Said again until it is heard: whoever has just come back is listened for a moment later."""
    async with asyncio.timeout(20):
        while news.empty():
            server.says(UPDATED, URI)
            await asyncio.sleep(0.1)
    assert (await news.get())["params"] == URI


async def nobody_listens(server: TalkingUpstream, clock: FakeClock) -> None:
    """After a while of the clock."""
    async with asyncio.timeout(20):
        while server.listeners:
            clock.advance(seconds=60)
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("revision", [OLDER, MODERN])
async def test_a_client_that_is_gone_is_listened_for_half_an_hour_and_is_told_of_everything_when_it_is_back(
    sqlite_url: str, tmp_path: Path, clock: FakeClock, revision: str
) -> None:
    """2025-11-25, resources: what it subscribed to outlasts the listener, on a stream that it opens days later."""
    with talking(revision) as server:
        async with gateway_on_a_port(sqlite_url, tmp_path, clock=clock, **one(server)) as http:
            client = McpClient(http, OLDER)
            await client.open()
            async with listening(client) as news:
                await subscribed(client)
                await heard(news, server)
            clock.advance(seconds=HALF_AN_HOUR - 120)
            await asyncio.sleep(0.2)
            assert server.listeners, "it may only have lost its connection"
            await nobody_listens(server, clock)
            if revision == OLDER:
                await until(lambda: server.left)
            clock.advance(seconds=6 * 24 * 3_600)
            async with listening(client) as news:
                await heard(news, server)


async def test_a_stream_that_is_open_keeps_what_is_heard_for_it(
    sqlite_url: str, tmp_path: Path, clock: FakeClock
) -> None:
    """Ours: whoever listens is there, though it asks for nothing."""
    with talking(OLDER) as server:
        async with gateway_on_a_port(sqlite_url, tmp_path, clock=clock, **one(server)) as http:
            client = McpClient(http, OLDER)
            await client.open()
            async with listening(client) as news:
                await subscribed(client)
                await heard(news, server)
                opened = server.streams_opened
                for _ in range(10):
                    clock.advance(seconds=HALF_AN_HOUR)
                    await asyncio.sleep(0.05)
                await heard(news, server)
                assert server.streams_opened == opened
                assert not server.left


async def test_whoever_asks_for_something_is_there_without_a_stream(
    sqlite_url: str, tmp_path: Path, clock: FakeClock
) -> None:
    """Ours: a client between two streams goes on in the same session of its upstream."""
    with talking(OLDER) as server:
        async with gateway_on_a_port(sqlite_url, tmp_path, clock=clock, **one(server)) as http:
            client = McpClient(http, OLDER)
            await client.open()
            await subscribed(client)
            for _ in range(5):
                clock.advance(seconds=HALF_AN_HOUR - 60)
                await asyncio.sleep(0.05)
                assert (await client.request("tools/call", {"name": "up-echo"})).error is None
            assert server.listeners
            assert len(server.requests("resources/subscribe")) == 1
            await nobody_listens(server, clock)


async def test_what_is_unsubscribed_by_a_client_that_is_back_is_not_subscribed_to_again(
    sqlite_url: str, tmp_path: Path, clock: FakeClock
) -> None:
    """2025-11-25, resources: the link that is opened to say so does not ask for it first; the other one is kept."""
    with talking(OLDER) as server:
        async with gateway_on_a_port(sqlite_url, tmp_path, clock=clock, **one(server)) as http:
            client = McpClient(http, OLDER)
            await client.open()
            for uri in ("notes:///a", "notes:///by-id/1"):
                assert (await client.request("resources/subscribe", {"uri": uri})).error is None
            await until(lambda: server.listeners)
            await nobody_listens(server, clock)
            await until(lambda: server.left)
            server.seen.clear()
            assert (await client.request("resources/unsubscribe", {"uri": "notes:///by-id/1"})).error is None
            async with listening(client) as news:
                await heard(news, server)
            assert {asked["params"]["uri"] for asked in server.requests("resources/subscribe")} == {"notes:///a"}


async def test_a_stream_in_another_process_is_somebody_too(database_url: str, tmp_path: Path, clock: FakeClock) -> None:
    """Contract §10: what one process hears for a session whose stream is in another one is heard until that ends, and
    again when there is another stream."""
    with talking(OLDER) as server:
        async with two_processes(database_url, tmp_path, server, clock=clock) as (first, second):
            client = McpClient(first, OLDER)
            await client.open()
            there = McpClient(second, OLDER, session=client.session)
            await subscribed(client)
            async with listening(there) as news:
                for _ in range(2 * HALF_AN_HOUR // SAY_SECONDS):
                    clock.advance(seconds=SAY_SECONDS)
                    await asyncio.sleep(0.6)  # until the other one has read that it is there
                await heard(news, server)
                assert len(server.requests("resources/subscribe")) == 1
            await nobody_listens(server, clock)
            async with listening(there) as news:
                await heard(news, server)
            assert len(server.requests("resources/subscribe")) == 2
