"""What upstreams list: fetched once for all who may share it, kept for a minute, and never waited for too long."""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Coroutine, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import structlog
from msgspec import Raw

from bifrost.base.clock import SECOND, Clock
from bifrost.base.errors import Unavailable
from bifrost.base.singleflight import SingleFlight
from bifrost.gateway.errors import UnknownEndpoint
from bifrost.gateway.models import KINDS, TOOLS, Call, Endpoint, Entry, Kind
from bifrost.governance.models import VirtualMcp
from bifrost.governance.virtual_mcps import VirtualMcps
from bifrost.identity.models import Identity
from bifrost.protocol import jsonrpc, mirrored_headers, resource
from bifrost.protocol.jsonrpc import RpcError
from bifrost.protocol.mirrored_headers import InvalidAnnotation, Mirrored
from bifrost.upstreams import paging
from bifrost.upstreams.errors import ConnectionRequired
from bifrost.upstreams.links.base import Facts, Peer
from bifrost.upstreams.models import Upstream
from bifrost.upstreams.paging import Listed
from bifrost.upstreams.registry import Upstreams
from bifrost.upstreams.sessions import UpstreamSessions

MAX_AGE_MILLISECONDS = 60 * SECOND
MIN_AGE_MILLISECONDS = 1 * SECOND
"""However short the time is that an upstream allows: every call looks into the list."""

MAX_NAME_CHARACTERS = 128
BUDGET_SECONDS = 2.0
"""How long a merged list waits for an upstream before it goes out with what that one listed last, or without it."""

GLANCE_SECONDS = 0.05
SLOW_MILLISECONDS = 30 * SECOND
MAX_LISTINGS = 8_000
MAX_LISTED_BYTES = 256 * 1024 * 1024
"""Of all that is kept; the oldest goes first."""

