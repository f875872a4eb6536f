"""What each session or subscription hears of its own at each upstream, and for how long.

To listen costs an upstream a stream and a session, so it ends when nobody is there to be told: no process has a stream
of the session, and nothing was asked in it, for half an hour. What it was subscribed to is remembered for as long as a
session can last, and subscribed to anew when it comes back.
"""

from collections import Counter, OrderedDict
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

import msgspec
import structlog

from bifrost.base.clock import SECOND, Clock
from bifrost.gateway.attention import Attention
from bifrost.gateway.client_sessions import LIFETIME_MILLISECONDS
from bifrost.gateway.presence import Presence
from bifrost.identity.models import Identity
from bifrost.upstreams.links.base import Peer
from bifrost.upstreams.sessions import UpstreamSessions

LOOK_MILLISECONDS = 60 * SECOND
MAX_ATTENDED = 20_000
MAX_ATTENDED_OF_ONE_IDENTITY = 1_000
"""Of sessions and upstreams. For one more nobody listens any more to the oldest that has no stream here."""

MAX_RESTING = 20_000
MAX_RESTING_OF_ONE_IDENTITY = 1_000
"""Sessions; those that rest longest are forgotten."""

log = structlog.get_logger()

Key = tuple[str, str]
"""Session and upstream."""


@dataclass(frozen=True, slots=True)
class _Attended:
    peer: Peer
    attention: Attention


@dataclass(frozen=True, slots=True)
class _Resting:
    peer: Peer
    uris: tuple[str, ...]
    since: int


