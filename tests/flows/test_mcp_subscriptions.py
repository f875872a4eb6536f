"""Subscriptions belong to one session and one upstream, as the upstream is configured (2025-11-25, resources)."""

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest

from bifrost.gateway import attention
from bifrost.protocol import mcp
from tests.flows.test_mcp_sessions import listening
from tests.support.gateway import ADMIN_TOKEN, upstream
from tests.support.mcp_client import McpClient, gateway_on_a_port, messages
from tests.support.servers import until
from tests.support.talking_upstream import TalkingUpstream, talking

pytestmark = pytest.mark.anyio

OLDER, MODERN = "2025-11-25", "2026-07-28"
UPDATED = "notifications/resources/updated"
ADMINISTRATOR = {"Authorization": f"Bearer {ADMIN_TOKEN}"}
SAME, OTHERS = "notes:///a", "bifrost://two/notes%3A%2F%2F%2Fa"
"""The first upstream's, and what the second one's is called where both list it."""


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """However slow the machine is."""
    monkeypatch.setattr(attention, "NOTICE_SECONDS", 20.0)
    monkeypatch.setattr(attention, "OPENING_SECONDS", 20.0)


def two(one: TalkingUpstream, other: TalkingUpstream) -> dict[str, Any]:
    return {"mcp": {"client_configs": [upstream("one", one.url), upstream("two", other.url)]}}


@pytest.mark.parametrize("revision", [OLDER, MODERN])
async def test_two_upstreams_with_the_same_uri_are_two_subscriptions(
    sqlite_url: str, tmp_path: Path, revision: str
) -> None:
    """Contract §7: ending one ends one, and each is announced by the name that it was subscribed by."""
    with talking(revision) as one, talking(revision) as other:
        async with gateway_on_a_port(sqlite_url, tmp_path, **two(one, other)) as http:
            client = McpClient(http, OLDER)
            await client.open()
            async with listening(client) as news:
                for uri in (SAME, OTHERS):
                    assert (await client.request("resources/subscribe", {"uri": uri})).error is None
                other.says(UPDATED, {"uri": SAME})
                assert (await asyncio.wait_for(news.get(), 10))["params"]["uri"] == OTHERS
                one.says(UPDATED, {"uri": SAME})
                assert (await asyncio.wait_for(news.get(), 10))["params"]["uri"] == SAME
                assert (await client.request("resources/unsubscribe", {"uri": SAME})).error is None
                assert not other.requests("resources/unsubscribe")
                other.says(UPDATED, {"uri": SAME})
                assert (await asyncio.wait_for(news.get(), 10))["params"]["uri"] == OTHERS


async def test_an_upstream_is_listened_to_before_it_is_subscribed_to(sqlite_url: str, tmp_path: Path) -> None:
    """2025-11-25, resources: what it announces right after it took the subscription, it tells those who listen then."""
    with talking(OLDER) as server:
        sections = {"mcp": {"client_configs": [upstream("up", server.url)]}}
        async with gateway_on_a_port(sqlite_url, tmp_path, **sections) as http:
            client = McpClient(http, OLDER)
            await client.open()
            async with listening(client) as news:
                await until(lambda: server.listeners == 1)  # for changes of lists
                server.opens_streams.clear()
                making = asyncio.create_task(client.request("resources/subscribe", {"uri": SAME}))
                await until(lambda: server.streams_asked == 2)
                await asyncio.sleep(0.3)
                assert not making.done()
                assert not server.requests("resources/subscribe")
                server.opens_streams.set()
                assert (await asyncio.wait_for(making, 10)).error is None
                server.says(UPDATED, {"uri": SAME})
                assert (await asyncio.wait_for(news.get(), 10))["params"]["uri"] == SAME