T = TypeVar("T")
Entries = tuple[Entry, ...]
_Key = tuple[str, str, str, tuple[object, ...]]
_Owner = tuple[str, str]
"""An upstream, and whose view of it this is where everybody has their own."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class _Listing:
    entries: Entries
    fetched_at: int
    size: int = 0
    complete: bool = True
    ttl: int = 0
    """For how many milliseconds it may be kept, as the upstream says; 0 when it does not."""


@dataclass(slots=True)
class Catalog:
    """`changed` is told which upstream lists other things of a kind than before."""

    upstreams: Upstreams
    virtual_mcps: VirtualMcps
    sessions: UpstreamSessions
    clock: Clock
    changed: Callable[[str, Kind], None] = field(default=lambda _upstream_id, _kind: None)
    _listings: OrderedDict[_Key, _Listing] = field(default_factory=OrderedDict)
    _size: int = 0
    """Bytes of all listings."""

    _facts: OrderedDict[_Owner, tuple[Facts, int]] = field(default_factory=OrderedDict)
    _slow: OrderedDict[_Owner, int] = field(default_factory=OrderedDict)
    """Until when nobody waits for it. With an account of their own one person's may hang, and nobody else's."""

    _fetching: SingleFlight[Entries] = field(default_factory=SingleFlight)

    async def endpoint(self, path: str) -> Endpoint:
        """Raises UnknownEndpoint."""
        slug = resource.slug(path)
        if slug is None and path == resource.DEFAULT_PATH:
            return Endpoint(path=path)
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
        return [
            upstream
            for upstream in candidates
            if call.policy.reaches(upstream.name, open_to_all_keys=upstream.allow_on_all_virtual_keys)
        ]

    async def listed(self, upstream: Upstream, identity: Identity, kind: Kind) -> Entries | ConnectionRequired | None:
        """For a merged list: an upstream that is down costs only its own entries, one that hangs no more than a moment.

        None when it cannot be asked; ConnectionRequired when the caller has to connect an account first.
        """
        at_hand = self.at_hand(upstream, identity, kind)
        if at_hand is not None:
            return at_hand
        try:
            return await self._in_time(_owner(upstream, identity), self.entries(upstream, identity, kind))
        except ConnectionRequired as required:
            return required
        except TimeoutError:
            known = self._listings.get(_key(upstream, identity, kind))
            log.warning("list_waits_no_longer", upstream=upstream.name, kind=kind.member, known=known is not None)
            return known.entries if known else None
        except (Unavailable, RpcError) as error:
            log.warning("list_unavailable", kind=kind.member, upstream=upstream.name, reason=str(error))
            return None

    def at_hand(self, upstream: Upstream, identity: Identity, kind: Kind) -> Entries | None:
        """What need not be asked for."""
        known = self._listings.get(_key(upstream, identity, kind))
        return known.entries if known and self._fresh(known) else None

    def ttl(self, upstream: Upstream, identity: Identity, kind: Kind) -> int:
        """For how many milliseconds more a client may keep this list; 0 where that is not known."""
        known = self._listings.get(_key(upstream, identity, kind))
        if known is None:
            return 0
        return max(0, min(known.ttl, MAX_AGE_MILLISECONDS) - (self.clock.now() - known.fetched_at))

    def incomplete(self, upstream: Upstream, identity: Identity, kind: Kind) -> bool:
        """Whether it lists more than is kept of it."""
        known = self._listings.get(_key(upstream, identity, kind))
        return known is not None and not known.complete

    async def entries(self, upstream: Upstream, identity: Identity, kind: Kind) -> Entries:
        """At most a minute old, or as old as the upstream allows. Raises RpcError, UpstreamUnavailable, …Required."""
        key = _key(upstream, identity, kind)
        at_hand = self.at_hand(upstream, identity, kind)
        if at_hand is not None:
            return at_hand
        return await self._fetching.do(key, lambda: self._fetch(key, upstream, identity, kind))

    def _fresh(self, listing: _Listing) -> bool:
        wanted = max(listing.ttl, MIN_AGE_MILLISECONDS) if listing.ttl else MAX_AGE_MILLISECONDS
        return self.clock.now() - listing.fetched_at < min(wanted, MAX_AGE_MILLISECONDS)

    async def facts(self, upstream: Upstream, identity: Identity) -> Facts:
        """What an upstream says of itself, at most a minute old.

        Raises RpcError, UpstreamUnavailable, ConnectionRequired, and TimeoutError when it does not say so in time.
        """
        key = _owner(upstream, identity)
        known = self._facts.get(key)
        if known and self.clock.now() - known[1] < MAX_AGE_MILLISECONDS:
            return known[0]
        facts = await self._in_time(key, self.sessions.facts(self.peer(upstream, identity)))
        self._facts[key] = facts, self.clock.now()
        while len(self._facts) > MAX_LISTINGS:
            self._facts.popitem(last=False)
        return facts

    async def _in_time(self, owner: _Owner, work: Coroutine[Any, Any, T]) -> T:
        """Waits for a moment, and no longer at all for an upstream that has just let others wait in vain.

        The work goes on behind, for the next one who asks. Raises TimeoutError, and whatever the work raises.
        """
        task = asyncio.create_task(work)
        task.add_done_callback(_seen)
        slow = self._slow.get(owner, 0) > self.clock.now()
        done, _ = await asyncio.wait({task}, timeout=GLANCE_SECONDS if slow else BUDGET_SECONDS)
        if not done:
            self._slow[owner] = self.clock.now() + SLOW_MILLISECONDS
            while len(self._slow) > MAX_LISTINGS:
                self._slow.popitem(last=False)
            raise TimeoutError
        self._slow.pop(owner, None)
        return task.result()

    def peer(self, upstream: Upstream, identity: Identity) -> Peer:
        """With whom lists are fetched: the caller without a session, who can be asked nothing."""
        return self.sessions.peer(upstream, identity)

    def stale(self, upstream_id: str, method: str) -> None:
        """The upstream said that it lists other things now."""
        for kind in KINDS:
            if kind.changed == method:
                for key in [key for key in self._listings if key[0] == upstream_id and key[2] == kind.method]:
                    self._listings[key] = replace(self._listings[key], fetched_at=-MAX_AGE_MILLISECONDS)

    async def _fetch(self, key: _Key, upstream: Upstream, identity: Identity, kind: Kind) -> Entries:
        found = await self._found(upstream, identity, kind)
        entries = tuple(_read(found.entries, kind))
        size = sum(len(bytes(entry)) for entry in found.entries)
        before = self._keep(key, _Listing(entries, self.clock.now(), size, found.cut is None, found.ttl))
        if found.cut:
            log.warning("list_cut", upstream=upstream.name, kind=kind.member, limit=found.cut)
        if before and before.fetched_at >= 0 and before.entries != entries:  # else it was announced already
            self.changed(upstream.id, kind)
        return entries

    def _keep(self, key: _Key, listing: _Listing) -> _Listing | None:
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


def _owner(upstream: Upstream, identity: Identity) -> _Owner:
    return upstream.id, f"{identity.kind}:{identity.id}" if upstream.per_user else ""


def _key(upstream: Upstream, identity: Identity, kind: Kind) -> _Key:
    """With accounts of their own, two people may see different things; at another address everybody does."""
    return *_owner(upstream, identity), kind.method, upstream.way


def _seen(task: "asyncio.Task[Any]") -> None:
    if not task.cancelled():
        task.exception()


def _read(listed: Iterable[Raw], kind: Kind) -> list[Entry]:
    """Entries without a name, or with one that was there before, are left out: nobody could ask for them."""
    try:
        found = [jsonrpc.members(entry) for entry in listed]
    except (ValueError, RecursionError) as error:
        raise RpcError(jsonrpc.INTERNAL_ERROR, f"The list of {kind.area} cannot be read.") from error
    entries: dict[str, Entry] = {}
    for members in found:
        entry = _entry(kind, members)
        if entry is not None and entries.setdefault(entry.key, entry) is not entry:
            log.warning("entry_left_out", kind=kind.member, key=entry.key[:128], reason="its name is there already")
    return list(entries.values())


def _entry(kind: Kind, members: dict[str, Raw]) -> Entry | None:
    key = jsonrpc.text(members.get(kind.key))
    if not key:
        return None
    # one name that a client cannot take may cost it the whole list, so what no revision ever allowed is left out
    if kind.key == "name" and not (key.isprintable() and len(key) <= MAX_NAME_CHARACTERS):
        log.warning("entry_left_out", kind=kind.member, key=key[:128], reason="its name is too long or not printable")
        return None
    if kind is not TOOLS:
        return Entry(key=key, members=members, read_only=True)
    try:
        mirrored = _mirrored(members.get("inputSchema"))
    except InvalidAnnotation:
        log.warning("tool_left_out", tool=key[:128], reason="its x-mcp-header annotations are invalid")
        return None
    return Entry(key=key, members=members, read_only=_read_only(members), mirrored=mirrored)


def _mirrored(schema: Raw | None) -> Mirrored:
    """Raises InvalidAnnotation."""
    if schema is None or mirrored_headers.ANNOTATION.encode() not in bytes(schema):
        return ()
    try:
        return mirrored_headers.mirrored(jsonrpc.value(schema))
    except (ValueError, RecursionError):
        return ()


def _read_only(members: dict[str, Raw]) -> bool:
    """Only a tool that says so counts as one that changes nothing."""
    try:
        annotations = jsonrpc.value(members.get("annotations", Raw(b"null")))
    except (ValueError, RecursionError):
        return False
    return isinstance(annotations, dict) and annotations.get("readOnlyHint") is True
