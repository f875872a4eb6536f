"""What upstreams list: fetched once for all who may share it, kept for a minute, and never waited for too long."""

from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import structlog
from msgspec import Raw

from bifrost.base.clock import SECOND, Clock
from bifrost.base.errors import Unavailable
from bifrost.base.singleflight import SingleFlight
from bifrost.gateway import listing as listings
from bifrost.gateway import naming
from bifrost.gateway.errors import UnknownEndpoint
from bifrost.gateway.listing import Listing
from bifrost.gateway.models import KINDS, TOOLS, Call, Endpoint, Entry, Kind
from bifrost.gateway.patience import InVain, Patience
from bifrost.governance.models import VirtualMcp
from bifrost.governance.virtual_mcps import VirtualMcps
from bifrost.identity.models import Identity
from bifrost.protocol import jsonrpc, resource
from bifrost.protocol.jsonrpc import RpcError
from bifrost.upstreams import paging
from bifrost.upstreams.errors import ConnectionRequired
from bifrost.upstreams.links.base import Facts, Peer
from bifrost.upstreams.models import Upstream, Way
from bifrost.upstreams.paging import Listed
from bifrost.upstreams.registry import Upstreams
from bifrost.upstreams.sessions import UpstreamSessions

MAX_AGE_MILLISECONDS = 60 * SECOND
MIN_AGE_MILLISECONDS = 1 * SECOND
"""However short the time is that an upstream allows: every call looks into the list."""

MAX_LISTINGS = 8_000
MAX_LISTED_BYTES = 128 * 1024 * 1024
"""Of all that is kept, as it came; the oldest goes first. Under the names of an endpoint it is there once more."""

_FACTS = "facts"
_Key = tuple[str, str, str, Way]
_Owner = tuple[str, str]
"""An upstream, and whose view of it this is where everybody has their own: one person's account may hang alone."""

_EVERYTHING = Endpoint(path=resource.DEFAULT_PATH)

log = structlog.get_logger()


