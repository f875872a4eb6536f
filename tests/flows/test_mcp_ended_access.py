"""Whoever is not let in any more hears nothing more, on whatever process and stream (contract §6)."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest

from bifrost.identity.callers import Callers
from tests.support.gateway import ADMIN_TOKEN, KEY_ID, VIRTUAL_KEY, upstream
from tests.support.mcp_client import Conversation, McpClient, gateway_on_a_port, messages
from tests.support.servers import until
from tests.support.talking_upstream import TalkingUpstream, talking

pytestmark = pytest.mark.anyio

OLDER, MODERN = "2025-11-25", "2026-07-28"
OTHER_KEY = "sk-bf-other-0123456789abcdefghijklmnopqrstuvwx"
KEYS = [{"id": KEY_ID, "name": "test", "value": VIRTUAL_KEY}, {"id": "other", "name": "other", "value": OTHER_KEY}]
PING = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
KEY = {"x-bf-vk": VIRTUAL_KEY}
FELT_SECONDS = 1.0
SLACK_SECONDS = 4.0
"""What a busy machine may take on top."""


@asynccontextmanager
async def two_processes(
    database_url: str, tmp_path: Path, server: TalkingUpstream
) -> AsyncIterator[list[httpx2.AsyncClient]]:
    sections: dict[str, Any] = {
        "mcp": {"client_configs": [upstream("up", server.url)]},
        "governance": {"virtual_keys": KEYS},
        "server": {"workers": 2},
    }
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(gateway_on_a_port(database_url, tmp_path, **sections)) for _ in range(2)]


async def change_key(http: httpx2.AsyncClient, key_id: str = KEY_ID, **members: Any) -> None:
    answer = await http.put(
        f"/api/governance/virtual-keys/{key_id}", json=members, headers={"Authorization": f"Bearer {ADMIN_TOKEN}"}
    )
    assert answer.status_code == 200, answer.text


async def streamed(client: McpClient, method: str, params: dict[str, Any]) -> list[dict[str, Any]]:
    """What comes on the stream of one request, until the server ends it."""
    message = {"jsonrpc": "2.0", "id": 7, "method": method, "params": client._stated(params)}
    request = client.http.build_request("POST", client.path, json=message, headers=client.headers(method, params))
    answer = await client.http.send(request, stream=True)
    return [said async for said in messages(answer)]


async def heard(client: McpClient) -> list[dict[str, Any]]:
    """What comes on a GET stream, until the server ends it."""
    headers = {**client.headers("", {}), "Accept": "text/event-stream"}
    answer = await client.http.send(client.http.build_request("GET", client.path, headers=headers), stream=True)
    return [said async for said in messages(answer)]


async def test_everything_that_is_open_ends_within_a_second_of_a_change_on_another_process(
    database_url: str, tmp_path: Path
) -> None:
    """Contract §6: calls that run, streams of sessions, and subscriptions; nobody else's."""
    with talking(OLDER) as server:
        async with two_processes(database_url, tmp_path, server) as (first, second):
            older, modern = McpClient(first, OLDER), McpClient(first, MODERN)
            other = McpClient(first, OLDER, key=OTHER_KEY)
            await older.open()
            await other.open()
            wanted = {"notifications": {"toolsListChanged": True}}
            running = [
                asyncio.create_task(streamed(older, "tools/call", {"name": "up-slow"})),
                asyncio.create_task(streamed(modern, "tools/call", {"name": "up-slow"})),
                asyncio.create_task(streamed(modern, "subscriptions/listen", wanted)),
                asyncio.create_task(heard(older)),
            ]
            others = asyncio.create_task(heard(other))
            await until(lambda: len(server.requests("tools/call")) == 2)
            await until(lambda: server.listeners >= 2)
            await asyncio.sleep(1)  # longer than until it is asked for the first time
            assert not any(one.done() for one in running)

            await change_key(second, is_active=False)
            changed_at = time.monotonic()
            ended = await asyncio.wait_for(asyncio.gather(*running), 20)
            assert time.monotonic() - changed_at < FELT_SECONDS + SLACK_SECONDS
            for said in ended[:2]:
                assert (said[-1]["id"], said[-1]["error"]["data"]["code"]) == (7, "virtual_key_inactive")
            await until(lambda: len(server.cancelled) >= 2)  # with a message, and by closing
            assert not others.done()
            others.cancel()


async def test_a_call_that_has_said_nothing_yet_is_refused_as_a_request_would_be(
    sqlite_url: str, tmp_path: Path
) -> None:
    """Contract §7: 403 with the reason for an inactive key; a client can act on it."""
    with talking(MODERN) as server:
        async with two_processes(sqlite_url, tmp_path, server) as (first, second):
            client, into = McpClient(first, MODERN), Conversation()
            message = {"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": client._stated({"name": "up-slow"})}
            headers = {**client.headers("tools/call", {"name": "up-slow"}), "Accept": "application/json"}
            call = asyncio.create_task(first.post("/mcp", json=message, headers=headers))
            await until(lambda: bool(server.requests("tools/call")))
            await change_key(second, is_active=False)
            answer = await asyncio.wait_for(call, 20)
            assert (answer.status_code, answer.json()["id"]) == (403, 7)
            assert into.result is None


async def test_a_call_may_last_longer_than_the_credential_it_began_with(
    sqlite_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was begun in time is finished: only whoever is shut out early loses it."""
    monkeypatch.setattr("bifrost.gateway.endpoints.answer.CHECK_SECONDS", 0.05)
    with talking(OLDER) as server:
        async with two_processes(sqlite_url, tmp_path, server) as (first, second):
            in_two_seconds = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 2))
            await change_key(second, expires_at=in_two_seconds)
            call = asyncio.create_task(streamed(McpClient(first, MODERN), "tools/call", {"name": "up-slow"}))
            await until(lambda: bool(server.requests("tools/call")))
            async with asyncio.timeout(10):
                while (await first.post("/mcp", json=PING, headers=KEY)).status_code != 403:  # noqa: ASYNC110
                    await asyncio.sleep(0.1)
            await asyncio.sleep(0.3)
            assert not call.done()
            call.cancel()


async def test_whoever_cannot_be_judged_any_more_is_not_let_in_any_longer(
    sqlite_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Contract §6: a fault of ours ends what is open; else nobody would ask again whether it is allowed."""
    with talking(OLDER) as server:
        sections = {"mcp": {"client_configs": [upstream("up", server.url)]}}
        async with gateway_on_a_port(sqlite_url, tmp_path, **sections) as http:
            client = McpClient(http, OLDER)
            await client.open()
            running = [
                asyncio.create_task(streamed(client, "tools/call", {"name": "up-slow"})),
                asyncio.create_task(heard(client)),
            ]
            await until(lambda: bool(server.requests("tools/call")) and server.listeners >= 1)
            monkeypatch.setattr(Callers, "authenticate", None)
            said, _ = await asyncio.wait_for(asyncio.gather(*running), 20)
            assert said[-1]["error"]["code"] == -32603