async def test_a_stream_that_an_upstream_does_not_open_holds_nobody_up_for_long(
    sqlite_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some send the head of a stream with the first thing that they say on it: it is waited for once."""
    monkeypatch.setattr(attention, "OPENING_SECONDS", 0.2)
    with talking(OLDER) as server:
        sections = {"mcp": {"client_configs": [upstream("up", server.url)]}}
        async with gateway_on_a_port(sqlite_url, tmp_path, **sections) as http:
            client = McpClient(http, OLDER)
            await client.open()
            async with listening(client) as news:
                server.opens_streams.clear()
                for uri in (SAME, "notes:///by-id/1"):
                    assert (await client.request("resources/subscribe", {"uri": uri})).error is None
                    monkeypatch.setattr(attention, "OPENING_SECONDS", 300.0)
                server.opens_streams.set()
                await until(lambda: server.listeners == 2)  # the session's own, and one for changes of lists
                server.says(UPDATED, {"uri": SAME})
                assert (await asyncio.wait_for(news.get(), 10))["params"]["uri"] == SAME


async def test_a_subscription_is_acknowledged_when_the_upstreams_are_listened_to(
    sqlite_url: str, tmp_path: Path
) -> None:
    """2026-07-28, subscriptions: what is honoured is honoured from then on."""
    with talking(OLDER) as one, talking(MODERN) as other:
        async with gateway_on_a_port(sqlite_url, tmp_path, **two(one, other)) as http:
            client = McpClient(http, MODERN)
            one.opens_streams.clear()
            other.takes_note.clear()
            said = subscribed(client, SAME, OTHERS)
            first = asyncio.ensure_future(anext(said))
            await until(lambda: one.streams_asked and other.requests(mcp.LISTEN))
            one.opens_streams.set()
            await until(lambda: one.listeners)
            await asyncio.sleep(0.3)
            assert not first.done()
            other.takes_note.set()
            assert (await asyncio.wait_for(first, 10))["method"] == mcp.ACKNOWLEDGED
            for server, uri in ((one, SAME), (other, OTHERS)):
                server.says(UPDATED, {"uri": SAME})
                assert (await asyncio.wait_for(anext(said), 10))["params"]["uri"] == uri
            await said.aclose()


async def subscribed(client: McpClient, *uris: str) -> AsyncGenerator[dict[str, Any]]:
    """What a stateless client hears that asks for news of these."""
    params = client._stated({"notifications": {"resourceSubscriptions": list(uris)}})
    body = {"jsonrpc": "2.0", "id": 9, "method": mcp.LISTEN, "params": params}
    request = client.http.build_request("POST", client.path, json=body, headers=client.headers(mcp.LISTEN, params))
    answer = await client.http.send(request, stream=True)
    try:
        async for said in messages(answer):
            yield said
    finally:
        await answer.aclose()


async def test_a_session_that_unsubscribes_does_so_for_itself(sqlite_url: str, tmp_path: Path) -> None:
    """Contract §7: two sessions of one person have nothing to do with each other."""
    with talking(OLDER) as server:
        sections = {"mcp": {"client_configs": [upstream("up", server.url)]}}
        async with gateway_on_a_port(sqlite_url, tmp_path, **sections) as http:
            first, second = McpClient(http, OLDER), McpClient(http, OLDER)
            for client in (first, second):
                await client.open()
                assert (await client.request("resources/subscribe", {"uri": SAME})).error is None
            async with listening(second) as news:
                await until(lambda: server.listeners == 3)  # and one for changes of lists
                await first.request("resources/unsubscribe", {"uri": SAME})
                assert (await http.delete("/mcp", headers=first.headers("", {}))).status_code == 204
                await until(lambda: server.listeners == 2)
                server.says(UPDATED, {"uri": SAME})
                assert (await asyncio.wait_for(news.get(), 10))["params"]["uri"] == SAME


async def test_a_subscription_that_outlasts_its_session_is_none(sqlite_url: str, tmp_path: Path) -> None:
    """A session may end while its subscription is being made: nothing stays behind."""
    with talking(OLDER) as server:
        sections = {"mcp": {"client_configs": [upstream("up", server.url)]}}
        async with gateway_on_a_port(sqlite_url, tmp_path, **sections) as http:
            client = McpClient(http, OLDER)
            await client.open()
            await client.request("resources/list")
            server.answers_subscriptions.clear()
            making = asyncio.create_task(client.request("resources/subscribe", {"uri": SAME}))
            await until(lambda: bool(server.requests("resources/subscribe")))
            assert (await http.delete("/mcp", headers=client.headers("", {}))).status_code == 204
            server.answers_subscriptions.set()
            assert (await asyncio.wait_for(making, 20)).error is not None
            await asyncio.sleep(0.5)
            assert server.listeners == 0


@pytest.mark.parametrize("revision", [OLDER, MODERN])
async def test_a_uri_that_is_remembered_has_a_measure(sqlite_url: str, tmp_path: Path, revision: str) -> None:
    """Ours: a session may have many, for days, and an upstream may take any; one that is read may be of any length."""
    with talking(OLDER) as server:
        sections = {"mcp": {"client_configs": [upstream("up", server.url)]}}
        async with gateway_on_a_port(sqlite_url, tmp_path, **sections) as http:
            client, uri = McpClient(http, revision), "notes:///by-id/" + "1" * 2_048
            await client.open()
            if revision == OLDER:
                said = await client.request("resources/subscribe", {"uri": uri})
            else:
                said = await client.request("subscriptions/listen", {"notifications": {"resourceSubscriptions": [uri]}})
            assert said.error is not None
            assert said.error["code"] == -32602
            assert not server.requests("resources/subscribe")


async def test_an_upstream_that_is_moved_is_heard_where_it_is_now(sqlite_url: str, tmp_path: Path) -> None:
    """Contract §9: an administrator's change holds for what is open, and nobody goes back to where it was."""
    with talking(OLDER) as before, talking(OLDER) as now:
        sections = {"mcp": {"client_configs": [upstream("up", before.url)]}}
        async with gateway_on_a_port(sqlite_url, tmp_path, **sections) as http:
            client = McpClient(http, OLDER)
            await client.open()
            await client.request("tools/call", {"name": "up-echo", "arguments": {}})
            async with listening(client) as news:
                await until(lambda: before.listeners)
                known = (await http.get("/api/mcp/clients", headers=ADMINISTRATOR)).json()["clients"][0]
                path = f"/api/mcp/client/{known['config']['client_id'] if 'config' in known else known['id']}"
                moved = upstream("up", now.url)
                assert (await http.put(path, json=moved, headers=ADMINISTRATOR)).status_code == 200
                await until(lambda: now.listeners and not before.listeners)
                opened = before.streams_opened
                for _ in range(3):
                    await client.request("tools/call", {"name": "up-echo", "arguments": {}})
                    await asyncio.sleep(0.8)
                assert before.streams_opened == opened
                now.says("notifications/message", {"level": "info", "data": "here"})
                while (said := await asyncio.wait_for(news.get(), 10))["method"] != "notifications/message":
                    assert said["method"].endswith("list_changed")
                assert (await http.delete(path, headers=ADMINISTRATOR)).status_code < 300
                await until(lambda: not now.listeners)
