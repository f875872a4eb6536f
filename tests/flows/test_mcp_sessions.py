"""Sessions of older clients (contract §7): whose they are, what they hear, and that nobody else hears or answers it."""

import asyncio
import json
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import httpx2
import pytest

from bifrost.gateway import streams
from tests.support.gateway import KEY_ID, VIRTUAL_KEY, upstream
from tests.support.mcp_client import Conversation, McpClient, gateway_on_a_port, messages
from tests.support.servers import until
from tests.support.talking_upstream import TalkingUpstream, talking

pytestmark = pytest.mark.anyio

OTHER_KEY = "sk-bf-other-0123456789abcdefghijklmnopqrstuvwx"
KEYS = [{"id": KEY_ID, "name": "test", "value": VIRTUAL_KEY}, {"id": "other", "name": "other", "value": OTHER_KEY}]
STREAM = "text/event-stream"


@asynccontextmanager
async def gateway(sqlite_url: str, tmp_path: Path, server: TalkingUpstream) -> AsyncIterator[httpx2.AsyncClient]:
    sections = {"mcp": {"client_configs": [upstream("up", server.url)]}, "governance": {"virtual_keys": KEYS}}
    async with gateway_on_a_port(sqlite_url, tmp_path, **sections) as http:
        yield http


@asynccontextmanager
async def listening(client: McpClient, **headers: str) -> AsyncIterator["asyncio.Queue[dict[str, Any]]"]:
    """What the client's GET stream brings."""
    news: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    sent = {**client.headers("", {}), "Accept": STREAM, **headers}
    answer = await client.http.send(client.http.build_request("GET", client.path, headers=sent), stream=True)
    assert answer.status_code == 200, await answer.aread()
    assert answer.headers["content-type"] == STREAM
    assert answer.headers["x-accel-buffering"] == "no"

    async def read() -> None:
        async for said in messages(answer):
            news.put_nowait(said)

    reading = asyncio.create_task(read())
    try:
        yield news
    finally:
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)
        await answer.aclose()


async def test_a_session_belongs_to_whoever_began_it(sqlite_url: str, tmp_path: Path) -> None:
    """RS11, TC-149: for anybody else, for another endpoint, and when it has ended, there is no such session."""
    with talking("2025-11-25") as server:
        async with gateway(sqlite_url, tmp_path, server) as http:
            client = McpClient(http, "2025-11-25")
            await client.open()
            assert (await client.request("ping")).result == {}
            thief = McpClient(http, "2025-11-25", key=OTHER_KEY, session=client.session)
            elsewhere = McpClient(http, "2025-11-25", path="/mcp/up", session=client.session)
            for other in (thief, elsewhere):
                assert (await other.request("ping")).status == 404
                for method in ("GET", "DELETE"):
                    answer = await http.request(method, other.path, headers=other.headers("", {}))
                    assert answer.status_code == 404
                    assert answer.json()["error"]["data"]["code"] == "unknown_session"
            assert (await client.request("ping")).result == {}
            ended = await http.delete(client.path, headers=client.headers("", {}))
            assert ended.status_code == 204
            assert (await client.request("ping")).status == 404


@pytest.mark.parametrize("sealed", ["", "x", "v1.AAAA.BBBB", "a" * 500])
async def test_a_session_id_that_was_not_given_here_is_none(sqlite_url: str, tmp_path: Path, sealed: str) -> None:
    """V4, 2025-11-25, transports: 404, so that the client initializes anew."""
    with talking("2025-11-25") as server:
        async with gateway(sqlite_url, tmp_path, server) as http:
            headers = {**McpClient(http, "2025-11-25").headers("", {}), "Mcp-Session-Id": sealed}
            answer = await http.post("/mcp", json={"jsonrpc": "2.0", "id": 1, "method": "ping"}, headers=headers)
            assert answer.status_code == 404


async def test_only_the_session_that_was_asked_can_answer(sqlite_url: str, tmp_path: Path) -> None:
    """Isolation: the id of a question is of no use to anybody else, not even to another session of the same key."""
    with talking("2025-11-25") as server:
        async with gateway(sqlite_url, tmp_path, server) as http:
            client, stranger = McpClient(http, "2025-11-25"), McpClient(http, "2025-11-25", key=OTHER_KEY)
            sibling = McpClient(http, "2025-11-25")
            for one in (client, stranger, sibling):
                await one.open()

            class Patient(McpClient):
                async def answer(self, said: dict[str, Any]) -> None:
                    for wrong in (stranger, sibling):
                        wrong.answers = {said["method"]: {"action": "decline"}}
                        await wrong.answer(said)
                    await super().answer(said)

            patient = Patient(http, "2025-11-25", session=client.session)
            result = (await patient.request("tools/call", {"name": "up-elicit", "arguments": {}})).result
            assert result["structuredContent"]["action"] == "accept"


