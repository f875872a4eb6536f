"""Clients that go away in the middle, a thousand times: nothing of it is left, counted in objects and not in time."""

import asyncio
import gc
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import httpx2
import pytest

from bifrost.app import build
from bifrost.gateway.endpoints.answer import Answer, EventStream
from bifrost.gateway.held import HeldCall
from bifrost.gateway.stream import Stream
from bifrost.http.server_exchange import Exchange
from bifrost.http.server_protocol import LimitedProtocol
from bifrost.settings import load
from bifrost.upstreams.links.base import Patience, Running
from bifrost.upstreams.uses import Use
from tests.support.gateway import RING, configuration, upstream
from tests.support.mcp_client import McpClient
from tests.support.servers import NO_AUTHORITIES, free_port, serving, until
from tests.support.talking_upstream import TalkingUpstream, talking

pytestmark = pytest.mark.anyio

OLDER, MODERN = "2025-11-25", "2026-07-28"
AT_ONCE = 25
ROUNDS = 8
KINDS = (Answer, EventStream, HeldCall, Stream, Patience, Exchange, LimitedProtocol, Running, asyncio.Task)
OF_CALLS = ("Answer", "EventStream", "HeldCall", "Stream", "Patience")
RESTING = 10 * AT_ONCE
"""Both ends of the connections to the upstream that wait for the next call, for half a minute. On a busy machine calls of
all three kinds are under way together, and some are begun again; one kind that leaked them would leave sixteen.
"""

CLOSING = 5
"""Of each kind, for the connections of the last requests: a leak would leave hundreds."""

OBJECTS_OF_A_CALL = 5
"""Fewer than this many stay of each on average, whatever they are and whoever made them in this process, where other tests
have run: one that leaked would leave dozens. Of the product's own there are exact counts."""

SLOW = {"name": "up-slow", "arguments": {}}


@asynccontextmanager
async def gateway(sqlite_url: str, tmp_path: Path, server: TalkingUpstream) -> AsyncIterator[str]:
    """Behind the product's own HTTP server. Its origin."""
    port = free_port()
    entry = upstream("up", server.url, tool_execution_timeout=1, max_concurrent_calls=0)
    values = configuration(sqlite_url, tmp_path, server={"port": port}, mcp={"client_configs": [entry]})
    with serving(build(load(None, {}, values), ring=RING).app, port, http=LimitedProtocol) as origin:
        yield origin.replace("127.0.0.1", "localhost")


class Leaving:
    """One client of each kind, and what they begin and leave."""

    def __init__(self, http: httpx2.AsyncClient, server: TalkingUpstream) -> None:
        self.http = http
        self.server = server
        self.older = McpClient(http, OLDER)
        self.stateless = McpClient(http, MODERN, capabilities={})
        self.askable = McpClient(http, MODERN)

    async def calls(self, client: McpClient) -> None:
        """Which the upstream has, and has not answered."""
        before = len(self.server.requests("tools/call"))

        async def call() -> None:
            while True:  # on a busy machine one may be given up before it was sent
                await client.request("tools/call", SLOW)

        await self._left(
            call,
            lambda: len(self.server.requests("tools/call")) >= before + AT_ONCE,
        )

    async def streams(self) -> None:
        opened: list[int] = []

        async def listen() -> None:
            async with self.http.stream("GET", "/mcp", headers=self.older.headers("", {})) as answer:
                opened.append(answer.status_code)
                await asyncio.Event().wait()

        await self._left(listen, lambda: len(opened) == AT_ONCE)
        assert set(opened) == {200}

    async def subscriptions(self) -> None:
        opened: list[str] = []

        async def listen() -> None:
            params = {"notifications": {"toolsListChanged": True}, "_meta": {}}
            message = {"jsonrpc": "2.0", "id": 1, "method": "subscriptions/listen"}
            message |= {"params": self.stateless._stated(params)}
            headers = self.stateless.headers("subscriptions/listen", {})
            async with self.http.stream("POST", "/mcp", json=message, headers=headers) as answer:
                async for line in answer.aiter_lines():
                    opened.extend([line] if line.startswith("data:") else ())

        await self._left(listen, lambda: len(opened) == AT_ONCE)

    async def _left(self, begin: Callable[[], object], begun: Callable[[], bool]) -> None:
        tasks = [asyncio.ensure_future(begin()) for _ in range(AT_ONCE)]  # type: ignore[call-overload]
        await until(begun)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def all(self) -> None:
        await self.calls(self.older)
        await self.calls(self.stateless)
        await self.calls(self.askable)
        await self.streams()
        await self.subscriptions()


def left() -> Counter[str]:
    """What there is of each kind in this process."""
    gc.collect()
    kinds = Counter[str]()
    for made, count in Counter(map(type, gc.get_objects())).items():  # millions, of a few thousand types
        kinds.update({kind.__name__: count for kind in KINDS if issubclass(made, kind)})
    return kinds


def ours() -> Counter[str]:
    """Objects of the product's own, by the names of their types: one kind of call that stays would be seen."""
    kinds = Counter(map(type, gc.get_objects()))
    return Counter(
        {kind.__name__: count for kind, count in kinds.items() if str(kind.__module__).startswith("bifrost.")}
    )


def files() -> int:
    """That this process has open."""
    return len([*Path("/proc/self/fd").iterdir()])


async def test_a_thousand_clients_that_go_away_leave_nothing_behind(sqlite_url: str, tmp_path: Path) -> None:
    """TC-213, TC-221: no task, connection, held call or stream, and no memory that grows with their number."""
    at_first = left()  # other tests may have left something in this process
    with talking(OLDER) as server:
        async with gateway(sqlite_url, tmp_path, server) as origin:
            limits = httpx2.Limits(max_connections=AT_ONCE + 5, max_keepalive_connections=0)
            async with httpx2.AsyncClient(base_url=origin, timeout=30, limits=limits, verify=NO_AUTHORITIES) as http:
                leaving = Leaving(http, server)
                await leaving.older.open()

                async def settled() -> tuple[Counter[str], int]:
                    """When nothing of calls is left, and nothing ends any more."""
                    before: tuple[Counter[str], int] = (Counter(), 0)
                    async with asyncio.timeout(60):
                        while True:
                            await leaving.older.request("ping")
                            now = left(), files()
                            if now == before and all(now[0][name] <= at_first[name] for name in OF_CALLS):
                                return now
                            before = now
                            await asyncio.sleep(0.5)

                await leaving.all()
                await leaving.all()
                server.clear()
                kinds, opened = await settled()
                objects, own = len(gc.get_objects()), ours()
                for _ in range(ROUNDS):
                    await leaving.all()
                server.clear()
                kinds_now, opened_now = await settled()
                assert {name: count for name, count in kinds_now.items() if count > kinds[name] + CLOSING} == {}
                assert opened_now <= opened + RESTING
                grown = ours() - own
                del grown[Use.__name__]  # forgotten at the next look at what is idle
                assert {name: count for name, count in grown.items() if count >= ROUNDS * AT_ONCE // 2} == {}
                assert len(gc.get_objects()) - objects < ROUNDS * 5 * AT_ONCE * OBJECTS_OF_A_CALL
