"""What one caller's view of an upstream costs the others, and what is kept of all of them."""

import asyncio
from dataclasses import dataclass, field
from typing import Any, cast

import pytest
from msgspec import Raw

from bifrost.gateway import catalog as catalog_module
from bifrost.gateway import patience
from bifrost.gateway.catalog import Catalog
from bifrost.gateway.models import TOOLS, Kind
from bifrost.identity.models import Identity
from bifrost.upstreams.errors import ConnectionRequired
from bifrost.upstreams.links.base import Peer
from bifrost.upstreams.models import AuthType, Upstream
from tests.support.clock import FakeClock

pytestmark = pytest.mark.anyio

ANNA, BERT = Identity("user", "anna"), Identity("user", "bert")


@dataclass
class Sessions:
    """Hangs for some; answers others with a tool as long as it is told."""

    hangs_for: set[str] = field(default_factory=set)
    length: int = 1
    unconnected: set[str] = field(default_factory=set)

    def peer(self, upstream: Upstream, identity: Identity) -> Peer:
        return Peer(upstream=upstream, identity=identity, owner=identity.id)

    async def request(self, peer: Peer, *_arguments: Any, **_named: Any) -> Raw:
        if peer.identity.id in self.hangs_for:
            await asyncio.Event().wait()
        if peer.identity.id in self.unconnected:
            raise ConnectionRequired(peer.upstream.id, peer.upstream.name, "oauth")
        return Raw(b'{"tools":[{"name":"t","description":"%s"}]}' % (b"x" * self.length))


def made(sessions: Sessions, clock: FakeClock) -> Catalog:
    nothing = cast(Any, None)
    return Catalog(nothing, nothing, cast(Any, sessions), clock)


def upstream(auth_type: AuthType, name: str = "up") -> Upstream:
    return Upstream(
        id=name, name=name, endpoint_slug=name, connection_type="http", connection_string="https://up.example/mcp",
        auth_type=auth_type, tools_to_execute=("*",), allow_on_all_virtual_keys=True, tool_execution_timeout=30,
        disabled=False,
    )  # fmt: skip


async def test_one_persons_account_that_hangs_hides_the_upstream_from_nobody_else(
    clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Contract §8: with accounts of their own, people have nothing to do with each other."""
    monkeypatch.setattr(patience, "BUDGET_SECONDS", 0.01)
    monkeypatch.setattr(patience, "GLANCE_SECONDS", 0.0)
    theirs, catalog = upstream("per_user_headers"), made(Sessions(hangs_for={"anna"}), clock)
    assert await catalog.listed(theirs, ANNA, TOOLS) is None
    monkeypatch.setattr(patience, "BUDGET_SECONDS", 5)
    assert list(cast(Any, await catalog.listed(theirs, BERT, TOOLS)).entries) == ["t"]
    async with asyncio.timeout(1):
        assert await catalog.listed(theirs, ANNA, TOOLS) is None, "she waits once, and then for nothing"


async def test_a_shared_upstream_that_hangs_is_waited_for_by_one(
    clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Contract §7: lists return the rest."""
    monkeypatch.setattr(patience, "BUDGET_SECONDS", 0.01)
    shared, catalog = upstream("none"), made(Sessions(hangs_for={"anna", "bert"}), clock)
    assert await catalog.listed(shared, ANNA, TOOLS) is None
    monkeypatch.setattr(patience, "BUDGET_SECONDS", 60)
    async with asyncio.timeout(5):
        assert await catalog.listed(shared, BERT, TOOLS) is None


async def test_what_is_kept_of_all_upstreams_has_a_limit_in_bytes(
    clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The oldest list goes first, and comes back when it is asked for."""
    monkeypatch.setattr(catalog_module, "MAX_LISTED_BYTES", 700)
    catalog = made(Sessions(length=300), clock)
    upstreams = [upstream("none", f"up{number}") for number in range(5)]
    for one in upstreams:
        await catalog.entries(one, ANNA, TOOLS)
        await catalog.entries(one, BERT, TOOLS)
    kept = [one.name for one in upstreams if catalog.at_hand(one, ANNA, TOOLS) is not None]
    assert kept == ["up3", "up4"]
    assert catalog._size == sum(listing.size for listing in catalog._listings.values())
    assert await catalog.entries(upstreams[0], ANNA, TOOLS)


async def test_a_list_is_another_one_once_its_account_is_connected_and_when_it_is_no_more(clock: FakeClock) -> None:
    """2025-11-25, tools: the service's own tools stand where the one that connects stood; whose list it is hears of it."""
    sessions, told = Sessions(unconnected={"anna"}), list[tuple[str, Kind, str]]()
    theirs, catalog = upstream("per_user_oauth"), made(sessions, clock)
    catalog.changed = lambda *what: told.append(what)
    for _ in range(2):
        assert isinstance(await catalog.listed(theirs, ANNA, TOOLS), ConnectionRequired)
    await catalog.listed(theirs, BERT, TOOLS)
    assert told == []
    sessions.unconnected.clear()
    for _ in range(2):
        assert await catalog.entries(theirs, ANNA, TOOLS)
    assert told == [("up", TOOLS, "user:anna")]
    sessions.unconnected.add("anna")
    for _ in range(2):
        clock.advance(seconds=60)
        assert isinstance(await catalog.listed(theirs, ANNA, TOOLS), ConnectionRequired)
    assert told == [("up", TOOLS, "user:anna")] * 2
