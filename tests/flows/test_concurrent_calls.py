"""An upstream is given so many calls at a time: one that hangs, or is slow, keeps only its own callers waiting."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.flows._administration import api
from tests.flows._hostile_upstream import Answer, HostileUpstream, hostile
from tests.flows._mcp import ERAS, KEY, ask, call, key, message, names, result_of, rpc_error, with_upstreams
from tests.support.gateway import KEY_ID, VIRTUAL_KEY, TestGateway, upstream
from tests.support.mcp_client import ANSWERS, Conversation, McpClient, gateway_on_a_port
from tests.support.servers import until
from tests.support.talking_upstream import TalkingUpstream, talking

pytestmark = pytest.mark.anyio

SOON_SECONDS = 10.0
NEVER = Answer(ending="never")


@asynccontextmanager
async def _hanging(
    running: TestGateway, server: HostileUpstream, calls: int, tool: str = "full-read", **more: Any
) -> AsyncIterator[list["asyncio.Task[httpx2.Response]"]]:
    """So many calls that the upstream has and does not answer."""
    before = len(server.requests("tools/call"))
    tasks = [asyncio.create_task(call(running.http, tool, **more)) for _ in range(calls)]
    try:
        await until(lambda: len(server.requests("tools/call")) == before + calls)
        yield tasks
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _busy(answer: httpx2.Response) -> None:
    """A refusal in words for people, with when to try again."""
    error = rpc_error(answer)
    assert (error["code"], error["message"]) == (-32000, "full is busy with 2 other calls. Try again in a moment.")
    assert (error["data"]["code"], error["data"]["retry_after"]) == ("upstream_full", 1)


@pytest.mark.parametrize("era", ERAS)
async def test_a_full_upstream_refuses_and_no_other_notices(sqlite_url: str, tmp_path: Path, era: str) -> None:
    """Contract §7: its lists, and everything of the others, are as fast as ever; a call that ends gives its place back."""
    with hostile() as full, hostile() as other:
        entries = (upstream("full", full.url, max_concurrent_calls=2), upstream("other", other.url))
        async with with_upstreams(sqlite_url, tmp_path, *entries) as running:
            await names(running.http, era=era)
            full.script["tools/call"] = NEVER
            async with _hanging(running, full, 2, era=era):
                for path, tool in (("/mcp", "full-read"), ("/mcp", "full-write"), ("/mcp/full", "read")):
                    _busy(await call(running.http, tool, era=era, path=path))
                assert len(full.requests("tools/call")) == 2
                for _ in range(10):
                    result_of(await call(running.http, "other-read", era=era))
                assert len(await names(running.http, era=era)) == 4
                _busy(await call(running.http, "full-read", era=era))


async def test_a_call_that_is_cancelled_gives_its_place_back(sqlite_url: str, tmp_path: Path) -> None:
    """2026-07-28: to go away is to cancel; 2025-11-25: by notifications/cancelled."""
    with hostile() as full:
        async with with_upstreams(sqlite_url, tmp_path, upstream("full", full.url, max_concurrent_calls=2)) as running:
            greeting = {
                "protocolVersion": "2025-11-25",
                "capabilities": {},
                "clientInfo": {"name": "t", "version": "1"},
            }
            begun = await ask(running.http, "initialize", greeting)
            session = {**KEY, "Mcp-Session-Id": begun.headers["mcp-session-id"]}
            full.script["tools/call"] = NEVER
            async with (
                _hanging(running, full, 1, era="modern") as modern,
                _hanging(running, full, 1, headers=session) as legacy,
            ):
                _busy(await call(running.http, "full-read"))
                modern[0].cancel()
                await asyncio.gather(*modern, return_exceptions=True)
                await _room(running, full)
                async with _hanging(running, full, 1, era="modern"):
                    _busy(await call(running.http, "full-read"))
                    cancelled = message("notifications/cancelled", {"requestId": 1}, None)
                    assert (await running.http.post("/mcp", json=cancelled, headers=session)).status_code == 202
                    await asyncio.gather(*legacy)
                    await _room(running, full)


async def _room(running: TestGateway, full: HostileUpstream) -> None:
    """A place is free: a call gets through, and is answered."""
    full.script.clear()
    deadline = asyncio.get_running_loop().time() + SOON_SECONDS
    while "error" in (await call(running.http, "full-read")).json():
        assert asyncio.get_running_loop().time() < deadline
        await asyncio.sleep(0.01)
    full.script["tools/call"] = NEVER


async def test_calls_that_fail_or_take_too_long_give_their_places_back(sqlite_url: str, tmp_path: Path) -> None:
    """Contract §7: a time-out is an error for that call only."""
    with hostile() as full:
        entry = upstream("full", full.url, max_concurrent_calls=2, tool_execution_timeout=1)
        async with with_upstreams(sqlite_url, tmp_path, entry) as running:
            for fault in (Answer(status=500), Answer(body=b"\x00"), Answer(ending="cut", body=b"{}"), NEVER):
                full.script["tools/call"] = fault
                for answer in await asyncio.gather(*(call(running.http, "full-read") for _ in range(2))):
                    assert rpc_error(answer)["data"]["code"] != "upstream_full"
            full.script.clear()
            for answer in await asyncio.gather(*(call(running.http, "full-read") for _ in range(2))):
                result_of(answer)


async def test_what_is_refused_counts_for_no_limit_of_the_key(sqlite_url: str, tmp_path: Path) -> None:
    """Contract §9: it never reached its upstream."""
    limited = key(rate_limit={"request_max_limit": 100, "request_reset_duration": "1h"})
    with hostile() as full:
        entry = upstream("full", full.url, max_concurrent_calls=2)
        governance = {"virtual_keys": [limited]}
        async with with_upstreams(sqlite_url, tmp_path, entry, governance=governance) as running:
            full.script["tools/call"] = NEVER
            async with _hanging(running, full, 2):
                _busy(await call(running.http, "full-read"))
            shown = (await api(running, "GET", f"/api/governance/virtual-keys/{KEY_ID}")).json()
            assert shown["rate_limit"]["request_current_usage"] == 2


async def test_a_call_that_waits_for_a_person_is_not_in_the_way(sqlite_url: str, tmp_path: Path) -> None:
    """2025-11-25 upstream, 2026-07-28 client: the upstream does nothing until the answer is there."""
    with talking("2025-11-25") as server:
        sections = {
            "mcp": {"client_configs": [upstream("up", server.url, max_concurrent_calls=1)]},
            "governance": {"virtual_keys": [{"id": KEY_ID, "name": "test", "value": VIRTUAL_KEY}]},
        }
        async with gateway_on_a_port(sqlite_url, tmp_path, **sections) as http:
            client = McpClient(http, "2026-07-28")
            first, meanwhile, again = Conversation(), Conversation(), Conversation()
            params = {"name": "up-elicit", "arguments": {}}
            await client.once(first, "tools/call", params)
            assert first.result["resultType"] == "input_required"
            await client.once(meanwhile, "tools/call", {"name": "up-echo", "arguments": {}})
            assert meanwhile.result["resultType"] == "complete"
            answers = {name: ANSWERS[one["method"]] for name, one in first.result["inputRequests"].items()}
            sent = {**params, "inputResponses": answers, "requestState": first.result["requestState"]}
            await client.once(again, "tools/call", sent)
            assert again.result["resultType"] == "complete"


REVISIONS = ("2025-11-25", "2026-07-28")
ELICIT: dict[str, Any] = {"name": "up-elicit", "arguments": {}}


@asynccontextmanager
async def _one_place(sqlite_url: str, tmp_path: Path, server: TalkingUpstream) -> AsyncIterator[httpx2.AsyncClient]:
    sections = {
        "mcp": {"client_configs": [upstream("up", server.url, max_concurrent_calls=1)]},
        "governance": {"virtual_keys": [{"id": KEY_ID, "name": "test", "value": VIRTUAL_KEY}]},
    }
    async with gateway_on_a_port(sqlite_url, tmp_path, **sections) as http:
        yield http


@asynccontextmanager
async def _taken(http: httpx2.AsyncClient, server: TalkingUpstream) -> AsyncIterator[None]:
    """The only place, by a call that does not end by itself."""
    client = McpClient(http, "2026-07-28")
    slow = asyncio.create_task(client.request("tools/call", {"name": "up-slow", "arguments": {}}))
    try:
        await until(lambda: any(one["params"]["name"] == "slow" for one in server.requests("tools/call")))
        refused = Conversation()
        await client.once(refused, "tools/call", {"name": "up-echo", "arguments": {}})
        assert refused.error["data"]["code"] == "upstream_full"
        yield
    finally:
        slow.cancel()
        await asyncio.gather(slow, return_exceptions=True)


async def _asked(client: McpClient) -> dict[str, Any]:
    """The request that brings the answers to what the client was asked."""
    first = Conversation()
    await client.once(first, "tools/call", ELICIT)
    answers = {name: ANSWERS[one["method"]] for name, one in first.result["inputRequests"].items()}
    return {**ELICIT, "inputResponses": answers, "requestState": first.result["requestState"]}


async def _sent(client: McpClient, params: dict[str, Any]) -> Conversation:
    conversation = Conversation()
    await client.once(conversation, "tools/call", params)
    return conversation


async def test_the_answer_to_a_held_call_is_taken_where_others_have_taken_all_places(
    sqlite_url: str, tmp_path: Path
) -> None:
    """Ours: the call lent its place to them, and goes on at once; nobody is asked again."""
    with talking("2025-11-25") as server:
        async with _one_place(sqlite_url, tmp_path, server) as http:
            client = McpClient(http, "2026-07-28")
            answered = await _asked(client)
            async with _taken(http, server):
                done = await asyncio.wait_for(_sent(client, answered), SOON_SECONDS)
            assert done.result["structuredContent"] == ANSWERS["elicitation/create"]


async def test_answers_for_a_stateless_upstream_wait_for_a_place(sqlite_url: str, tmp_path: Path) -> None:
    """2026-07-28, multi-round-trip requests: they come with a request of their own, long after the first has ended."""
    with talking("2026-07-28") as server:
        async with _one_place(sqlite_url, tmp_path, server) as http:
            client = McpClient(http, "2026-07-28")
            answered = await _asked(client)
            async with _taken(http, server):
                sent = asyncio.create_task(_sent(client, answered))
                await asyncio.sleep(0.3)
                assert not sent.done()
            done = await asyncio.wait_for(sent, SOON_SECONDS)
            assert done.result["structuredContent"]["action"] == "accept"


async def test_answers_that_wait_in_vain_may_be_sent_again(
    sqlite_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ours: the error says so, nothing was counted, and the state that the client has is as good as before."""
    monkeypatch.setattr("bifrost.gateway.places.ANSWER_SECONDS", 0.05)
    with talking("2026-07-28") as server:
        async with _one_place(sqlite_url, tmp_path, server) as http:
            client = McpClient(http, "2026-07-28")
            answered = await _asked(client)
            async with _taken(http, server):
                for _ in range(2):
                    refused = await _sent(client, answered)
                    assert (refused.error["code"], refused.error["data"]["code"]) == (-32000, "upstream_full")
                    assert refused.error["message"].endswith(
                        "The answers are not lost: send the same request again in a moment."
                    )
                    assert refused.error["data"]["retry_after"] == 1
            async with asyncio.timeout(SOON_SECONDS):
                while (done := await _sent(client, answered)).error is not None:  # noqa: ASYNC110 - a place elsewhere
                    await asyncio.sleep(0.02)
            assert done.result["structuredContent"]["action"] == "accept"


