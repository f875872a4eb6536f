"""Conversations with upstreams: one link for each peer, opened when it is needed, in an era that the upstream speaks.

A link belongs to one owner and one upstream, and to one session of the owner's if they have one; it is never used for
anybody else.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

import structlog
from msgspec import Raw

from bifrost.base.clock import SECOND, SystemClock
from bifrost.base.errors import DomainError
from bifrost.base.singleflight import SingleFlight
from bifrost.identity.models import Identity
from bifrost.upstreams.auth.base import UpstreamAuth
from bifrost.upstreams.errors import UpstreamUnavailable
from bifrost.upstreams.kept_links import KeptLinks, Key
from bifrost.upstreams.links import duplex, legacy, modern
from bifrost.upstreams.links.base import (
    EVERYBODY,
    NO_FIELDS,
    NOBODY,
    Facts,
    Fields,
    Forgotten,
    Link,
    Params,
    Peer,
    Requester,
)
from bifrost.upstreams.links.http import HttpChannel
from bifrost.upstreams.links.turn import Occupied
from bifrost.upstreams.links.wishes import set_level
from bifrost.upstreams.models import Upstream
from bifrost.upstreams.transports.base import Pipes
from bifrost.upstreams.transports.streamable_http import StreamableHttp
from bifrost.upstreams.uses import Uses

IDLE_MILLISECONDS = 30 * 60 * SECOND
"""A link that nobody used for so long is closed. It opens again by itself, as a new session of the upstream."""

LOOK_SECONDS = 60.0
MAX_LEFT = 20_000
"""Sessions of which it is remembered that they have ended."""

_UNKNOWN = Facts(version="")

log = structlog.get_logger()


@dataclass(slots=True)
class UpstreamSessions:
    """`pipes` are the ways to reach upstreams that are not spoken to over Streamable HTTP, by `connection_type`."""

    transport: StreamableHttp
    auth: Mapping[str, UpstreamAuth]
    pipes: Mapping[str, Pipes] = field(default_factory=dict)
    opened: Callable[[Peer], None] = field(default=lambda _peer: None)
    """Told of every new link."""

    shared: frozenset[str] = frozenset()
    """Names of upstreams on a pipe that everybody shares: what they remember, they remember for all."""

    uses: Uses[Key] = field(default_factory=lambda: Uses(SystemClock()))
    _links: KeptLinks = field(default_factory=KeptLinks)
    _modern: dict[str, Facts | None] = field(default_factory=dict)
    """By upstream: what a stateless one said of itself; None for one that begins with `initialize`."""

    _only_modern: set[str] = field(default_factory=set)
    """Upstreams that were found not to know `initialize`."""

    _older: dict[str, object] = field(default_factory=dict)
    """Programs that do not know the stateless revision, each with the configuration it was asked in."""

    _opening: SingleFlight[Link] = field(default_factory=SingleFlight)
    _left: OrderedDict[str, None] = field(default_factory=OrderedDict)
    """Sessions that have ended."""

    def peer(
        self,
        upstream: Upstream,
        identity: Identity,
        *,
        session: str = "",
        capabilities: bytes = b"{}",
        log_level: str = "",
    ) -> Peer:
        if upstream.connection_type == "stdio" and upstream.name in self.shared:
            return Peer(upstream=upstream, identity=identity, owner=EVERYBODY)
        return Peer(
            upstream=upstream,
            identity=identity,
            owner=self.auth[upstream.auth_type].owner(identity),
            session=session,
            capabilities=capabilities,
            log_level=log_level,
        )

    async def request(
        self,
        peer: Peer,
        method: str,
        params: Params,
        *,
        seconds: float,
        requester: Requester = NOBODY,
        fields: Fields = NO_FIELDS,
    ) -> Raw:
        """The result, as its bytes. Raises RpcError (the upstream's own), UpstreamUnavailable, ConnectionRequired."""
        was_forgotten = False
        while True:
            key = peer.key
            try:
                with self.uses.of(key):
                    link = self._known(peer, key) or await self._opened(peer, key)
                    self._links.begun(link)
                    try:
                        return await link.request(method, params, requester, seconds, fields)
                    except Forgotten as error:
                        self._forget(link)
                        if was_forgotten:
                            raise UpstreamUnavailable(f"{peer.upstream.name} gave no answer.") from error
                        was_forgotten = True
                    finally:
                        self._links.ended(link)
            except Occupied:
                peer, was_forgotten = peer.another(), False

    async def facts(self, peer: Peer) -> Facts:
        """What the upstream said of itself. Raises RpcError, UpstreamUnavailable, ConnectionRequired."""
        return (await self._link(peer)).facts

    async def listen(self, peer: Peer, uris: tuple[str, ...], requester: Requester) -> None:
        """Hears what the upstream says of its own accord until it is cancelled, or the upstream has nothing to say.

        Raises RpcError, UpstreamUnavailable, ConnectionRequired.
        """
        link = await self._link(peer)
        try:
            with self.uses.kept(peer.key):
                await self._links.listen(link, uris, requester)
        except Forgotten as error:
            self._forget(link)
            raise UpstreamUnavailable(f"{peer.upstream.name} no longer knows this session.") from error

    def peers_of(self, session: str) -> list[Peer]:
        """Those to whom this session has links."""
        return [link.peer for link in self._where(lambda key: bool(session) and key[2] == session)]

    async def set_level(self, session: str, level: str) -> None:
        """For the links that this session has already; those it opens later are opened with it."""
        links = self._where(lambda key: key[2] == session)
        for link in links:
            if link.facts.stateless:
                self._links.take(link)  # it says the level with every request: open it anew with this one
        await asyncio.gather(*(set_level(link, level) for link in links if not link.facts.stateless))

    async def tell(self, session: str, method: str, params: Params) -> None:
        """A notification from the client to all upstreams that it has links to, except for stateless ones.

        To those every request says everything (2026-07-28, base).
        """

        async def told(link: Link) -> None:
            try:
                await link.notify(method, params)
            except DomainError:
                log.info("upstream_not_told", upstream=link.peer.upstream.name, method=method)

        links = self._where(lambda key: key[2] == session)
        await asyncio.gather(*(told(link) for link in links if not link.facts.stateless))

    def leave(self, session: str) -> None:
        """The session has ended: so do its links, and those that are being opened for it."""
        self._left[session] = None
        while len(self._left) > MAX_LEFT:
            self._left.popitem(last=False)
        for link in self._where(lambda key: key[2] == session):
            self._links.drop(link)
            self._links.close(link)

    def has_left(self, session: str) -> bool:
        return session in self._left

    def rests(self, peer: Peer) -> bool:
        """Whether nobody has asked anything there for so long that nobody need listen either."""
        return self.uses.rests(peer.key, IDLE_MILLISECONDS)

    def retire(self, enabled: Iterable[Upstream]) -> None:
        """Ends the links to upstreams that are configured otherwise now, or not at all; requests are finished first."""
        ways = {upstream.id: upstream.way for upstream in enabled}
        for link in self._where(lambda _key: True):
            if ways.get(link.peer.upstream.id) != link.peer.upstream.way:
                self._forget(link)
                self._links.give_up(link)

    async def run(self) -> None:
        """Until cancelled: closes links that nobody uses."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            try:
                self.close_idle()
            except Exception:
                log.exception("idle_links_not_closed")

    def close_idle(self) -> None:
        """Programs are left to those who run them, who know a time of their own."""
        for key in self.uses.idle(self._links.keys, IDLE_MILLISECONDS):
            link = self._links.get(key)
            if link and link.peer.upstream.connection_type != "stdio":
                self._links.give_up(link)
                log.info("upstream_session_idle", upstream=link.peer.upstream.name)

    async def close(self) -> None:
        """Says good-bye to all of them; what does not answer in time is left as it is."""
        await self._links.close_all()

    async def _link(self, peer: Peer) -> Link:
        """Raises UpstreamUnavailable, ConnectionRequired."""
        key = peer.key
        return self._known(peer, key) or await self._opened(peer, key)

    def _known(self, peer: Peer, key: Key) -> Link | None:
        """Raises UpstreamUnavailable."""
        self._check_not_left(peer)
        known = self._links.get(key)
        if known is None:
            return None
        upstream = known.peer.upstream
        if upstream is not peer.upstream and upstream.way != peer.upstream.way:
            self._forget(known)  # its configuration was changed
            self._links.give_up(known)
            return None
        self._links.used(key)
        return known

    async def _opened(self, peer: Peer, key: Key) -> Link:
        """Raises UpstreamUnavailable, ConnectionRequired."""
        return await self._opening.do((key, peer.upstream.way), lambda: self._open(peer))

    def _check_not_left(self, peer: Peer) -> None:
        if peer.session in self._left:
            raise UpstreamUnavailable("This session has ended.")

    async def _open(self, peer: Peer) -> Link:
        channel = HttpChannel(peer, self.transport, self.auth[peer.upstream.auth_type])
        pipes = self.pipes.get(peer.upstream.connection_type)
        if pipes is not None:
            link: Link = await self._open_pipe(pipes, peer, channel)
        else:
            link = await self._open_http(channel)
        try:
            self._check_not_left(peer)  # nobody would ever close it
        except UpstreamUnavailable:
            self._links.close(link)
            raise
        self._links.add(link)
        self.opened(peer)
        log.info("upstream_session_opened", upstream=peer.upstream.name, version=link.facts.version)
        return link

    async def _open_pipe(self, pipes: Pipes, peer: Peer, channel: HttpChannel) -> Link:
        """In the era of the caller if the upstream speaks it, which a program is asked once: some end at the question.

        The HTTP transport with server-sent events belongs to the older era.
        """
        upstream = peer.upstream
        running = self._stateless_pipe(peer)
        if running is not None:
            return duplex.SharedLink(peer, running)
        known = self._older.get(upstream.id) == upstream.way
        asks = upstream.connection_type == "stdio" and not peer.session and not known
        pipe = await pipes.open(upstream, peer.owner, channel)
        pipe.on_trial = asks
        try:
            link = await duplex.open_link(peer, pipe, stateless=asks)
        except UpstreamUnavailable:
            if not asks:
                raise
            self._older[upstream.id] = upstream.way
            return await duplex.open_link(peer, await pipes.open(upstream, peer.owner, channel))
        pipe.on_trial = False
        if asks and not link.facts.stateless:
            self._older[upstream.id] = upstream.way
        return link

    def _stateless_pipe(self, peer: Peer) -> duplex.DuplexLink | None:
        """One of this owner's: a stateless upstream hears with every request what its caller can do."""
        if peer.session:
            return None
        for link in self._where(lambda key: key[:2] == peer.key[:2] and not key[2]):
            if isinstance(link, duplex.DuplexLink) and link.facts.stateless and not link.has_ended:
                return link if link.peer.upstream.way == peer.upstream.way else None
        return None

    async def _open_http(self, channel: HttpChannel) -> Link:
        """In the era of the caller if the upstream speaks it: a server may do more for those who have a session.

        Callers without a session ask in the stateless way first; what does not know it is greeted the older way.
        """
        upstream = channel.peer.upstream
        prefers_session = bool(channel.peer.session) and upstream.id not in self._only_modern
        link = await legacy.initialize(channel) if prefers_session else None
        if link is not None:
            return link
        facts = self._modern.get(upstream.id)
        if facts is None or upstream.per_user:  # what it said of itself to one person is not for another
            facts = self._modern[upstream.id] = await self._asked(channel)
        if facts is not None:
            if prefers_session:
                self._only_modern.add(upstream.id)
            return modern.ModernLink(channel, facts)
        link = None if prefers_session else await legacy.initialize(channel)
        if link is None:
            self._modern.pop(upstream.id, None)  # it may have changed its era since
            raise UpstreamUnavailable(f"{upstream.name} speaks no protocol version that this gateway knows.")
        return link

    async def _asked(self, channel: HttpChannel) -> Facts | None:
        is_older = self._modern.get(channel.peer.upstream.id, _UNKNOWN) is None
        return None if is_older and not channel.peer.session else await modern.discover(channel)

    def _where(self, wanted: Callable[[Key], bool]) -> list[Link]:
        return self._links.where(wanted)

    def _forget(self, link: Link) -> None:
        """The upstream has forgotten it, or is another one now: in what era it speaks has to be asked again, too."""
        self._modern.pop(link.peer.upstream.id, None)
        self._only_modern.discard(link.peer.upstream.id)
        self._links.drop(link)
