"""Who is told that a list is another one now: after a change by an administrator on any process, or by an upstream.

Contract §6, §7: what a caller may use is felt within a second; MCP 2025-11-25 and 2026-07-28, list_changed.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import pytest

from bifrost.gateway.gathered import GATHER_SECONDS
from tests.flows._virtual_mcps import VIRTUAL_MCPS, holding
from tests.support.gateway import ADMIN_TOKEN, KEY_ID, VIRTUAL_KEY, upstream
from tests.support.mcp_client import McpClient, gateway_on_a_port, messages
from tests.support.servers import until
from tests.support.talking_upstream import TOOLS, TalkingUpstream, talking

pytestmark = pytest.mark.anyio

OLDER, MODERN = "2025-11-25", "2026-07-28"
ERAS = (OLDER, MODERN)
OTHER_KEY = "sk-bf-other-0123456789abcdefghijklmnopqrstuvwx"
KEYS = [{"id": KEY_ID, "name": "test", "value": VIRTUAL_KEY}, {"id": "other", "name": "other", "value": OTHER_KEY}]
ADMIN = {"Authorization": f"Bearer {ADMIN_TOKEN}"}
PROCESSES = 2
FELT_SECONDS = 1.0
SLACK_SECONDS = 4.0
"""What a busy machine may take on top."""

CHANGED = {kind: f"notifications/{kind}/list_changed" for kind in ("tools", "prompts", "resources")}
EVERYTHING = {"toolsListChanged": True, "promptsListChanged": True, "resourcesListChanged": True}
ONE_TOOL = [{"mcp_client_name": "up", "tools_to_execute": ["echo"]}]


@dataclass(eq=False)
class Listener:
    """A GET stream of an older client, a subscription of a stateless one."""

    client: McpClient
    said: list[dict[str, Any]] = field(default_factory=list)
    task: "asyncio.Task[None] | None" = None

    async def start(self) -> "Listener":
        client = self.client
        await client.open()
        for area in ("tools", "prompts", "resources"):
            await client.request(f"{area}/list")
        if client.modern:
            method, params = "subscriptions/listen", client._stated({"notifications": EVERYTHING})
            body = {"jsonrpc": "2.0", "id": 9, "method": method, "params": params}
            headers = client.headers(method, params)
            request = client.http.build_request("POST", client.path, json=body, headers=headers)
        else:
            headers = {**client.headers("", {}), "Accept": "text/event-stream"}
            request = client.http.build_request("GET", client.path, headers=headers)
        answer = await client.http.send(request, stream=True)
        assert answer.status_code == 200
        self.task = asyncio.create_task(self._hear(answer))
        if client.modern:
            await until(lambda: bool(self.said))
            assert self.said.pop()["method"] == "notifications/subscriptions/acknowledged"
        return self

    async def _hear(self, answer: httpx2.Response) -> None:
        async for one in messages(answer):
            self.said.append(one)

    @property
    def heard(self) -> list[str]:
        return sorted(one["method"] for one in self.said)

    @property
    def is_open(self) -> bool:
        return self.task is not None and not self.task.done()

    async def end(self) -> None:
        if self.task:
            self.task.cancel()
            with suppress(asyncio.CancelledError):
                await self.task


@asynccontextmanager
async def processes(
    database_url: str, tmp_path: Path, *servers: TalkingUpstream
) -> AsyncIterator[list[httpx2.AsyncClient]]:
    sections: dict[str, Any] = {
        "mcp": {"client_configs": [upstream(n, s.url) for n, s in zip(("up", "two"), servers, strict=False)]},
        "governance": {"virtual_keys": KEYS},
        "server": {"workers": PROCESSES},
    }
    async with AsyncExitStack() as stack:
        opened = [gateway_on_a_port(database_url, tmp_path, **sections) for _ in range(PROCESSES)]
        yield [await stack.enter_async_context(one) for one in opened]


@asynccontextmanager
async def listening(*clients: McpClient) -> AsyncIterator[list[Listener]]:
    listeners = [await Listener(client).start() for client in clients]
    await asyncio.sleep(0.6)  # longer than until it is looked for the first time
    try:
        yield listeners
    finally:
        for one in listeners:
            await one.end()


async def administered(http: httpx2.AsyncClient, method: str, path: str, body: Any = None) -> Any:
    answer = await http.request(method, path, json=body, headers=ADMIN)
    assert answer.is_success, answer.text
    return answer.json() if answer.content else None


async def upstream_id(http: httpx2.AsyncClient, name: str) -> str:
    found = await administered(http, "GET", f"/api/mcp/clients?search={name}")
    return str(found["clients"][0]["config"]["client_id"])


async def told(listeners: list[Listener], *kinds: str) -> None:
    """All of them, of exactly these kinds of lists, once, in time, and their streams go on."""
    began = time.monotonic()
    wanted = sorted(CHANGED[kind] for kind in kinds)
    await until(lambda: all(len(one.heard) >= len(wanted) for one in listeners))
    assert time.monotonic() - began < FELT_SECONDS + SLACK_SECONDS
    await asyncio.sleep(2 * GATHER_SECONDS)  # and no more than these
    assert [one.heard for one in listeners] == [wanted] * len(listeners)
    assert all(one.is_open for one in listeners)
    for one in listeners:
        one.said.clear()


async def quiet(listeners: list[Listener]) -> None:
    await asyncio.sleep(FELT_SECONDS)
    assert [one.heard for one in listeners] == [[]] * len(listeners)
    assert all(one.is_open for one in listeners)


@pytest.mark.parametrize("era", ERAS)
async def test_a_key_whose_filters_are_edited_on_another_process(database_url: str, tmp_path: Path, era: str) -> None:
    """What it may use is narrowed, and widened again; nobody else is told anything."""
    with talking(era) as server:
        async with processes(database_url, tmp_path, server) as (first, second):
            mine = [McpClient(http, era) for http in (first, second)]
            other = McpClient(first, era, key=OTHER_KEY)
            async with listening(*mine, other) as listeners:
                path = f"/api/governance/virtual-keys/{KEY_ID}"
                await administered(second, "PUT", path, {"mcp_configs": ONE_TOOL})
                await told(listeners[:2], "tools", "prompts", "resources")
                for client in mine:
                    listed = (await client.request("tools/list")).result["tools"]
                    assert [tool["name"] for tool in listed] == ["up-echo"]
                await administered(second, "PUT", path, {"mcp_configs": []})
                await told(listeners[:2], "tools", "prompts", "resources")
                await quiet(listeners[2:])


@pytest.mark.parametrize("era", ERAS)
async def test_a_virtual_mcp_that_is_edited_on_another_process(database_url: str, tmp_path: Path, era: str) -> None:
    """At its own address, and for a key that it is attached to also elsewhere; nobody else is told anything."""
    with talking(era) as server:
        async with processes(database_url, tmp_path, server) as (first, second):
            bundle = {"name": "work", "mcp_configs": holding("up")}
            work = f"{VIRTUAL_MCPS}/{(await administered(second, 'POST', VIRTUAL_MCPS, bundle))['id']}"
            await administered(second, "POST", f"{work}/virtual-keys/{KEY_ID}")
            clients = [McpClient(first, era, path="/mcp/work", key=OTHER_KEY), McpClient(first, era)]
            async with listening(*clients, McpClient(first, era, key=OTHER_KEY)) as listeners:
                await administered(second, "PUT", work, {"mcp_configs": holding(up=["echo", "fails"])})
                await told(listeners[:2], "tools", "prompts", "resources")
                listed = (await clients[0].request("tools/list")).result["tools"]
                assert [tool["name"] for tool in listed] == ["echo", "fails"]
                await administered(second, "PUT", work, {"mcp_configs": holding(up=["echo"])})
                await told(listeners[:2], "tools")
                await administered(second, "PUT", work, {"description": "Nothing that anybody sees in a list."})
                await quiet(listeners)


@pytest.mark.parametrize("era", ERAS)
async def test_an_upstream_whose_tools_are_edited_on_another_process(
    database_url: str, tmp_path: Path, era: str
) -> None:
    """On `/mcp` and at the upstream's own address; what changes nothing that is shown is told to nobody."""
    with talking(era) as server, talking(era) as two:
        async with processes(database_url, tmp_path, server, two) as (first, second):
            await administered(
                second, "PUT", f"/api/governance/virtual-keys/{KEY_ID}",
                {"mcp_configs": [{"mcp_client_name": "up", "tools_to_execute": ["echo", "fails"]}]},
            )  # fmt: skip
            here = f"/api/mcp/client/{await upstream_id(second, 'up')}"
            everything = [McpClient(first, era, key=OTHER_KEY), McpClient(second, era, path="/mcp/up", key=OTHER_KEY)]
            others = [McpClient(first, era), McpClient(first, era, path="/mcp/two", key=OTHER_KEY)]
            async with listening(*everything, *others) as listeners:
                without_one = [name for name in TOOLS if name != "slow"]
                await administered(second, "PUT", here, {"tools_to_execute": without_one})
                await told(listeners[:2], "tools", "prompts", "resources")  # not all tools: none of the rest
                await quiet(listeners[2:])
                await administered(second, "PUT", here, {"tools_to_execute": [*without_one, "not_there"]})
                await quiet(listeners)
                await administered(second, "PUT", here, {"tools_to_execute": ["fails"]})
                await told(listeners[:3], "tools")
                await quiet(listeners[3:])


