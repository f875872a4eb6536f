"""The merged lists of an endpoint: filtered and named for each caller, in a stable order, page by page."""

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from msgspec import Raw

from bifrost.base.errors import Unavailable
from bifrost.base.sealing import KeyRing, SealBrokenError
from bifrost.gateway import naming
from bifrost.gateway.catalog import Catalog
from bifrost.gateway.lazy_authorization import connect_tool
from bifrost.gateway.listing import Listing, Shown
from bifrost.gateway.models import RESOURCES, TEMPLATES, TOOLS, Call, Entry, Kind
from bifrost.governance.models import ALL_TOOLS
from bifrost.governance.tool_policy import EVERY_TOOL, AllowedTools
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
class _Part:
    """What one upstream adds to a merged list. `listing` is None where it could not be asked for its own."""

    upstream: Upstream
    listing: Listing | None
    shown: Sequence[Shown] = ()


@dataclass(frozen=True, slots=True)
class Lists:
    catalog: Catalog
    ring: KeyRing

    async def page(self, call: Call, kind: Kind, cursor: Raw | None) -> dict[str, Any]:
        """The members of a list's result. `_meta` names upstreams whose entries are missing. Raises RpcError."""
        after = self._after(call, kind, cursor)
        reached = [upstream for upstream in await self.catalog.reached(call) if kind is TOOLS or opens(call, upstream)]
        shares_names = kind.key != "name" and not call.endpoint.only
        if after and not shares_names:
            reached = [upstream for upstream in reached if upstream.name >= after[0]]  # what comes before was listed
        found = await self._found(call, kind, reached)
        parts = [_part(call, kind, upstream, listing) for upstream, listing in zip(reached, found, strict=True)]
        chosen, last = _cut(_distinct(kind, parts) if shares_names else parts, after)
        result: dict[str, Any] = {kind.member: chosen}
        if last is not None:
            result["nextCursor"] = self._cursor(call, kind, last)
        if call.client.modern and parts:
            # no longer than the shortest of its parts (2026-07-28, caching); one that is missing may be back at once
            result[caching.TTL] = min(self.catalog.ttl(one.listing) if one.listing else 0 for one in parts)
        missing = {
            UNAVAILABLE_META: [upstream.name for upstream, one in zip(reached, found, strict=True) if one is None],
            INCOMPLETE_META: [one.upstream.name for one in parts if one.listing and not one.listing.complete],
        }
        if any(missing.values()):
            result["_meta"] = {name: upstreams for name, upstreams in missing.items() if upstreams}
        return result

    async def tool_owner(self, call: Call, name: str) -> tuple[Upstream, str] | None:
        """Where a tool of this name would be, and what it is called there; None when this caller may not use it."""
        named = await self.catalog.named(call, name)
        if named is None:
            return None
        upstream, own = named
        allowed = own in _allowed(call, upstream) or (own == CONNECT_TOOL and _connects(call, upstream))
        return named if allowed else None

    async def tool(self, call: Call, upstream: Upstream, own: str) -> Entry | None:
        """One that has been found for this caller (`tool_owner`).

        Raises UpstreamUnavailable, RpcError, ConnectionRequired: then the one that connects is a tool, too.
        """
        entries = await self.catalog.entries(upstream, call.caller.identity, TOOLS)
        return entries.get(own) if own != CONNECT_TOOL or own in _allowed(call, upstream) else None

    async def prompt_owner(self, call: Call, name: str) -> tuple[Upstream, str] | None:
        """Where to ask for a prompt of this name, whether or not it is listed."""
        named = await self.catalog.named(call, name)
        return named if named and opens(call, named[0]) else None

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
        if isinstance(listed, Listing) and uri in listed.entries:
            return 2
        templates = await self.catalog.listed(upstream, identity, TEMPLATES)
        return int(isinstance(templates, Listing) and any(naming.fits(template, uri) for template in templates.entries))

    async def _offers(self, upstream: Upstream, call: Call) -> bool:
        try:
            return (await self.catalog.facts(upstream, call.caller.identity)).offers("resources")
        except (Unavailable, RpcError, ConnectionRequired, TimeoutError):
            return False

    async def _found(
        self, call: Call, kind: Kind, reached: list[Upstream]
    ) -> list[Listing | ConnectionRequired | None]:
        identity = call.caller.identity
        found: list[Listing | ConnectionRequired | None] = [
            self.catalog.at_hand(upstream, identity, kind) for upstream in reached
        ]
        asked = [number for number, listing in enumerate(found) if listing is None]
        if asked:
            answers = await asyncio.gather(*(self.catalog.listed(reached[one], identity, kind) for one in asked))
            for number, answer in zip(asked, answers, strict=True):
                found[number] = answer
        return found

    def _after(self, call: Call, kind: Kind, cursor: Raw | None) -> tuple[str, str] | None:
        """The entry that the last page ended with. Raises RpcError: not a cursor of this list of this caller."""
        if cursor is None or bytes(cursor) == b"null":
            return None
        try:
            last = self.ring.open(jsonrpc.text(cursor) or "", use=_CURSOR, owner=_owner(call, kind)).decode()
        except SealBrokenError as error:
            raise RpcError(jsonrpc.INVALID_PARAMS, "This cursor is not one of this list.") from error
        upstream, _, key = last.partition(" ")
        return upstream, key

    def _cursor(self, call: Call, kind: Kind, place: str) -> str:
        return self.ring.seal(place.encode(), use=_CURSOR, owner=_owner(call, kind))