async def test_two_clients_with_the_same_ids_and_tokens_do_not_meet(sqlite_url: str, tmp_path: Path) -> None:
    """TC-150: isolation, with ids that collide on purpose."""
    with talking("2025-11-25") as server:
        async with gateway(sqlite_url, tmp_path, server) as http:
            clients = [McpClient(http, "2025-11-25", key=key) for key in (VIRTUAL_KEY, OTHER_KEY)]
            for client in clients:
                await client.open()

            async def ask(client: McpClient, number: int) -> Conversation:
                params = {"name": "up-echo", "arguments": {"me": number}, "_meta": {"progressToken": 1}}
                return await client.request("tools/call", params)

            for _ in range(10):
                found = await asyncio.gather(*(ask(client, number) for number, client in enumerate(clients)))
                assert [one.result["structuredContent"]["me"] for one in found] == [0, 1]


async def test_a_subscribed_resource_is_heard_of_on_the_stream_of_that_session_alone(
    sqlite_url: str, tmp_path: Path
) -> None:
    """V18, 2025-11-25, resources: and what changes in a list is heard by everybody who listens."""
    with talking("2025-11-25") as server:
        async with gateway(sqlite_url, tmp_path, server) as http:
            client, other = McpClient(http, "2025-11-25"), McpClient(http, "2025-11-25", key=OTHER_KEY)
            for one in (client, other):
                await one.open()
            async with listening(client) as news, listening(other) as others:
                assert (await client.request("resources/subscribe", {"uri": "notes:///a"})).result == {}
                await until(lambda: server.listeners >= 3)
                server.says("notifications/resources/updated", {"uri": "notes:///a", "x-new": 1})
                assert (await news.get())["params"] == {"uri": "notes:///a", "x-new": 1}
                server.says("notifications/tools/list_changed")
                heard = [await queue.get() for queue in (news, others)]
                assert {one["method"] for one in heard} == {"notifications/tools/list_changed"}
            assert (await client.request("resources/unsubscribe", {"uri": "notes:///a"})).result == {}


async def test_what_is_said_right_after_a_subscription_is_heard(sqlite_url: str, tmp_path: Path) -> None:
    """2025-11-25, resources: what listened already goes on to listen, without a gap."""
    with talking("2025-11-25") as server:
        async with gateway(sqlite_url, tmp_path, server) as http:
            client = McpClient(http, "2025-11-25")
            await client.open()
            async with listening(client) as news:
                await client.request("resources/list")
                await client.request("tools/call", {"name": "slack-echo"})
                await client.request("resources/subscribe", {"uri": "notes:///a"})
                await until(lambda: server.listeners >= 2)  # the session's own, and the one for changes of lists
                opened = server.streams_opened
                for number in range(20):
                    subscribed = await client.request("resources/subscribe", {"uri": "notes:///a"})
                    assert subscribed.result == {}
                    server.says("notifications/resources/updated", {"uri": "notes:///a", "number": number})
                    assert (await soon(news))["params"] == {"uri": "notes:///a", "number": number}
                assert server.streams_opened == opened
            assert news.empty()


async def test_a_stateless_upstream_is_listened_to_anew_without_a_gap_and_without_an_echo(
    sqlite_url: str, tmp_path: Path
) -> None:
    """2026-07-28, subscriptions: until it acknowledges the new listening, what it says is heard as before."""
    with talking("2026-07-28") as server:
        async with gateway(sqlite_url, tmp_path, server) as http:
            client = McpClient(http, "2025-11-25")
            await client.open()
            async with listening(client) as news:

                async def heard(**said: Any) -> None:
                    server.says("notifications/resources/updated", said)
                    assert (await soon(news))["params"] == said

                assert (await client.request("resources/subscribe", {"uri": "notes:///a"})).result == {}
                await heard(uri="notes:///a", at="once")
                before = server.listeners
                server.takes_note.clear()
                pending = asyncio.create_task(client.request("resources/subscribe", {"uri": "notes:///b"}))
                await until(lambda: _filters(server)[-1] == {"resourceSubscriptions": ["notes:///a", "notes:///b"]})
                await heard(uri="notes:///a", at="not acknowledged yet")
                server.takes_note.set()
                assert (await pending).result == {}
                assert server.listeners == before + 1
                await heard(uri="notes:///a", at="both hear it")
                await until(lambda: server.listeners == before)
                await heard(uri="notes:///b", at="one is left")
                assert (await client.request("resources/unsubscribe", {"uri": "notes:///b"})).result == {}
                assert (await client.request("resources/unsubscribe", {"uri": "notes:///a"})).result == {}
                await until(lambda: server.listeners == before - 1)
            assert news.empty()


