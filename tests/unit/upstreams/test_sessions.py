"""Links to upstreams: whose they are, when they end, and which of them make room (contract §8)."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import Any, cast

import pytest
from msgspec import Raw

from bifrost.identity.models import Identity
from bifrost.upstreams import kept_links
from bifrost.upstreams.auth.none import NoAuth
from bifrost.upstreams.errors import UpstreamUnavailable
from bifrost.upstreams.links.base import NO_FIELDS, Facts, Fields, Nobody, Params, Peer, Requester
from bifrost.upstreams.links.http import HttpChannel
from bifrost.upstreams.models import Upstream
from bifrost.upstreams.sessions import UpstreamSessions

pytestmark = pytest.mark.anyio

FRESH_SECONDS = 0.02
ANNA = Identity("user", "anna")
UPSTREAM = Upstream(
    id="up_1", name="notes", endpoint_slug="notes", connection_type="http", connection_string="https://up.example/mcp",
    auth_type="none", tools_to_execute=(), allow_on_all_virtual_keys=False, tool_execution_timeout=30, disabled=False,
)  # fmt: skip
MOVED = replace(UPSTREAM, connection_string="https://elsewhere.example/mcp")


@dataclass(eq=False)
class FakeLink:
    peer: Peer
    goes_on: asyncio.Event
    closed: bool = False
    facts: Facts = field(default_factory=lambda: Facts(version="2025-11-25"))

    async def request(
        self, method: str, params: Params, requester: Requester, seconds: float, fields: Fields = NO_FIELDS
    ) -> Raw:
        if method == "slow":
            await self.goes_on.wait()
        assert not self.closed
        return Raw(b"{}")

    async def notify(self, method: str, params: Params) -> None: ...

    async def listen(self, uris: tuple[str, ...], requester: Requester) -> None:
        await asyncio.Event().wait()

    async def close(self) -> None:
        self.closed = True


class World:
    """Sessions whose links are made here, as soon as they may be."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.links: list[FakeLink] = []
        self.may_open, self.goes_on = asyncio.Event(), asyncio.Event()
        self.may_open.set()
        monkeypatch.setattr(UpstreamSessions, "_open_http", self._opener())
        self.sessions = UpstreamSessions(cast(Any, None), {"none": NoAuth()})

    def _opener(self) -> Callable[[UpstreamSessions, HttpChannel], Awaitable[FakeLink]]:
        async def opened(_sessions: UpstreamSessions, channel: HttpChannel) -> FakeLink:
            await self.may_open.wait()
            self.links.append(FakeLink(channel.peer, self.goes_on))
            return self.links[-1]

        return opened

    def peer(self, session: str = "", upstream: Upstream = UPSTREAM) -> Peer:
        return self.sessions.peer(upstream, ANNA, session=session)

    async def ask(self, peer: Peer, method: str = "quick") -> Raw:
        return await self.sessions.request(peer, method, {}, seconds=5)

    def begin(self, peer: Peer) -> "asyncio.Task[Raw]":
        return asyncio.create_task(self.ask(peer, "slow"))

    def listen(self, peer: Peer) -> "asyncio.Task[None]":
        return asyncio.create_task(self.sessions.listen(peer, (), Nobody()))

    @property
    def open_to(self) -> list[str]:
        return [link.peer.session for link in self.links if not link.closed]


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setattr(kept_links, "MAX_LINKS_OF_ONE_OWNER", 3)
    monkeypatch.setattr(kept_links, "FRESH_SECONDS", FRESH_SECONDS)
    return World(monkeypatch)


async def settled() -> None:
    """Everything that was begun has gone as far as it can, and no link is new any more."""
    await asyncio.sleep(FRESH_SECONDS * 2)


async def test_a_link_that_is_opened_while_its_session_ends_is_closed(world: World) -> None:
    """2025-11-25, transports: with the session everything of it ends."""
    world.may_open.clear()
    asked = asyncio.create_task(world.ask(world.peer("s1")))
    await settled()
    world.sessions.leave("s1")
    world.may_open.set()
    with pytest.raises(UpstreamUnavailable, match="ended"):
        await asked
    await settled()
    assert [link.closed for link in world.links] == [True]
    with pytest.raises(UpstreamUnavailable, match="ended"):
        await world.ask(world.peer("s1"))
    assert len(world.links) == 1
    assert await world.ask(world.peer("s2")) == Raw(b"{}")


async def test_whatever_is_at_work_does_not_make_room(world: World) -> None:
    """The oldest link that is not used goes first."""
    calls = [world.begin(world.peer(f"busy{number}")) for number in range(2)]
    await settled()
    for number in range(4):
        await world.ask(world.peer(f"s{number}"))
        await settled()
    assert world.open_to == ["busy0", "busy1", "s3"]
    world.goes_on.set()
    assert await asyncio.gather(*calls) == [Raw(b"{}")] * 2