def _part(call: Call, kind: Kind, upstream: Upstream, found: Listing | ConnectionRequired | None) -> _Part:
    """Its entries as it lists them, as far as the caller may use them, under the names that this endpoint gives."""
    prefix = "" if kind.key != "name" or call.endpoint.only else naming.prefix(upstream)
    if isinstance(found, ConnectionRequired):
        connects = kind is TOOLS and _connects(call, upstream)
        return _Part(upstream, None, [_connect_tool(upstream, prefix)] if connects else ())
    if found is None:
        return _Part(upstream, None)
    shown = found.shown(prefix)
    allowed = _allowed(call, upstream) if kind is TOOLS else EVERY_TOOL
    return _Part(upstream, found, shown if allowed.all else [one for one in shown if one[0] in allowed])


def _distinct(kind: Kind, parts: list[_Part]) -> list[_Part]:
    """A URI that somebody before lists as well is shown as one that says whose it is; a template is left out then."""
    taken: set[str] = set()
    distinct = []
    for part in parts:
        keys = part.listing.entries.keys() if part.listing else set[str]()
        shown = part.shown if taken.isdisjoint(keys) else _explicit(kind, part, taken)
        distinct.append(replace(part, shown=shown))
        taken |= keys
    return distinct


def _explicit(kind: Kind, part: _Part, taken: set[str]) -> list[Shown]:
    shown = []
    for key, entry in part.shown:
        if key not in taken:
            shown.append((key, entry))
        elif kind is not TEMPLATES and part.listing:
            shown.append((key, part.listing.entries[key].named(naming.explicit_uri(part.upstream, key))))
    return shown


def _cut(parts: list[_Part], after: tuple[str, str] | None) -> tuple[list[Raw], str | None]:
    """The entries of one page, and the place of its last one if others follow."""
    chosen: list[Raw] = []
    place = ""
    for name, shown in _following(parts, after):
        if shown and len(chosen) == PAGE_ENTRIES:
            return chosen, place
        fitting = shown[: PAGE_ENTRIES - len(chosen)]
        chosen += [entry for _, entry in fitting]
        if fitting:
            place = f"{name} {fitting[-1][0]}"
        if len(fitting) < len(shown):
            return chosen, place
    return chosen, None


def _following(parts: list[_Part], after: tuple[str, str] | None) -> Iterator[tuple[str, Sequence[Shown]]]:
    """What comes after an entry; where that is not listed any more, what its upstream lists was there before."""
    for part in parts:
        name, shown = part.upstream.name, part.shown
        if after and name < after[0]:
            continue
        if after and name == after[0]:
            keys = [key for key, _ in shown]
            shown = shown[keys.index(after[1]) + 1 :] if after[1] in keys else ()
        yield name, shown


def opens(call: Call, upstream: Upstream) -> bool:
    """Whether the caller may use everything of an upstream. Who may use some tools gets these and nothing else."""
    return _allowed(call, upstream).all


def _allowed(call: Call, upstream: Upstream) -> AllowedTools:
    return call.policy.allowed(
        upstream.name, offered=upstream.tools_to_execute, open_to_all_keys=upstream.allow_on_all_virtual_keys
    )


def _connects(call: Call, upstream: Upstream) -> bool:
    """Whether the caller may use any tool of an upstream at which everybody has an account of their own.

    Filters that name tools do not name the one that connects: it is not the upstream's, and without it they get none.
    """
    wanted = call.policy.include_tools
    named = wanted is None or any(name == ALL_TOOLS or name.startswith(f"{upstream.name}-") for name in wanted)
    reaches = call.policy.reaches(upstream.name, open_to_all_keys=upstream.allow_on_all_virtual_keys)
    return upstream.per_user and bool(upstream.tools_to_execute) and named and reaches


def _connect_tool(upstream: Upstream, prefix: str) -> Shown:
    return "", jsonrpc.raw(connect_tool(f"{prefix}{CONNECT_TOOL}", upstream.name))


def _owner(call: Call, kind: Kind) -> str:
    return f"{call.principal} {kind.method}"