async def test_when_an_upstream_forgets_a_session_what_it_was_subscribed_to_is_heard_again(
    sqlite_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """2025-11-25, transports: after a 404 there is a new session; a stream of the old one brings nothing any more."""
    monkeypatch.setattr(streams, "FIRST_PAUSE_SECONDS", 0.01)
    with talking("2025-11-25") as server:
        async with gateway(sqlite_url, tmp_path, server) as http:
            client = McpClient(http, "2025-11-25")
            await client.open()
            async with listening(client) as news:
                assert (await client.request("resources/subscribe", {"uri": "notes:///a"})).result == {}
                await until(lambda: server.listeners >= 2)
                server.forgets()
                assert (await client.request("resources/read", {"uri": "notes:///a"})).result
                await until(lambda: len(server.requests("resources/subscribe")) == 2)
                await until(lambda: server.streams_opened >= 3)
                server.says("notifications/resources/updated", {"uri": "notes:///a"})
                assert (await soon(news))["params"] == {"uri": "notes:///a"}


async def soon(news: "asyncio.Queue[dict[str, Any]]") -> dict[str, Any]:
    async with asyncio.timeout(10):
        return await news.get()


def _filters(server: TalkingUpstream) -> list[Any]:
    return [message["params"]["notifications"] for message in server.requests("subscriptions/listen")]


async def test_a_change_of_a_list_makes_the_list_new_at_once(sqlite_url: str, tmp_path: Path) -> None:
    """Contract §7: whoever is told of it must find it."""
    with talking("2025-11-25") as server:
        async with gateway(sqlite_url, tmp_path, server) as http:
            client = McpClient(http, "2025-11-25")
            await client.open()
            before = (await client.request("tools/list")).result["tools"]
            async with listening(client) as news:
                await until(lambda: server.listeners)
                server.tools = ("echo", "new")
                server.says("notifications/tools/list_changed")
                await news.get()
                after = (await client.request("tools/list")).result["tools"]
            assert len(before) > len(after)
            assert [tool["name"] for tool in after] == ["up-echo", "up-new"]


async def test_the_log_level_of_a_session_is_that_of_its_own_link(sqlite_url: str, tmp_path: Path) -> None:
    """V12, 2025-11-25, logging."""
    with talking("2025-11-25") as server:
        async with gateway(sqlite_url, tmp_path, server) as http:
            client = McpClient(http, "2025-11-25")
            await client.open()
            assert (await client.request("logging/setLevel", {"level": "loud"})).error["code"] == -32602
            assert (await client.request("logging/setLevel", {"level": "error"})).result == {}
            await client.request("tools/call", {"name": "up-echo"})
            assert [one["params"] for one in server.requests("logging/setLevel")] == [{"level": "error"}]
            assert (await client.request("logging/setLevel", {"level": "debug"})).result == {}
            assert server.requests("logging/setLevel")[-1]["params"] == {"level": "debug"}


async def test_a_stream_that_broke_is_resumed_and_to_go_away_is_not_to_cancel(sqlite_url: str, tmp_path: Path) -> None:
    """V5, V17, TC-151, 2025-11-25, transports: Last-Event-ID brings the rest, to the same session only."""
    with talking("2025-11-25") as server:
        async with gateway(sqlite_url, tmp_path, server) as http:
            client, stranger = McpClient(http, "2025-11-25"), McpClient(http, "2025-11-25", key=OTHER_KEY)
            for one in (client, stranger):
                await one.open()
            body = {"jsonrpc": "2.0", "id": 9, "method": "tools/call", "params": {"name": "up-elicit"}}
            request = http.build_request("POST", "/mcp", json=body, headers=client.headers("", {}))
            answer = await http.send(request, stream=True)
            lines = answer.aiter_lines()
            first = [await anext(lines) for _ in range(3)]
            assert first[0].startswith("id: ")
            assert first[2] == "data:"
            question = {}
            async for line in lines:
                if line.startswith("data:"):
                    question = json.loads(line[5:])
                    break
            await answer.aclose()
            await client.answer(question)
            last = first[0].removeprefix("id: ")
            async with listening(stranger, **{"Last-Event-ID": last}) as nothing:
                async with listening(client, **{"Last-Event-ID": last}) as rest:
                    assert await rest.get() == question
                    assert (await rest.get())["result"]["structuredContent"]["action"] == "accept"
                assert nothing.empty()
            assert server.cancelled == []


@pytest.mark.parametrize("event_id", ["1", "unknown.1", "x" * 4_000, "..", "A" * 24 + ".99999999999"])
async def test_what_cannot_be_resumed_is_a_new_stream_that_hears_what_comes(
    sqlite_url: str, tmp_path: Path, event_id: str
) -> None:
    """2025-11-25, transports: an id that is not known here, of a stream long over or of another process, is no error."""
    with talking("2025-11-25") as server:
        async with gateway(sqlite_url, tmp_path, server) as http:
            client = McpClient(http, "2025-11-25")
            await client.open()
            await client.request("tools/call", {"name": "up-progress", "arguments": {}})
            sent = event_id.encode().decode("latin-1")
            async with listening(client, **{"Last-Event-ID": sent}) as news:
                assert (await client.request("resources/subscribe", {"uri": "notes:///a"})).error is None
                await until(lambda: server.listeners >= 2)
                server.says("notifications/resources/updated", {"uri": "notes:///a"})
                assert (await soon(news))["method"] == "notifications/resources/updated", "and nothing from before"


async def test_a_client_that_takes_no_stream_gets_its_answer_all_the_same(sqlite_url: str, tmp_path: Path) -> None:
    """2025-11-25, transports: it hears nothing on the way, and an upstream is told that it cannot be asked."""
    with talking("2025-11-25") as server:
        async with gateway(sqlite_url, tmp_path, server) as http:
            client = McpClient(http, "2025-11-25")
            await client.open()
            headers = {**client.headers("", {}), "Accept": "application/json"}
            for tool in ("progress", "elicit"):
                body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": f"up-{tool}"}}
                answer = await http.post("/mcp", json=body, headers=headers)
                assert answer.headers["content-type"] == "application/json"
                assert "result" in answer.json()


async def test_what_a_client_did_not_declare_is_not_declared_for_it(sqlite_url: str, tmp_path: Path) -> None:
    """G19: nor is it asked, whatever the upstream does."""
    with talking("2025-11-25") as server:
        async with gateway(sqlite_url, tmp_path, server) as http:
            client = McpClient(http, "2025-11-25", capabilities={"roots": {}})
            await client.open()
            asked = await client.request("tools/call", {"name": "up-elicit"})
            assert asked.asked == []
            assert asked.result["structuredContent"]["code"] == -32601
            assert server.declared[-1] == {"roots": {}}


async def test_a_stream_ends_with_the_credential_that_opened_it(
    sqlite_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """TC-147, contract §6: a revoked key hears nothing more, and nobody has to ask for that."""
    monkeypatch.setattr("bifrost.gateway.endpoints.answer.CHECK_SECONDS", 0.1)
    with talking("2025-11-25") as server:
        async with gateway(sqlite_url, tmp_path, server) as http:
            client, other = McpClient(http, "2025-11-25"), McpClient(http, "2025-11-25", key=OTHER_KEY)
            for one in (client, other):
                await one.open()
            headers = {**client.headers("", {}), "Accept": STREAM}
            stream = await http.send(http.build_request("GET", "/mcp", headers=headers), stream=True)
            async with listening(other) as still:
                with closing(sqlite3.connect(sqlite_url.removeprefix("sqlite:///"))) as database, database:
                    database.execute("UPDATE virtual_keys SET is_active = 0 WHERE id = ?", (KEY_ID,))
                async with asyncio.timeout(10):
                    assert [said async for said in messages(stream)] == []
                await until(lambda: server.listeners)
                server.says("notifications/tools/list_changed")
                assert (await still.get())["method"] == "notifications/tools/list_changed"
            await stream.aclose()
