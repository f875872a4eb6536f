"""What is heard for sessions ends when nobody is there, and what they subscribed to is remembered within measure."""

from typing import Any, cast

import msgspec
import pytest

from bifrost.gateway import attended
from bifrost.gateway.attended import AttendedSessions
from bifrost.gateway.attention import Attention
from bifrost.identity.models import Identity
from bifrost.upstreams.links.base import Facts, Peer
from tests.support.clock import FakeClock
from tests.unit.upstreams.links._peer import peer

URIS = ("notes:///a",)
MINUTE = 60


class Listener:
    in_vain = True

    def end(self) -> None:
        """It is no task here."""


class World:
    """Nobody is there, nothing is asked, and what begins to listen listens."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.present: set[str] = set()
        self.asked: set[str] = set()
        self.version = ""
        self.heard: list[tuple[str, tuple[str, ...], str]] = []
        self.forgotten: list[tuple[str, str]] = []
        self.attended = AttendedSessions(
            cast("Any", self),
            cast("Any", self),
            clock,
            self.hears,
            self.listens,
            lambda *what: self.forgotten.append(what),
        )

    async def facts(self, _peer: Peer) -> Facts:
        return Facts(version=self.version)

    def has_left(self, _session: str) -> bool:
        return False

    def rests(self, one: Peer) -> bool:
        return one.session not in self.asked

    def absent(self, sessions: set[str]) -> set[str]:
        return sessions - self.present

    def is_here(self, session: str) -> bool:
        return session in self.present

    def hears(self, _peer: Peer) -> Attention:
        return Attention(cast("Any", None), cast("Any", None))

    def listens(self, peer: Peer, attention: Attention) -> None:
        self.heard.append((peer.session, attention.uris, peer.log_level))
        attention.listeners.append(cast("Any", Listener()))

    def look(self) -> None:
        self.clock.advance(seconds=MINUTE)
        self.attended.look()


@pytest.fixture
def world(clock: FakeClock) -> World:
    return World(clock)


def test_only_what_is_heard_for_nobody_ends(world: World) -> None:
    """Ours: neither for whoever listens nor for whoever asks."""
    world.present, world.asked = {"listens"}, {"asks"}
    for session in ("listens", "asks", "gone"):
        world.attended.attend(peer(session=session), URIS)
    world.look()
    world.heard.clear()
    for session in ("listens", "asks", "gone", "never heard of"):
        world.attended.returned(session)
    assert world.heard == [("gone", URIS, "")]


@pytest.mark.anyio
async def test_a_session_that_had_to_make_room_while_it_subscribed_is_listened_for_again(world: World) -> None:
    """2025-11-25, resources: who was told that they are subscribed hears of it."""
    world.version = "2025-11-25"
    await world.attended.attend_anew(peer(session="s"), URIS)
    assert world.heard == [("s", URIS, "")]
    await world.attended.attend_anew(peer(session="s"), (*URIS, "notes:///b"))
    assert world.heard == [("s", URIS, "")], "one of the older era has been told already"


def test_a_session_that_is_back_has_its_level_and_what_it_wants_now(world: World) -> None:
    """2025-11-25, logging: the level that was set meanwhile, in whichever process."""
    world.attended.attend(peer(session="s"), ("notes:///a", "notes:///b"))
    world.look()
    world.attended.set_level("s", "error")
    world.attended.wants(peer(session="s"), URIS)
    world.heard.clear()
    world.attended.returned("s", {"another"})
    assert not world.heard
    world.attended.returned("s", {peer().upstream.id})
    world.attended.returned("s")
    assert world.heard == [("s", URIS, "error")]


def test_a_new_link_of_a_session_that_is_known_hears_again_and_of_another_one_not(world: World) -> None:
    """Ours: a request is enough to be there."""
    world.attended.attend(peer(session="s"), URIS)
    world.look()
    world.heard.clear()
    world.attended.linked(peer(session="t"))
    world.attended.linked(peer(session="s"))
    world.attended.linked(peer(session="s"))
    assert [session for session, _, _ in world.heard] == ["s"]


def test_what_was_subscribed_to_nothing_is_not_remembered(world: World) -> None:
    """Ours: it is heard again with its next link."""
    world.attended.attend(peer(session="s"))
    world.look()
    world.heard.clear()
    world.attended.returned("s")
    world.attended.linked(peer(session="s"))
    assert not world.heard


def test_nothing_is_remembered_for_longer_than_a_session_can_last(world: World) -> None:
    """Ours: a week."""
    world.attended.attend(peer(session="s"), URIS)
    world.look()
    world.clock.advance(seconds=7 * 24 * 3_600 - 2 * MINUTE)
    world.look()
    assert not world.forgotten
    world.look()
    assert world.forgotten == [("s", peer().upstream.id)]
    world.attended.returned("s")
    assert len(world.heard) == 1


def of(identity: str, session: str) -> Peer:
    return msgspec.structs.replace(peer(session=session), identity=Identity("vk", identity))


def test_nobody_makes_others_be_forgotten(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ours: of one identity's sessions the oldest go first, and of all sessions when they are too many."""
    monkeypatch.setattr(attended, "MAX_RESTING_OF_ONE_IDENTITY", 2)
    monkeypatch.setattr(attended, "MAX_RESTING", 4)
    for identity, session in (("a", "1"), ("b", "2"), ("b", "3"), ("b", "4"), ("a", "5")):
        world.attended.attend(of(identity, session), URIS)
        world.look()
    assert world.forgotten == [("2", peer().upstream.id)]
    for session in ("6", "7"):
        world.attended.attend(of(session, session), URIS)
        world.look()
    assert [session for session, _ in world.forgotten] == ["2", "1", "3"]


@pytest.mark.parametrize(("bound", "rests"), [("MAX_ATTENDED_OF_ONE_IDENTITY", "b2"), ("MAX_ATTENDED", "a1")])
def test_sessions_without_number_take_no_memory_without_measure(
    world: World, monkeypatch: pytest.MonkeyPatch, bound: str, rests: str
) -> None:
    """TC-211: at once, and not at the next look; the oldest first, and none that somebody listens to."""
    monkeypatch.setattr(attended, bound, 3 if bound == "MAX_ATTENDED_OF_ONE_IDENTITY" else 5)
    world.present = {"b1"}
    for session in ("b1", "a1", "b2", "b3", "a2", "b4"):
        world.attended.attend(of(session[0], session), URIS)
    world.heard.clear()
    for session in ("b1", "a1", "b2", "b3", "a2", "b4"):
        world.attended.linked(of(session[0], session))
        if world.heard:
            break
    assert [session for session, _, _ in world.heard] == [rests]


def test_sessions_that_end_make_room(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ours: what is counted is what there is."""
    monkeypatch.setattr(attended, "MAX_ATTENDED_OF_ONE_IDENTITY", 1)
    for session in ("1", "2", "3"):
        world.attended.attend(peer(session=session), URIS)
        world.attended.end(session)
    world.attended.attend(peer(session="4"), URIS)
    world.heard.clear()
    world.attended.returned("4")
    assert not world.heard


def test_a_session_that_ends_leaves_nothing_whether_it_rests_or_not(world: World) -> None:
    """2025-11-25, session management: DELETE."""
    for session in ("rests", "heard"):
        world.attended.attend(peer(session=session), URIS)
        if session == "rests":
            world.look()
        world.attended.end(session)
    world.heard.clear()
    for session in ("rests", "heard"):
        world.attended.returned(session)
        world.attended.linked(peer(session=session))
    assert not world.heard
