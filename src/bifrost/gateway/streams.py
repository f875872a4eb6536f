"""News that belong to no request: an older client hears them on its GET stream, a stateless one where it subscribed.

Two kinds of listening towards upstreams. Whether a list has changed is the same for all who share the list, so one
listener serves every stream (`_watch`). Updates of resources, logs and questions belong to one session or subscription,
and are heard on that one's own links (`attended.py`), while somebody is there for it (`presence.py`).

A list also changes when an administrator changes what a caller may use, or an upstream: `moved` and `_looked`.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, field

import structlog
from msgspec import Raw

from bifrost.base.errors import StorageFault, Unavailable
from bifrost.gateway.attended import AttendedSessions
from bifrost.gateway.attention import Attention, Listener
from bifrost.gateway.catalog import Catalog, reaches
from bifrost.gateway.gathered import Gathered, News
from bifrost.gateway.letter_limits import LetterLimits, Measure
from bifrost.gateway.letters import Handler, Letters
from bifrost.gateway.lists import opens
from bifrost.gateway.models import TOOLS, Call, Kind
from bifrost.gateway.presence import Presence
from bifrost.gateway.questions import Questions
from bifrost.gateway.stream import CHANGES, Stream
from bifrost.gateway.views import Enabled, Views, by_id, candidates, settings
from bifrost.protocol import jsonrpc, mcp
from bifrost.protocol.jsonrpc import RpcError
from bifrost.upstreams.errors import ConnectionRequired
from bifrost.upstreams.links.base import Peer
from bifrost.upstreams.models import Upstream
from bifrost.upstreams.sessions import UpstreamSessions

MAX_STREAMS = 10_000
MAX_STREAMS_OF_ONE_PRINCIPAL = 64
LOOK_SECONDS = 0.5
FIRST_PAUSE_SECONDS, LAST_PAUSE_SECONDS = 2.0, 60.0

NEWS = "news"
"""A kind of letters."""

NEWS_LETTERS = Measure("news", most=50, seconds=10)
"""That upstreams may cause for one session."""

MAX_NEWS_BYTES = 64 * 1024
"""Of what is said to a session whose stream is elsewhere."""

_Listen = Callable[[Peer], Awaitable[None]]
log = structlog.get_logger()


@dataclass(slots=True)
class _Watch:
    task: "asyncio.Task[None]"
    watchers: set[Stream] = field(default_factory=set)


@dataclass(slots=True)
class Streams:
    catalog: Catalog
    sessions: UpstreamSessions
    questions: Questions
    letters: Letters
    limits: LetterLimits
    shown: Callable[[str, str, str], str] = field(default=lambda _session, _upstream_id, uri: uri)
    """By which URI a session knows an upstream's."""

    _open: dict[Stream, None] = field(default_factory=dict)
    """The newest last."""

    _enabled: Enabled | None = None
    """Upstreams as they were configured at the last look."""

    _gathered: Gathered = field(init=False)
    _watches: dict[tuple[str, str], _Watch] = field(default_factory=dict)
    attended: AttendedSessions = field(init=False)
    presence: Presence = field(init=False)

    def __post_init__(self) -> None:
        self._gathered = Gathered(self._stale, self._announce)
        clock = self.limits.clock
        self.presence = Presence(self.letters, self.limits, clock)
        self.attended = AttendedSessions(self.sessions, self.presence, clock, self._hearing, self._start)
        self.presence.returned = self.attended.returned

    # ---- towards clients --------------------------------------------------------------------------------------------

    async def open(self, stream: Stream) -> None:
        """Raises RpcError: too many are open."""
        reached = await self.catalog.reached(stream.call)
        if self._enabled is None:
            self._enabled = by_id(await self.catalog.upstreams.enabled())
        # counted last: who opens many at once would have them all before one of them counts
        own = sum(1 for other in self._open if other.call.principal == stream.call.principal)
        if len(self._open) >= MAX_STREAMS or own >= MAX_STREAMS_OF_ONE_PRINCIPAL:
            raise RpcError(jsonrpc.SERVER_ERROR, "Too many streams are open.")
        self._open[stream] = None
        of_a_session = stream.subscription is None
        self.presence.comes(stream.session, stream.call.principal, known_elsewhere=of_a_session)
        for upstream in reached:
            self._join(stream, upstream)
        for peer in self.sessions.peers_of(stream.session):
            self.attended.attend(peer)
        self.attended.returned(stream.session, {upstream.id for upstream in reached})

    def leave(self, stream: Stream) -> None:
        if stream in self._open:
            del self._open[stream]
            self.presence.goes(stream.session)
        self._leave_watches(stream, ())

    def _leave_watches(self, stream: Stream, but: Collection[str]) -> None:
        for key, watch in [*self._watches.items()]:
            if key[0] not in but:
                watch.watchers.discard(stream)
            if not watch.watchers:
                watch.task.cancel()
                self._watches.pop(key, None)

    def of_session(self, session: str) -> Stream | None:
        """The newest one: an older client that opens a second means to go on with that."""
        return next((one for one in reversed(self._open) if one.session == session), None) if session else None

    def end_session(self, session: str) -> None:
        self.attended.end(session)
        for stream in self._open:
            if stream.session == session:
                stream.end()

    async def keep_current(self) -> None:
        """Until cancelled: what is heard of an upstream ends within a second of how it was configured (contract §6).

        Nothing ends it but that: without it links would outlast what they were opened under.
        """
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            try:
                await self._look()
            except StorageFault:
                log.warning("upstreams_not_looked_at")
            except Exception:
                log.exception("upstreams_not_looked_at")

    async def _look(self) -> None:
        self.presence.say({stream.session for stream in self._open if stream.subscription is None})
        self.attended.look()
        if self._open:
            self.catalog.upstreams.look_again()  # they would hear of it a second later
        enabled = await self.catalog.upstreams.enabled()
        self.sessions.retire(enabled)
        before, now = self._enabled, by_id(enabled)
        self._enabled = now
        if before is None:
            return
        others = {one for one in before.keys() | now.keys() if settings(before.get(one)) != settings(now.get(one))}
        for stream in [*self._open] if others else ():
            if stream.call.endpoint.only is None:  # else it is told by its own look at the endpoint
                await self._tell_what_changed(stream, (stream.call, before), (stream.call, now), others)

    async def moved(self, stream: Stream, call: Call) -> None:
        """What the stream's caller may use, or its endpoint, is something else now. Raises StorageFault."""
        now = by_id(await self.catalog.upstreams.enabled())
        before, stream.call = stream.call, call
        old, new = candidates(before, now), candidates(call, now)
        await self._tell_what_changed(stream, (before, old), (call, new), old.keys() | new.keys())

    async def _tell_what_changed(
        self, stream: Stream, before: tuple[Call, Enabled], now: tuple[Call, Enabled], ids: Collection[str]
    ) -> None:
        reached = await self.catalog.reached(stream.call)
        if stream not in self._open:
            return
        self._leave_watches(stream, {upstream.id for upstream in reached})
        for upstream in reached:
            self._join(stream, upstream)
        stream.changed(Views(self.catalog).changed(before, now, ids))

    def close(self) -> None:
        """The process stops: every stream ends in good order."""
        self._gathered.close()
        for stream in self._open:
            stream.end()
        for watch in self._watches.values():
            watch.task.cancel()
        self.attended.close()

    # ---- towards upstreams ------------------------------------------------------------------------------------------

    def linked(self, peer: Peer) -> None:
        """A session that has a stream open hears on each of its links, also on those that are opened later."""
        if self.of_session(peer.session) is not None:
            self.attended.attend(peer)
        else:
            self.attended.linked(peer)

    def overheard(self, peer: Peer, method: str, params: dict[str, Raw]) -> dict[str, Raw] | None:
        """An upstream announced a change, on whatever stream.

        What is left to be said on the stream of a call, if it came there; nothing to a session that has a stream here:
        each message goes on one stream only (2025-11-25, transports).
        """
        params = self._named(peer, method, params)
        if method in CHANGES:
            self._gathered.add(peer.upstream.id, method, peer.owner if peer.upstream.per_user else "")
        elif peer.session:
            self._tell(peer, method, params)
        return params if self.of_session(peer.session) is None else None

    def _named(self, peer: Peer, method: str, params: dict[str, Raw]) -> dict[str, Raw]:
        """By the name that the session subscribed by: where two list the same URI, one of them has another here."""
        uri = jsonrpc.text(params.get("uri")) if method == mcp.RESOURCE_UPDATED else None
        return (
            params if uri is None else {**params, "uri": jsonrpc.raw(self.shown(peer.session, peer.upstream.id, uri))}
        )

    def changed(self, upstream_id: str, kind: Kind, owner: str) -> None:
        """The catalog saw that an upstream lists other things than before, though it did not say so."""
        self._announce({(upstream_id, kind.changed, owner)})
        upstream, watch = (self._enabled or {}).get(upstream_id), self._watches.get((upstream_id, owner))
        if owner and upstream and watch:  # the account that was missing may be there now
            for stream in [*watch.watchers]:
                self._join(stream, upstream)

    def _stale(self, upstream_id: str, method: str) -> None:
        self.catalog.stale(upstream_id, method)

    def _announce(self, news: Collection[News]) -> None:
        """Each stream is told once of each kind of lists, however many upstreams changed theirs."""
        due: dict[Stream, set[str]] = {}
        for upstream_id, method, owner in news:
            keys = [(upstream_id, owner)] if owner else [key for key in self._watches if key[0] == upstream_id]
            for stream in {one for key in keys if key in self._watches for one in self._watches[key].watchers}:
                due.setdefault(stream, set()).add(method)
        for stream, methods in due.items():
            stream.changed(methods)

    def _tell(self, peer: Peer, method: str, params: Mapping[str, Raw]) -> None:
        stream = self.of_session(peer.session)
        if stream is None:
            if self.letters.shared:
                self._post(peer, method, params)
        elif self.may_hear(stream, peer.upstream.id, method):
            stream.offer(jsonrpc.notification(method, stream.marked(params)))

    def _post(self, peer: Peer, method: str, params: Mapping[str, Raw]) -> None:
        """To whatever process has its stream. News are no reason to fill a table that all of them read."""
        size = sum(len(bytes(value)) for value in params.values())
        if size <= MAX_NEWS_BYTES and self.limits.has_room(peer.session, NEWS_LETTERS):
            body = {"upstream": peer.upstream.id, "method": method, "params": params}
            self.letters.post(peer.session, NEWS, body)
        else:
            log.info("news_not_passed_on", method=method[:64], bytes=size)

    def may_hear(self, stream: Stream, upstream_id: str, method: str) -> bool:
        """Whether its caller may use the upstream still: a link outlasts what it was opened under (contract §6)."""
        if stream.call.client.modern and method != mcp.RESOURCE_UPDATED:
            return False  # nothing that it did not ask for (2026-07-28, subscriptions)
        if self._enabled is None:
            return True
        upstream = self._enabled.get(upstream_id)
        if upstream is None or upstream_id not in candidates(stream.call, self._enabled):
            return False
        whole = method == mcp.RESOURCE_UPDATED
        return opens(stream.call, upstream) if whole else reaches(stream.call, upstream)

    def reads(self) -> dict[str, Handler]:
        """News for a session whose stream is here, from the process that heard them."""
        return {NEWS: self._news, **self.presence.reads()}

    def _news(self, session: str, body: dict[str, Raw]) -> None:
        stream, method = self.of_session(session), jsonrpc.text(body.get("method"))
        upstream_id = jsonrpc.text(body.get("upstream"))
        if stream and method and upstream_id and self.may_hear(stream, upstream_id, method):
            stream.offer(jsonrpc.notification(method, jsonrpc.object_members(body.get("params"))))

    def _join(self, stream: Stream, upstream: Upstream) -> None:
        if not stream.wants or not (opens(stream.call, upstream) or TOOLS.changed in stream.wants):
            return
        peer = self.catalog.peer(upstream, stream.call.caller.identity)
        key = (upstream.id, peer.owner)
        watchers = self._watches[key].watchers if key in self._watches else set()
        if key not in self._watches or self._watches[key].task.done():
            task = asyncio.create_task(self._persistently(peer, self._watching()))
            self._watches[key] = _Watch(task, watchers)
        watchers.add(stream)

    def _watching(self) -> _Listen:
        async def watch(peer: Peer) -> None:
            with suppress(ConnectionRequired):  # `changed` begins again
                await self.sessions.listen(peer, (), _Hears(self, peer))

        return watch

    def _hearing(self, peer: Peer) -> Attention:
        hears = _Hears(self, peer)
        return Attention(hears.say, hears.ask)

    def _start(self, peer: Peer, attention: Attention) -> None:
        attention.start(lambda listener: self._persistently(peer, self._listening(attention, listener)))

    def _listening(self, attention: Attention, listener: Listener) -> _Listen:
        async def listen(peer: Peer) -> None:
            stateless = (await self.sessions.facts(peer)).stateless
            if attention.uris or not stateless:  # of a stateless one, changes of lists are watched for all already
                await self.sessions.listen(peer, attention.uris, listener)

        return listen

    async def _persistently(self, peer: Peer, listen: _Listen) -> None:
        """Until the upstream has nothing to say of its own accord; while it cannot be reached, later and later again.

        So too while an account is missing: who lost theirs connects it again, and is subscribed still.
        Each time with the upstream as it is configured then: whoever listens for long knows it as it was.
        """
        loop, pause = asyncio.get_running_loop(), FIRST_PAUSE_SECONDS
        while True:
            begun = loop.time()
            try:
                now = await self._now(peer)
                return None if now is None else await listen(now)
            except (ConnectionRequired, Unavailable, RpcError) as error:
                log.info("upstream_not_heard", upstream=peer.upstream.name, reason=str(error))
            except Exception:
                log.exception("upstream_not_heard", upstream=peer.upstream.name)
            if loop.time() - begun > LAST_PAUSE_SECONDS:
                pause = FIRST_PAUSE_SECONDS  # it was heard meanwhile
            await asyncio.sleep(pause)
            pause = min(pause * 2, LAST_PAUSE_SECONDS)

    async def _now(self, peer: Peer) -> Peer | None:
        """None when the upstream is gone, or is now one where this is somebody else's. Raises StorageFault."""
        if self.sessions.has_left(peer.session):
            return None
        found = [one for one in await self.catalog.upstreams.enabled() if one.id == peer.upstream.id]
        now = [
            self.sessions.peer(
                one, peer.identity, session=peer.session, capabilities=peer.capabilities, log_level=peer.log_level
            )
            for one in found
        ]
        return now[0] if now and now[0].key == peer.key else None


@dataclass(frozen=True, slots=True)
class _Hears:
    streams: Streams
    peer: Peer

    def say(self, method: str, params: dict[str, Raw]) -> None:
        self.streams.overheard(self.peer, method, params)

    async def notify(self, method: str, params: dict[str, Raw]) -> None:
        self.say(method, params)

    async def ask(self, method: str, params: dict[str, Raw]) -> Raw:
        stream = self.streams.of_session(self.peer.session)
        asked = stream is not None and self.streams.may_hear(stream, self.peer.upstream.id, method)
        if stream is None or stream.call.client.modern or not asked:
            raise RpcError(jsonrpc.METHOD_NOT_FOUND, "Nobody is there to answer this.")
        asked_of = stream.call.caller.identity
        return await self.streams.questions.ask(self.peer.session, asked_of, method, params, _onto(stream))


def _onto(stream: Stream) -> Callable[[bytes], Awaitable[bool]]:
    async def emit(message: bytes) -> bool:
        return stream.offer(message)

    return emit