async def test_when_all_are_at_work_the_oldest_is_closed_after_its_work(world: World) -> None:
    """A bound is one, and nobody's call is broken off for it."""
    calls = [world.begin(world.peer(f"busy{number}")) for number in range(4)]
    await settled()
    assert world.open_to == ["busy0", "busy1", "busy2", "busy3"]
    world.goes_on.set()
    assert await asyncio.gather(*calls) == [Raw(b"{}")] * 4
    await settled()
    assert world.open_to == ["busy1", "busy2", "busy3"]
    assert not world.sessions._links._given_up and not world.sessions._links._working  # noqa: PT018


async def test_a_listener_whose_link_makes_room_ends_in_peace(world: World) -> None:
    """Else it would take the place of the next one, and so on for ever."""
    listening = []
    for number in range(4):
        listening.append(world.listen(world.peer(f"s{number}")))
        await settled()
    await asyncio.wait_for(listening[0], 5)
    assert [one.done() for one in listening] == [True, False, False, False]
    assert world.open_to == ["s1", "s2", "s3"]
    for one in listening:
        one.cancel()
    await settled()
    assert not world.sessions._links._listening and not world.sessions._links._evicted  # noqa: PT018


@pytest.mark.parametrize("enabled", [[], [MOVED]])
async def test_links_to_what_is_not_configured_so_any_more_end(world: World, enabled: list[Upstream]) -> None:
    """Contract §6: a deleted upstream is felt within a second; what runs is finished."""
    call, listening = world.begin(world.peer("busy")), world.listen(world.peer("s1"))
    await settled()
    world.sessions.retire([UPSTREAM])
    await settled()
    assert not listening.done()
    world.sessions.retire(enabled)
    with pytest.raises(UpstreamUnavailable, match="no longer knows"):
        await asyncio.wait_for(listening, 5)
    assert world.open_to == ["busy"]
    world.goes_on.set()
    assert await call == Raw(b"{}")
    await settled()
    assert world.open_to == []


async def test_a_change_of_configuration_while_a_link_is_opened_leaves_one_link(world: World) -> None:
    """Whoever opens in the new configuration does not get what was begun in the old one."""
    world.may_open.clear()
    asked = [asyncio.create_task(world.ask(world.peer("s1", upstream))) for upstream in (UPSTREAM, MOVED)]
    await settled()
    world.may_open.set()
    assert await asyncio.gather(*asked) == [Raw(b"{}")] * 2
    await settled()
    assert [link.peer.upstream for link in world.links if not link.closed] == [MOVED]


async def test_a_call_at_work_outlives_a_change_of_configuration(world: World) -> None:
    """An administrator who edits an upstream breaks nothing off."""
    call = world.begin(world.peer())
    await settled()
    await world.ask(world.peer(upstream=MOVED))
    world.goes_on.set()
    assert await call == Raw(b"{}")
    await settled()
    assert [link.peer.upstream for link in world.links if not link.closed] == [MOVED]


async def test_a_link_stays_when_only_what_was_seen_of_its_upstream_changes(world: World) -> None:
    """Contract §8: a state tells administrators what was seen last; to be reached in another way is another thing."""
    seen = replace(UPSTREAM, state="connected", tool_execution_timeout=5)
    assert seen.way is UPSTREAM.way
    assert MOVED.way != UPSTREAM.way
    for upstream in (UPSTREAM, seen, UPSTREAM, MOVED, seen):
        await world.ask(world.peer("s", upstream))
    await settled()
    assert [link.closed for link in world.links] == [True, True, False]


async def test_an_upstream_that_hangs_keeps_no_other_from_hearing_what_a_client_says(world: World) -> None:
    """Contract §7: what one upstream does costs nothing at another one."""
    heard: list[tuple[str, str]] = []

    class Hears(FakeLink):
        async def notify(self, method: str, params: Params) -> None:
            await self.request(method, params, Nobody(), 1)

        async def request(self, method: str, *_more: Any) -> Raw:
            if self.peer.upstream == UPSTREAM:
                await self.goes_on.wait()
            heard.append((self.peer.upstream.name, method))
            return Raw(b"{}")

    other = replace(UPSTREAM, id="up_2", name="other")
    for one in (UPSTREAM, other):
        await world.ask(world.peer("s1", one))
    for link in world.links:
        link.facts = Facts(version="2025-11-25", capabilities={"logging": {}})
        link.__class__ = Hears
    telling = [
        asyncio.create_task(world.sessions.tell("s1", "notifications/roots/list_changed", {})),
        asyncio.create_task(world.sessions.set_level("s1", "error")),
    ]
    await settled()
    assert heard == [("other", "notifications/roots/list_changed"), ("other", "logging/setLevel")]
    world.goes_on.set()
    await asyncio.gather(*telling)
