"""Keeping what is known of upstreams fresh, by one process at a time (contract §§8, 9)."""

import asyncio
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from bifrost.upstreams.upkeep import CHECK_SECONDS, LEASE_SECONDS, SYNC_SECONDS
from tests.flows import _administration as admin
from tests.support.clock import FakeClock
from tests.support.gateway import TestGateway, running_gateway, upstream
from tests.support.mcp_upstream import McpUpstream, tool
from tests.support.oauth_upstream import OAuthUpstream
from tests.support.servers import serving

pytestmark = pytest.mark.anyio


@pytest.fixture
def plain() -> Iterator[tuple[McpUpstream, str]]:
    made = McpUpstream()
    with serving(made.app()) as origin:
        yield made, f"{origin}/mcp"


async def _after(running: TestGateway, seconds: float) -> dict[str, Any]:
    """The only upstream, after so long and one look at what is due."""
    running.clock.advance(seconds=seconds)
    await running.gateway.upkeep.once()
    (client,) = await admin.clients(running)
    return client


async def test_an_upstream_of_the_file_is_seen_soon_after_the_start(
    sqlite_url: str, tmp_path: Path, plain: tuple[McpUpstream, str]
) -> None:
    """Contract §8: states."""
    async with running_gateway(sqlite_url, tmp_path, mcp={"client_configs": [upstream("plain", plain[1])]}) as running:
        (client,) = await admin.clients(running)
        assert (client["state"], client["state_reason"]) == ("disconnected", "It has not been contacted yet.")
        client = await _after(running, 0)
        assert (client["state"], [found["name"] for found in client["tools"]]) == ("connected", ["one"])


async def test_tools_are_looked_at_again_at_the_interval_and_a_ping_is_enough_in_between(
    running: TestGateway, plain: tuple[McpUpstream, str]
) -> None:
    """Contract §9: `tool_sync_interval`, `is_ping_available`."""
    server, url = plain
    await admin.add(running, "plain", url)
    await _after(running, 0)
    server.methods.clear()
    await _after(running, CHECK_SECONDS)
    assert (server.asked("ping"), server.asked("tools/list")) == (1, 0)
    server.tools = [tool("two")]
    with capture_logs() as logs:
        client = await _after(running, SYNC_SECONDS)
    assert server.asked("tools/list") == 1
    drift = [line for line in logs if line["event"] == "upstream_tools_changed"]
    assert [(line["added"], line["removed"]) for line in drift] == [(("two",), ("one",))]
    assert [(found["name"], found["gone_at"] is None) for found in client["tools"]] == [("one", False), ("two", True)]


@pytest.mark.parametrize(
    ("members", "lists", "pings"),
    [
        ({"tool_sync_interval": 60}, 10, 0),
        ({"tool_sync_interval": 300}, 2, 8),
        ({"tool_sync_interval": -1}, 0, 10),
        ({"tool_sync_interval": -1, "is_ping_available": False}, 0, 0),
        ({"is_ping_available": False}, 10, 0),
    ],
    ids=["every-minute", "every-five", "never", "not-at-all", "without-ping"],
)
async def test_an_upstreams_own_interval_counts(
    running: TestGateway, plain: tuple[McpUpstream, str], members: dict[str, Any], lists: int, pings: int
) -> None:
    """Contract §9: seconds; 0 is the usual interval, less than 0 never."""
    server, url = plain
    await admin.add(running, "plain", url, **members)
    await _after(running, 0)
    server.methods.clear()
    for _ in range(10):
        await _after(running, 60)
    assert (server.asked("tools/list"), server.asked("ping")) == (lists, pings)


async def test_one_whose_tools_nobody_looks_at_says_so(
    sqlite_url: str, tmp_path: Path, plain: tuple[McpUpstream, str]
) -> None:
    """Contract §8: `pending_tools`."""
    entry = upstream("plain", plain[1], tool_sync_interval=-1)
    async with running_gateway(sqlite_url, tmp_path, mcp={"client_configs": [entry]}) as running:
        client = await _after(running, 0)
        assert (client["state"], client["tools"]) == ("pending_tools", [])
        assert "refresh-tools" in client["state_reason"]
        await admin.api(running, "POST", f"/api/mcp/client/{client['config']['client_id']}/refresh-tools")
        client = await _after(running, CHECK_SECONDS)
        assert (client["state"], len(client["tools"])) == ("connected", 1)