@pytest.mark.parametrize("era", ERAS)
async def test_an_upstream_that_is_added_switched_off_or_deleted(sqlite_url: str, tmp_path: Path, era: str) -> None:
    """Its news are heard by streams that were there before it, too."""
    with talking(era) as server, talking(era) as two:
        async with (
            processes(sqlite_url, tmp_path, server) as (first, second),
            listening(McpClient(first, era)) as listeners,
        ):
            more = {key: value for key, value in upstream("two", two.url).items() if value is not None}
            await administered(second, "POST", "/api/mcp/client", more)
            await until(lambda: CHANGED["tools"] in listeners[0].heard)
            await until(lambda: two.listeners > 0)
            await asyncio.sleep(FELT_SECONDS)
            await listeners[0].client.request("tools/list")
            listeners[0].said.clear()
            two.tools = (*TOOLS, "new")
            two.says(CHANGED["tools"])
            await told(listeners, "tools")
            await listeners[0].client.request("tools/list")
            path = f"/api/mcp/client/{await upstream_id(second, 'two')}"
            await administered(second, "PUT", path, {"disabled": True})
            await until(lambda: CHANGED["tools"] in listeners[0].heard)
            assert listeners[0].is_open


async def test_what_an_upstream_says_on_the_link_of_every_session_is_told_to_each_once(
    sqlite_url: str, tmp_path: Path
) -> None:
    """N sessions have N links, and on each the same change is said."""
    with talking(OLDER) as server:
        async with processes(sqlite_url, tmp_path, server) as (first, second):
            clients = [McpClient(http, OLDER) for http in (first, second) for _ in range(4)]
            async with listening(*clients) as listeners:
                for client in clients:
                    assert (await client.request("tools/call", {"name": "up-echo", "arguments": {}})).result
                await until(lambda: server.listeners >= len(clients))
                server.tools = (*TOOLS, "new")
                server.says(CHANGED["tools"])
                server.says(CHANGED["prompts"])
                await told(listeners, "tools", "prompts")
                names = [tool["name"] for tool in (await clients[0].request("tools/list")).result["tools"]]
                assert "up-new" in names


async def test_who_lost_an_upstream_hears_nothing_more_of_it(sqlite_url: str, tmp_path: Path) -> None:
    """Contract §6: a link that was opened under other rules may still be there, and what comes on it is dropped."""
    with talking(OLDER) as server:
        async with processes(sqlite_url, tmp_path, server) as (first, second):
            mine, other = McpClient(first, OLDER), McpClient(first, OLDER, key=OTHER_KEY)
            async with listening(mine, other) as listeners:
                for client in (mine, other):
                    assert (await client.request("resources/subscribe", {"uri": "notes:///a"})).error is None
                await until(lambda: server.listeners >= 4)
                path = f"/api/governance/virtual-keys/{KEY_ID}"
                await administered(second, "PUT", path, {"mcp_configs": ONE_TOOL})
                await told(listeners[:1], "tools", "prompts", "resources")
                server.says("notifications/resources/updated", {"uri": "notes:///a"})
                await until(lambda: listeners[1].heard == ["notifications/resources/updated"])
                assert listeners[0].heard == []
                server.says("notifications/message", {"level": "info", "data": "of a tool it may use"})
                await until(lambda: listeners[0].heard == ["notifications/message"])