@dataclass(slots=True)
class Catalog:
    """`changed` is told which upstream lists other things of a kind than before, and whose list it is; empty: all's."""

    upstreams: Upstreams
    virtual_mcps: VirtualMcps
    sessions: UpstreamSessions
    clock: Clock
    changed: Callable[[str, Kind, str], None] = field(default=lambda _upstream_id, _kind, _owner: None)
    _listings: OrderedDict[_Key, Listing] = field(default_factory=OrderedDict)
    _size: int = 0
    """Bytes of all listings."""

    _unconnected: OrderedDict[_Key, None] = field(default_factory=OrderedDict)
    """Those that were asked for last without an account: a tool that connects one stood there instead, or nothing."""

    _facts: OrderedDict[_Owner, tuple[Facts, int]] = field(default_factory=OrderedDict)
    _fetching: SingleFlight[Listing] = field(default_factory=SingleFlight)
    _patience: Patience = field(init=False)

    def __post_init__(self) -> None:
        self._patience = Patience(self.clock)

    async def endpoint(self, path: str) -> Endpoint:
        """Raises UnknownEndpoint."""
        if path == resource.DEFAULT_PATH:
            return _EVERYTHING
        slug = resource.slug(path)
        only = await self.upstreams.by_slug(slug) if slug else None
        if only is not None:
            return Endpoint(path=path, only=only)
        virtual_mcp = await self.virtual_mcps.by_slug(slug) if slug else None
        if virtual_mcp is None:
            raise UnknownEndpoint("There is no MCP endpoint at this address.")
        return await self._virtual(path, virtual_mcp)

    async def _virtual(self, path: str, virtual_mcp: VirtualMcp) -> Endpoint:
        """One that holds a single upstream looks like it: the names are the upstream's own."""
        held = [upstream for upstream in await self.upstreams.enabled() if virtual_mcp.holds(upstream.name)]
        only = held[0] if len(held) == len(virtual_mcp.mcp_configs) == 1 else None
        return Endpoint(path=path, only=only, within=(virtual_mcp.filter,))

    async def reached(self, call: Call) -> list[Upstream]:
        """The upstreams of which this caller may use anything, by name."""
        candidates = [call.endpoint.only] if call.endpoint.only else await self.upstreams.enabled()
        return [upstream for upstream in candidates if reaches(call, upstream)]

    async def named(self, call: Call, name: str) -> tuple[Upstream, str] | None:
        """Whose tool or prompt this would be, and what it is called there, whoever calls."""
        if call.endpoint.only is not None:
            return call.endpoint.only, name
        before, own = naming.split(name)
        upstream = await self.upstreams.by_name(before)
        return None if upstream is None else (upstream, own)

    async def listed(self, upstream: Upstream, identity: Identity, kind: Kind) -> Listing | ConnectionRequired | None:
        """For a merged list: an upstream that is down costs only its own entries, one that hangs no more than a moment.

        None when it cannot be asked; ConnectionRequired when the caller has to connect an account first.
        """
        key = _key(upstream, identity, kind)
        known = self._listings.get(key)
        if known and self._fresh(known):
            return known
        owner = _owner(upstream, identity)
        try:
            return await self._patience.within(owner, key, lambda: self._fetched(key, upstream, identity, kind))
        except ConnectionRequired as required:
            return required
        except InVain:
            return None
        except TimeoutError:
            log.debug("list_waits_no_longer", upstream=upstream.name, kind=kind.member, known=known is not None)
            return known
        except (Unavailable, RpcError) as error:
            log.warning("list_unavailable", kind=kind.member, upstream=upstream.name, reason=str(error))
            return None

    def at_hand(self, upstream: Upstream, identity: Identity, kind: Kind) -> Listing | None:
        """What need not be asked for."""
        known = self._listings.get(_key(upstream, identity, kind))
        return known if known and self._fresh(known) else None

    def known(self, upstream: Upstream, identity: Identity, kind: Kind) -> Iterable[str] | None:
        """The keys of what it listed last, however long ago that was."""
        listing = self._listings.get(_key(upstream, identity, kind))
        return listing.entries.keys() if listing else None

    def lacks(self, upstream: Upstream, identity: Identity, kind: Kind) -> bool:
        """Whether it is known not to have this kind of things."""
        said = self._facts.get(_owner(upstream, identity))
        return said is not None and kind is not TOOLS and not said[0].offers(kind.area)

    def ttl(self, listing: Listing) -> int:
        """For how many milliseconds more a client may keep it; 0 where that is not known."""
        return max(0, min(listing.ttl, MAX_AGE_MILLISECONDS) - (self.clock.now() - listing.fetched_at))

    async def entries(self, upstream: Upstream, identity: Identity, kind: Kind) -> Mapping[str, Entry]:
        """By the upstream's own keys; at most a minute old, or as old as the upstream allows.

        Raises RpcError, UpstreamUnavailable, ConnectionRequired.
        """
        key = _key(upstream, identity, kind)
        known = self._listings.get(key)
        if known is None or not self._fresh(known):
            known = await self._fetched(key, upstream, identity, kind)
        return known.entries

    async def _fetched(self, key: _Key, upstream: Upstream, identity: Identity, kind: Kind) -> Listing:
        return await self._fetching.do(key, lambda: self._fetch(key, upstream, identity, kind))

    def _fresh(self, listing: Listing) -> bool:
        wanted = max(listing.ttl, MIN_AGE_MILLISECONDS) if listing.ttl else MAX_AGE_MILLISECONDS
        return self.clock.now() - listing.fetched_at < min(wanted, MAX_AGE_MILLISECONDS)

    async def facts(self, upstream: Upstream, identity: Identity) -> Facts:
        """What an upstream says of itself, at most a minute old.

        Raises RpcError, UpstreamUnavailable, ConnectionRequired, and TimeoutError when it does not say so in time.
        """
        owner = _owner(upstream, identity)
        known = self._facts.get(owner)
        if known and self.clock.now() - known[1] < MAX_AGE_MILLISECONDS:
            return known[0]
        facts = await self._patience.within(owner, _FACTS, lambda: self.sessions.facts(self.peer(upstream, identity)))
        self._facts[owner] = facts, self.clock.now()
        while len(self._facts) > MAX_LISTINGS:
            self._facts.popitem(last=False)
        return facts

    def peer(self, upstream: Upstream, identity: Identity) -> Peer:
        """With whom lists are fetched: the caller without a session, who can be asked nothing."""
        return self.sessions.peer(upstream, identity)

    def stale(self, upstream_id: str, method: str) -> None:
        """The upstream said that it lists other things now."""
        for kind in KINDS:
            if kind.changed == method:
                for key in (key for key in self._listings if key[0] == upstream_id and key[2] == kind.method):
                    self._listings[key].fetched_at = -MAX_AGE_MILLISECONDS

    async def _fetch(self, key: _Key, upstream: Upstream, identity: Identity, kind: Kind) -> Listing:
        try:
            found = await self._found(upstream, identity, kind)
        except ConnectionRequired:
            self._not_connected(key, upstream, kind)
            raise
        size = sum(len(bytes(entry)) for entry in found.entries)
        listing = Listing(listings.read(found.entries, kind), self.clock.now(), size, found.cut is None, found.ttl)
        before = self._keep(key, listing)
        if found.cut:
            log.warning("list_cut", upstream=upstream.name, kind=kind.member, limit=found.cut)
        # one that is stale was announced already
        is_new = before and before.fetched_at >= 0 and before.entries != listing.entries
        if is_new or key in self._unconnected:
            self._unconnected.pop(key, None)
            self.changed(upstream.id, kind, key[1])
        return listing

    def _not_connected(self, key: _Key, upstream: Upstream, kind: Kind) -> None:
        if key in self._listings and key not in self._unconnected:
            self.changed(upstream.id, kind, key[1])
        self._unconnected[key] = None
        while len(self._unconnected) > MAX_LISTINGS:
            self._unconnected.popitem(last=False)

    def _keep(self, key: _Key, listing: Listing) -> Listing | None:
        """What was kept before."""
        before = self._listings.pop(key, None)
        self._listings[key] = listing
        self._size += listing.size - (before.size if before else 0)
        while len(self._listings) > MAX_LISTINGS or (self._size > MAX_LISTED_BYTES and len(self._listings) > 1):
            self._size -= self._listings.popitem(last=False)[1].size
        return before

    async def _found(self, upstream: Upstream, identity: Identity, kind: Kind) -> Listed:
        peer = self.peer(upstream, identity)
        if kind is not TOOLS and not (await self.sessions.facts(peer)).offers(kind.area):
            return Listed((), ttl=MAX_AGE_MILLISECONDS)

        async def page(params: Mapping[str, Any]) -> Mapping[str, Raw]:
            try:
                answer = await self.sessions.request(peer, kind.method, params, seconds=paging.PAGE_SECONDS)
            except RpcError as error:
                if kind is TOOLS or error.code != jsonrpc.METHOD_NOT_FOUND:
                    raise
                return {}  # some offer resources but know nothing of templates
            return jsonrpc.object_members(answer)

        return await paging.listed(upstream.name, kind.member, page)


def reaches(call: Call, upstream: Upstream) -> bool:
    return call.policy.reaches(upstream.name, open_to_all_keys=upstream.allow_on_all_virtual_keys)


def _owner(upstream: Upstream, identity: Identity) -> _Owner:
    return upstream.id, f"{identity.kind}:{identity.id}" if upstream.per_user else ""


def _key(upstream: Upstream, identity: Identity, kind: Kind) -> _Key:
    """With accounts of their own, two people may see different things; at another address everybody does."""
    return *_owner(upstream, identity), kind.method, upstream.way