async def test_what_happens_to_an_upstream_is_told_once(running: TestGateway, plain: tuple[McpUpstream, str]) -> None:
    """Contract §8: states; state transitions logged once each."""
    server, url = plain
    await admin.add(running, "plain", url)
    await _after(running, 0)
    with capture_logs() as logs:
        server.status = 503
        for _ in range(3):
            client = await _after(running, CHECK_SECONDS)
        assert (client["state"], client["state_reason"]) == ("disconnected", "plain failed (HTTP 503).")
        server.status, server.error = 200, {"code": -32603, "message": "broken\x00 inside" + "x" * 1_000}
        for _ in range(15):
            client = await _after(running, CHECK_SECONDS)
        assert client["state"] == "error"
        assert client["state_reason"].startswith("It answered with an error: broken inside")
        assert len(client["state_reason"]) <= 300
        server.error = None
        for _ in range(15):
            client = await _after(running, CHECK_SECONDS)
        assert (client["state"], client["state_reason"]) == ("connected", "")
    changes = [line["state"] for line in logs if line["event"] == "upstream_state"]
    assert changes[0] == "disconnected"
    assert changes[-1] == "connected"
    assert all(one != other for one, other in itertools.pairwise(changes))


async def test_of_many_processes_one_looks(
    database_url: str, tmp_path: Path, plain: tuple[McpUpstream, str], clock: FakeClock
) -> None:
    """Contract §8: over all replicas."""
    server, url = plain
    entries = {"client_configs": [upstream("plain", url)]}
    async with (
        running_gateway(database_url, tmp_path, clock=clock, mcp=entries) as first,
        running_gateway(database_url, tmp_path, clock=clock, mcp=entries) as second,
    ):
        await asyncio.gather(*(running.gateway.upkeep.once() for running in (first, second) * 4))
        assert server.asked("tools/list") == 1
        clock.advance(seconds=SYNC_SECONDS)
        await asyncio.gather(*(running.gateway.upkeep.once() for running in (first, second) * 4))
        assert server.asked("tools/list") == 2


async def test_when_the_one_that_looked_has_died_another_takes_over(
    running: TestGateway, plain: tuple[McpUpstream, str]
) -> None:
    """Contract §8: the right to look is a lease."""
    server, url = plain
    added = await admin.add(running, "plain", url)
    server.methods.clear()
    store, now = running.gateway.upkeep.store, running.clock.now()
    assert await store.claim_check(added["mcp_client_id"], now + LEASE_SECONDS * 1_000, now)
    await _after(running, LEASE_SECONDS - 1)
    assert server.methods == []
    await _after(running, 1)
    assert server.asked("ping") == 1


async def test_a_slow_upstream_holds_nobody_up(running: TestGateway, plain: tuple[McpUpstream, str]) -> None:
    """Ours: one that is away does not keep the others from being seen."""
    await admin.add(running, "away", "http://127.0.0.1:1/mcp")
    await admin.add(running, "plain", plain[1])
    await running.gateway.upkeep.once()
    states = {client["config"]["name"]: client["state"] for client in await admin.clients(running)}
    assert states == {"away": "disconnected", "plain": "connected"}


async def test_where_everybody_has_their_own_account_nothing_is_asked_without_an_administrators(
    sqlite_url: str, tmp_path: Path
) -> None:
    """Contract §9: the credential of the administrator is for this alone."""
    guarded = OAuthUpstream()
    with admin.guarded(guarded):
        declared = upstream("guarded", guarded.url, auth_type="per_user_oauth")
        async with running_gateway(sqlite_url, tmp_path, mcp={"client_configs": [declared]}) as running:
            client = await _after(running, 0)
            assert (client["state"], guarded.presented) == ("pending_verification", [])
            path = f"/api/mcp/client/{client['config']['client_id']}/initiate-verification"
            await admin.signed_in(running, (await admin.api(running, "POST", path)).json())
            guarded.access.clear()
            guarded.refresh.clear()
            client = await _after(running, SYNC_SECONDS)
            assert client["state"] == "needs_reauth"
            assert client["state_reason"] == "The service no longer accepts the sign-in."


async def test_nothing_is_asked_of_a_disabled_upstream(running: TestGateway, plain: tuple[McpUpstream, str]) -> None:
    """Contract §8: `disabled`."""
    await admin.add(running, "plain", plain[1], disabled=True)
    client = await _after(running, SYNC_SECONDS)
    assert (client["state"], plain[0].methods) == ("disabled", [])