@pytest.mark.parametrize("revision", REVISIONS)
async def test_an_older_client_that_has_answered_is_not_refused_for_who_came_meanwhile(
    sqlite_url: str, tmp_path: Path, revision: str
) -> None:
    """Ours: it could not send its answer a second time."""
    with talking(revision) as server:
        async with _one_place(sqlite_url, tmp_path, server) as http, AsyncExitStack() as stack:

            class Answers(McpClient):
                async def answer(self, said: dict[str, Any]) -> None:
                    await stack.enter_async_context(_taken(http, server))
                    await super().answer(said)

            client = Answers(http, "2025-11-25")
            await client.open()
            done = await client.request("tools/call", ELICIT)
            assert done.error is None
            assert done.result["structuredContent"]["action"] == "accept"


async def test_the_limit_is_set_by_the_administrator_and_felt_at_once(sqlite_url: str, tmp_path: Path) -> None:
    """Contract §9, as the other members of an upstream."""
    with hostile() as full:
        async with with_upstreams(sqlite_url, tmp_path, upstream("full", full.url)) as running:
            [client] = (await api(running, "GET", "/api/mcp/clients")).json()["clients"]
            assert client["config"]["max_concurrent_calls"] == 100
            path = f"/api/mcp/client/{client['config']['client_id']}"
            for wrong in (-1, 10_001):
                assert (await api(running, "PUT", path, {"max_concurrent_calls": wrong})).status_code == 400
            assert (await api(running, "PUT", path, {"max_concurrent_calls": 2})).status_code == 200
            full.script["tools/call"] = NEVER
            async with _hanging(running, full, 2):
                _busy(await call(running.http, "full-read"))