@dataclass(slots=True)
class AttendedSessions:
    """`hears` makes what a peer hears with, `listens` begins; `forgotten` is told whose subscriptions are no more."""

    sessions: UpstreamSessions
    presence: Presence
    clock: Clock
    hears: Callable[[Peer], Attention]
    listens: Callable[[Peer, Attention], None]
    forgotten: Callable[[str, str], None] = field(default=lambda _session, _upstream_id: None)
    _attended: dict[Key, _Attended] = field(default_factory=dict)
    """The newest last."""

    _of_one: Counter[Identity] = field(default_factory=Counter)
    """How many of these each identity has."""

    _resting: OrderedDict[str, dict[str, _Resting]] = field(default_factory=OrderedDict)
    """By session, the newest last, and upstream."""

    _looked_at: int = 0

    def attend(self, peer: Peer, uris: tuple[str, ...] = ()) -> None:
        """Hears what an upstream says to this session or subscription, for as long as that lasts."""
        if not peer.session or self.sessions.has_left(peer.session):
            return
        attention = self._attention(peer, uris)
        if not attention.listeners:
            self.listens(peer, attention)

    async def attend_first(self, peer: Peer) -> None:
        """The session is about to subscribe to something there: an upstream may have news of it at once.

        One of the older era tells them to nobody where nobody listens yet. So this returns when it is listened to, or
        has nothing to say, or after a while. A stateless one is told what is wanted by being listened to.

        Raises RpcError, UpstreamUnavailable, ConnectionRequired.
        """
        if not (await self.sessions.facts(peer)).stateless:
            self.attend(peer)
            await self.noticed(peer, stateless=False)

    async def noticed(self, peer: Peer, *, stateless: bool = True) -> None:
        """Waits until the upstream is heard for this session or subscription, for a while."""
        attended = self._attended.get((peer.session, peer.upstream.id))
        if attended:
            await attended.attention.noticed(stateless=stateless)

    async def attend_anew(self, peer: Peer, uris: tuple[str, ...]) -> None:
        """The session has itself just made its subscriptions to be these.

        What listens already hears of them, but for a stateless upstream, which is told by being listened to anew; what
        had to make room meanwhile listens again. Then this returns when it has taken note.

        Raises RpcError, UpstreamUnavailable, ConnectionRequired.
        """
        stateless = (await self.sessions.facts(peer)).stateless
        if self.sessions.has_left(peer.session):
            return  # while it was asked
        attention = self._attention(peer, uris)
        attention.uris = uris
        if stateless and not uris:
            attention.end()
        elif uris and (stateless or not attention.listeners):
            self.listens(peer, attention)
            await attention.noticed(stateless=stateless)

    def linked(self, peer: Peer) -> None:
        """The session has a new link there: what it was subscribed to by the one before is asked for by this one."""
        if (peer.session, peer.upstream.id) in self._attended or peer.upstream.id in self._of(peer.session):
            self.attend(peer)

    def wants(self, peer: Peer, uris: tuple[str, ...]) -> None:
        """Whoever listens anew there asks for these."""
        attended = self._attended.get((peer.session, peer.upstream.id))
        resting = self._of(peer.session).get(peer.upstream.id)
        if attended:
            attended.attention.uris = uris
        elif resting:
            self._resting[peer.session][peer.upstream.id] = replace(resting, uris=uris)

    def returned(self, session: str, upstreams: Collection[str] | None = None) -> None:
        """Somebody is there again: what it is subscribed to is heard again, at these upstreams, or at all."""
        for upstream_id, resting in [*self._of(session).items()]:
            if upstreams is None or upstream_id in upstreams:
                self.attend(resting.peer)

    def set_level(self, session: str, level: str) -> None:
        """Links that are opened when it comes back are opened with this."""
        for upstream_id, resting in self._of(session).items():
            peer = msgspec.structs.replace(resting.peer, log_level=level)
            self._resting[session][upstream_id] = replace(resting, peer=peer)

    def end(self, session: str) -> None:
        self._resting.pop(session, None)
        for key in [key for key in self._attended if key[0] == session]:
            self._leave(key)

    def close(self) -> None:
        for attended in self._attended.values():
            attended.attention.end()

    # ---- nobody is there --------------------------------------------------------------------------------------------

    def look(self) -> None:
        """Once a minute: ends what is heard for nobody, and forgets what nobody can come back for."""
        if self.clock.now() - self._looked_at < LOOK_MILLISECONDS:
            return
        self._looked_at = self.clock.now()
        absent = self.presence.absent({session for session, _ in self._attended})
        for key, attended in [*self._attended.items()]:
            if key[0] in absent and self.sessions.rests(attended.peer):
                self._rest(key, attended)
        self._forget()

    def _rest(self, key: Key, attended: _Attended) -> None:
        self._leave(key)
        if attended.attention.uris:
            resting = self._resting.setdefault(key[0], {})
            resting[key[1]] = _Resting(attended.peer, attended.attention.uris, self.clock.now())
        log.info("session_not_listened_for", upstream=attended.peer.upstream.name)

    def _leave(self, key: Key) -> None:
        attended = self._attended.pop(key)
        attended.attention.end()
        identity = attended.peer.identity
        self._of_one[identity] -= 1
        if not self._of_one[identity]:
            del self._of_one[identity]

    def _make_room(self, added: Key, identity: Identity) -> None:
        """Sessions cost a client nothing, and to be attended takes memory for half an hour."""
        too_many_of_one = self._of_one[identity] > MAX_ATTENDED_OF_ONE_IDENTITY
        if not too_many_of_one and len(self._attended) <= MAX_ATTENDED:
            return
        for key, attended in self._attended.items():
            fits = attended.peer.identity == identity or not too_many_of_one
            if fits and key != added and not self.presence.is_here(key[0]):
                self._rest(key, attended)
                return

    def _forget(self) -> None:
        of_one = Counter[Identity]()
        for count, (session, resting) in enumerate(reversed([*self._resting.items()]), 1):
            newest = max(resting.values(), key=lambda one: one.since)
            identity = newest.peer.identity
            of_one[identity] += 1
            expired = self.clock.now() - newest.since >= LIFETIME_MILLISECONDS
            if expired or count > MAX_RESTING or of_one[identity] > MAX_RESTING_OF_ONE_IDENTITY:
                del self._resting[session]
                for upstream_id in resting:
                    self.forgotten(session, upstream_id)

    def _of(self, session: str) -> Mapping[str, _Resting]:
        return self._resting.get(session, _NONE)

    def _awakened(self, session: str, upstream_id: str) -> tuple[str, ...]:
        """What it was subscribed to."""
        resting = self._resting.get(session, {})
        found = resting.pop(upstream_id, None)
        if not resting:
            self._resting.pop(session, None)
        return found.uris if found else ()

    def _attention(self, peer: Peer, uris: tuple[str, ...]) -> Attention:
        key = (peer.session, peer.upstream.id)
        if key not in self._attended:
            before = self._awakened(*key)
            attention = self.hears(peer)
            attention.uris = uris or before
            self._attended[key] = _Attended(peer, attention)
            self._of_one[peer.identity] += 1
            self._make_room(key, peer.identity)
        return self._attended[key].attention


_NONE: Mapping[str, _Resting] = MappingProxyType({})
