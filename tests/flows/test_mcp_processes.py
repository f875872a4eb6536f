"""Several processes and no sticky sessions (contract §10): whichever of them a request reaches, it is right."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest

from bifrost.base.clock import Clock
from tests.support.gateway import upstream
from tests.support.mcp_client import ANSWERS, Conversation, McpClient, gateway_on_a_port
from tests.support.servers import NO_AUTHORITIES, until
from tests.support.talking_upstream import TalkingUpstream, talking

pytestmark = pytest.mark.anyio

OLDER, MODERN = "2025-11-25", "2026-07-28"


@asynccontextmanager
async def two_processes(
    database_url: str, tmp_path: Path, server: TalkingUpstream, clock: Clock | None = None
) -> AsyncIterator[list[httpx2.AsyncClient]]:
    """As two workers are for the database: nothing in memory is shared between them."""
    sections: dict[str, Any] = {
        "mcp": {"client_configs": [upstream("up", server.url)]},
        "server": {"workers": 2},
    }
    async with AsyncExitStack() as stack:
        yield [
            await stack.enter_async_context(gateway_on_a_port(database_url, tmp_path, clock=clock, **sections))
            for _ in range(2)
        ]


async def test_an_answer_finds_its_question_in_another_process(database_url: str, tmp_path: Path) -> None:
    """Contract §10: and so does a cancellation; the session ends everywhere."""
    with talking(OLDER) as server:
        async with two_processes(database_url, tmp_path, server) as (first, second):

            class Elsewhere(McpClient):
                async def answer(self, said: dict[str, Any]) -> None:
                    await there.answer(said)

            client = McpClient(first, OLDER)
            await client.open()
            here = Elsewhere(first, OLDER, session=client.session)
            there = McpClient(second, OLDER, session=client.session)
            result = (await here.request("tools/call", {"name": "up-elicit"})).result
            assert result["structuredContent"] == ANSWERS["elicitation/create"]

            call = asyncio.create_task(client.request("tools/call", {"name": "up-slow"}))
            await until(lambda: any(one["params"]["name"] == "slow" for one in server.requests("tools/call")))
            await there.tell("notifications/cancelled", {"requestId": client.last_id})
            await call
            await until(lambda: server.cancelled)

            await there.request("logging/setLevel", {"level": "error"})
            await until(lambda: server.requests("logging/setLevel"))
            assert (await second.delete("/mcp", headers=there.headers("", {}))).status_code == 204
            async with asyncio.timeout(10):
                while (await client.request("ping")).status != 404:  # noqa: ASYNC110 - what another process knows
                    await asyncio.sleep(0.05)


@pytest.mark.parametrize("revision", [OLDER, MODERN])
async def test_a_question_to_a_stateless_client_is_answered_to_another_process(
    database_url: str, tmp_path: Path, revision: str
) -> None:
    """Contract §7, 2026-07-28 base: no request depends on which process had the last one."""
    with talking(revision) as server:
        async with two_processes(database_url, tmp_path, server) as (first, second):
            here, there = McpClient(first, MODERN), McpClient(second, MODERN)
            params = {"name": "up-sample", "arguments": {}}
            asked, done = Conversation(), Conversation()
            await here.once(asked, "tools/call", params)
            answers = dict.fromkeys(asked.result["inputRequests"], ANSWERS["sampling/createMessage"])
            again = {**params, "inputResponses": answers, "requestState": asked.result["requestState"]}
            await there.once(done, "tools/call", again)
            assert done.result["structuredContent"]["model"] == "m"
            over = Conversation()
            if revision == OLDER:
                await there.once(over, "tools/call", again)
                assert over.error["code"] == -32602


async def test_a_session_that_ended_stays_ended_after_a_restart(database_url: str, tmp_path: Path) -> None:
    """V4, 2025-11-25, transports: a session that was ended is a 404 for ever; another one goes on."""
    with talking(OLDER) as server:
        sections = {"mcp": {"client_configs": [upstream("up", server.url)]}}
        ended, alive = (McpClient(httpx2.AsyncClient(verify=NO_AUTHORITIES), OLDER) for _ in range(2))
        async with gateway_on_a_port(database_url, tmp_path, **sections) as http:
            for client in (ended, alive):
                await client.http.aclose()
                client.http = http
                await client.open()
            await http.delete("/mcp", headers=ended.headers("", {}))
        async with gateway_on_a_port(database_url, tmp_path, **sections) as http:
            ended.http = alive.http = http
            assert (await ended.request("ping")).status == 404
            assert (await alive.request("tools/call", {"name": "up-echo"})).error is None
