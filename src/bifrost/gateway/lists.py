"""The merged lists of an endpoint: filtered and named for each caller, in a stable order, page by page."""

import asyncio
from dataclasses import dataclass
from typing import Any

from msgspec import Raw

from bifrost.base.errors import Unavailable
from bifrost.base.sealing import KeyRing, SealBrokenError
from bifrost.gateway import naming
from bifrost.gateway.catalog import Catalog, Entries
from bifrost.gateway.lazy_authorization import connect_tool
from bifrost.gateway.models import RESOURCES, TEMPLATES, TOOLS, Call, Entry, Kind
from bifrost.governance.models import ALL_TOOLS
from bifrost.protocol import caching, jsonrpc
from bifrost.protocol.jsonrpc import RpcError
from bifrost.upstreams.errors import ConnectionRequired
from bifrost.upstreams.models import Upstream

CONNECT_TOOL = "connect_account"
PAGE_ENTRIES = 1_000
UNAVAILABLE_META = "bifrost/unavailable"
INCOMPLETE_META = "bifrost/incomplete"
"""Upstreams that list more than a gateway takes of one (upstreams/paging.py)."""

_CURSOR = "mcp-cursor"


@dataclass(frozen=True, slots=True)
class Lists:
    catalog: Catalog
    ring: KeyRing

    async def page(self, call: Call, kind: Kind, cursor: Raw | None) -> dict[str, Any]:
        """The members of a list's result. `_meta` names upstreams whose entries are missing. Raises RpcError."""
        reached = [upstream for upstream in await self.catalog.reached(call) if kind is TOOLS or opens(call, upstream)]
        entries, unavailable = await self._merged(call, kind, reached)
        start = self._start(call, kind, cursor, [place for place, _ in entries])
        chosen = entries[start : start + PAGE_ENTRIES]
        result: dict[str, Any] = {kind.member: [members for _, members in chosen]}
        if start + PAGE_ENTRIES < len(entries):
            result["nextCursor"] = self._cursor(call, kind, chosen[-1][0])
        identity = call.caller.identity
        incomplete = [one.name for one in reached if self.catalog.incomplete(one, identity, kind)]
        missing = {UNAVAILABLE_META: unavailable, INCOMPLETE_META: incomplete}
        if call.client.modern and reached:
            # no longer than the shortest of its parts (2026-07-28, caching); one that is missing may be back at once
            result[caching.TTL] = min(self.catalog.ttl(one, identity, kind) for one in reached)
        if unavailable or incomplete:
            result["_meta"] = {name: upstreams for name, upstreams in missing.items() if upstreams}
        return result

    async def tool_owner(self, call: Call, name: str) -> tuple[Upstream, str] | None:
        """Where a tool of this name would be, and what it is called there; None when this caller may not use it."""
        for upstream in await self.catalog.reached(call):
            own = naming.own(call.endpoint, upstream, name)
            connects = own == CONNECT_TOOL and _connects(call, upstream)
            if own is not None and (connects or _allowed(call, upstream, own)):
                return upstream, own
        return None

    async def tool(self, call: Call, upstream: Upstream, own: str) -> Entry | None:
        """Raises UpstreamUnavailable, RpcError, ConnectionRequired: then the one that connects is a tool, too."""
        entries = await self.catalog.entries(upstream, call.caller.identity, TOOLS)
        if not _allowed(call, upstream, own):
            return None
        return next((entry for entry in entries if entry.key == own), None)

    async def prompt_owner(self, call: Call, name: str) -> tuple[Upstream, str] | None:
        """Where to ask for a prompt of this name, whether or not it is listed."""
        for upstream in await self.catalog.reached(call):
            own = naming.own(call.endpoint, upstream, name)
            if own is not None and opens(call, upstream):
                return upstream, own
        return None

    async def resource_owner(self, call: Call, uri: str) -> tuple[Upstream, str] | None:
        """Where to ask for a resource: the upstream that the URI names itself, that lists it, or whose template fits.

        Where nobody claims it, the only one that offers resources. Raises nothing: who cannot be asked claims nothing.
        """
        reached = [upstream for upstream in await self.catalog.reached(call) if opens(call, upstream)]
        named = naming.explicit(uri)
        for upstream in reached:
            if named and upstream.name == named[0]:
                return upstream, named[1]
        if call.endpoint.only:
            return (reached[0], uri) if reached else None
        claims = await asyncio.gather(*(self._claim(call, upstream, uri) for upstream in reached))
        for degree in (2, 1):
            for upstream, claim in zip(reached, claims, strict=True):
                if claim == degree:
                    return upstream, uri
        offering = [upstream for upstream in reached if await self._offers(upstream, call)]
        return (offering[0], uri) if len(offering) == 1 else None

    async def _claim(self, call: Call, upstream: Upstream, uri: str) -> int:
        """2: it lists this very URI; 1: one of its templates fits; 0: neither."""
        identity = call.caller.identity
        listed = await self.catalog.listed(upstream, identity, RESOURCES)
        if isinstance(listed, tuple) and any(entry.key == uri for entry in listed):
            return 2
        templates = await self.catalog.listed(upstream, identity, TEMPLATES)
        return int(isinstance(templates, tuple) and any(naming.fits(entry.key, uri) for entry in templates))

    async def _offers(self, upstream: Upstream, call: Call) -> bool:
        try:
            return (await self.catalog.facts(upstream, call.caller.identity)).offers("resources")
        except (Unavailable, RpcError, ConnectionRequired, TimeoutError):
            return False

    async def _merged(self, call: Call, kind: Kind, reached: list[Upstream]) -> tuple[list[tuple[str, Any]], list[str]]:
        """Upstreams by name, their entries as they list them; each with its place, by which a page is found again."""
        identity = call.caller.identity
        listings: list[Entries | ConnectionRequired | None] = [
            self.catalog.at_hand(upstream, identity, kind) for upstream in reached
        ]
        if None in listings:
            listings = await asyncio.gather(*(self.catalog.listed(upstream, identity, kind) for upstream in reached))
        merged: list[tuple[str, Any]] = []
        unavailable: list[str] = []
        taken: set[str] = set()
        for upstream, listing in zip(reached, listings, strict=True):
            if listing is None:
                unavailable.append(upstream.name)
            elif isinstance(listing, ConnectionRequired):
                if kind is TOOLS and _connects(call, upstream):
                    merged.append((f"{upstream.name} ", _shown(call, upstream, kind, _connect_tool(upstream), taken)))
            else:
                merged += _entries(call, upstream, kind, listing, taken)
        return merged, unavailable

    def _start(self, call: Call, kind: Kind, cursor: Raw | None, places: list[str]) -> int:
        """After the entry that the last page ended with. Raises RpcError: not a cursor of this list of this caller."""
        if cursor is None or bytes(cursor) == b"null":
            return 0
        try:
            last = self.ring.open(jsonrpc.text(cursor) or "", use=_CURSOR, owner=_owner(call, kind)).decode()
        except SealBrokenError as error:
            raise RpcError(jsonrpc.INVALID_PARAMS, "This cursor is not one of this list.") from error
        if last in places:
            return places.index(last) + 1
        return sum(1 for place in places if place.partition(" ")[0] <= last.partition(" ")[0])

    def _cursor(self, call: Call, kind: Kind, place: str) -> str:
        return self.ring.seal(place.encode(), use=_CURSOR, owner=_owner(call, kind))


