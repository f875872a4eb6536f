"""Sessions with upstreams end when nobody uses them, and begin again by themselves (2025-11-25, session management)."""

import asyncio
from pathlib import Path

import pytest

from tests.flows._hostile_upstream import Answer, HostileUpstream, hostile
from tests.flows._mcp import KEY, ask, call, result_of, with_upstreams
from tests.support.clock import FakeClock
from tests.support.gateway import upstream
from tests.support.servers import until

pytestmark = pytest.mark.anyio

MINUTE = 60
GREETING = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}}


@pytest.fixture(autouse=True)
def looking_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bifrost.upstreams.sessions.LOOK_SECONDS", 0.01)


def _ended(server: HostileUpstream) -> set[str | None]:
    """Sessions that the gateway has ended: DELETE has no body."""
    return {seen.header("mcp-session-id") for seen in server.seen if not seen.body}


def _of_calls(server: HostileUpstream) -> list[str | None]:
    return [seen.header("mcp-session-id") for seen in server.requests("tools/call")]


async def test_a_session_that_nobody_uses_is_ended_and_the_next_call_begins_another(
    sqlite_url: str, tmp_path: Path
) -> None:
    """Ours: half an hour, for the gateway's own as for those of clients; what is used stays."""
    clock = FakeClock()
    with hostile(era="legacy", sessions=True) as server, hostile(era="legacy", sessions=True) as used:
        entries = (upstream("up", server.url), upstream("used", used.url))
        async with with_upstreams(sqlite_url, tmp_path, *entries, clock=clock) as running:
            begun = await ask(running.http, "initialize", GREETING)
            session = {**KEY, "Mcp-Session-Id": begun.headers["mcp-session-id"]}
            result_of(await call(running.http, "up-read", headers=session))
            result_of(await call(running.http, "used-read", headers=session))
            clock.advance(seconds=29 * MINUTE)
            result_of(await call(running.http, "used-read", headers=session))
            await asyncio.sleep(0.1)
            assert not _ended(server)
            clock.advance(seconds=MINUTE)
            await until(lambda: _of_calls(server)[0] in _ended(server))
            for name in ("used-read", "up-read"):
                result_of(await call(running.http, name, headers=session))
            assert len(set(_of_calls(used))) == 1
            assert len(set(_of_calls(server))) == 2


async def test_a_session_in_which_a_call_runs_is_not_idle(sqlite_url: str, tmp_path: Path) -> None:
    """Ours: however long it takes."""
    clock = FakeClock()
    with hostile(era="legacy", sessions=True) as server:
        async with with_upstreams(sqlite_url, tmp_path, upstream("up", server.url), clock=clock) as running:
            begun = await ask(running.http, "initialize", GREETING)
            session = {**KEY, "Mcp-Session-Id": begun.headers["mcp-session-id"]}
            result_of(await call(running.http, "up-read", headers=session))
            server.script["tools/call"] = Answer(ending="never")
            task = asyncio.create_task(call(running.http, "up-read", headers=session))
            await until(lambda: len(server.requests("tools/call")) == 2)
            clock.advance(seconds=31 * MINUTE)
            await asyncio.sleep(0.1)
            assert _of_calls(server)[0] not in _ended(server)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