def opens(call: Call, upstream: Upstream) -> bool:
    """Whether the caller may use everything of an upstream. Who may use some tools gets these and nothing else."""
    return _allowed(call, upstream, ALL_TOOLS)


def _allowed(call: Call, upstream: Upstream, tool: str) -> bool:
    return call.policy.allows(
        upstream.name, tool, offered=upstream.tools_to_execute, open_to_all_keys=upstream.allow_on_all_virtual_keys
    )


def _connects(call: Call, upstream: Upstream) -> bool:
    """Whether the caller may use any tool of an upstream at which everybody has an account of their own.

    Filters that name tools do not name the one that connects: it is not the upstream's, and without it they get none.
    """
    wanted = call.policy.include_tools
    named = wanted is None or any(name == ALL_TOOLS or name.startswith(f"{upstream.name}-") for name in wanted)
    return upstream.per_user and bool(upstream.tools_to_execute) and named


def _entries(call: Call, upstream: Upstream, kind: Kind, listing: Entries, taken: set[str]) -> list[tuple[str, Any]]:
    allowed = (entry for entry in listing if kind is not TOOLS or _allowed(call, upstream, entry.key))
    shown = ((f"{upstream.name} {entry.key}", _shown(call, upstream, kind, entry, taken)) for entry in allowed)
    return [(place, members) for place, members in shown if members is not None]


def _shown(call: Call, upstream: Upstream, kind: Kind, entry: Entry, taken: set[str]) -> dict[str, Raw] | None:
    """The entry under the name that this endpoint gives it; None for a template that somebody before lists as well."""
    if call.endpoint.only:
        return entry.members
    if kind.key == "name":
        return {**entry.members, "name": jsonrpc.raw(naming.shown(call.endpoint, upstream, entry.key))}
    if entry.key not in taken:
        taken.add(entry.key)
        return entry.members
    if kind is TEMPLATES:
        return None
    return {**entry.members, "uri": jsonrpc.raw(naming.explicit_uri(upstream, entry.key))}


def _connect_tool(upstream: Upstream) -> Entry:
    return Entry(key=CONNECT_TOOL, members=connect_tool(CONNECT_TOOL, upstream.name), read_only=True)


def _owner(call: Call, kind: Kind) -> str:
    return f"{call.principal} {kind.method}"
