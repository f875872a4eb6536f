"""Many upstreams, one list: fetched once for everybody who may share it, filtered and named for each caller."""

import asyncio
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any

import structlog
from msgspec import Raw

from bifrost.base.clock import SECOND, Clock
from bifrost.base.errors import Unavailable
from bifrost.base.singleflight import SingleFlight
from bifrost.gateway.errors import UnknownEndpoint
from bifrost.gateway.lazy_authorization import connect_tool
from bifrost.gateway.models import Call, Endpoint, Tool
from bifrost.identity.models import Identity
from bifrost.protocol import jsonrpc, mcp, resource
from bifrost.protocol.jsonrpc import RpcError
from bifrost.upstreams.errors import ConnectionRequired
from bifrost.upstreams.models import Upstream
from bifrost.upstreams.registry import Upstreams
from bifrost.upstreams.sessions import UpstreamSessions

MAX_AGE_MILLISECONDS = 60 * SECOND
LIST_SECONDS = 10.0
MAX_PAGES = 100
MAX_TOOLS = 5_000
MAX_LISTINGS = 2_000
PREFIX_SEPARATOR = "-"
CONNECT_TOOL = "connect_account"

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class _Listing:
    tools: tuple[Tool, ...]
    fetched_at: int


@dataclass(frozen=True, slots=True)
class ToolList:
    """`unavailable` names the upstreams whose tools are missing because they did not answer."""

    tools: list[dict[str, Raw]]
    unavailable: list[str]


@dataclass(slots=True)
class Catalog:
    upstreams: Upstreams
    sessions: UpstreamSessions
    clock: Clock
    _listings: OrderedDict[tuple[str, str], _Listing] = field(default_factory=OrderedDict)
    _fetching: SingleFlight[tuple[Tool, ...]] = field(default_factory=SingleFlight)

    async def endpoint(self, path: str) -> Endpoint:
        """Raises UnknownEndpoint."""
        slug = resource.slug(path)
        if slug is None and path == resource.DEFAULT_PATH:
            return Endpoint(path=path)
        only = await self.upstreams.by_slug(slug) if slug else None
        if only is None:
            raise UnknownEndpoint("There is no MCP endpoint at this address.")
        return Endpoint(path=path, only=only)

    async def tools(self, call: Call) -> ToolList:
        """In a stable order: upstreams by name, their tools as they list them."""
        reached = [upstream for upstream in await self._candidates(call.endpoint) if _reaches(call, upstream)]
        listings = await asyncio.gather(*(self._listed(upstream, call.caller.identity) for upstream in reached))
        tools, unavailable = [], []
        for upstream, listing in zip(reached, listings, strict=True):
            if isinstance(listing, ConnectionRequired):
                tools.append(_named(call.endpoint, upstream, _connect_tool(upstream)))
                continue
            if listing is None:
                unavailable.append(upstream.name)
                continue
            tools += [_named(call.endpoint, upstream, tool) for tool in listing if _allowed(call, upstream, tool.name)]
        return ToolList(tools, unavailable)

    async def find(self, call: Call, name: str) -> tuple[Upstream, Tool] | None:
        """The tool that this caller knows by this name; None when there is none, or none for them.

        Raises UpstreamUnavailable.
        """
        for upstream in await self._candidates(call.endpoint):
            tool_name = _own_name(call.endpoint, upstream, name)
            if tool_name is None or not _reaches(call, upstream) or not _allowed(call, upstream, tool_name):
                continue
            for tool in await self._fresh(upstream, call.caller.identity):
                if tool.name == tool_name:
                    return upstream, tool
        return None

    async def _candidates(self, endpoint: Endpoint) -> list[Upstream]:
        return [endpoint.only] if endpoint.only else await self.upstreams.enabled()

    async def _listed(self, upstream: Upstream, identity: Identity) -> tuple[Tool, ...] | ConnectionRequired | None:
        """An upstream that is down costs only its own entries; one that is not connected shows how to connect it."""
        try:
            return await self._fresh(upstream, identity)
        except ConnectionRequired as required:
            return required
        except (Unavailable, RpcError) as error:
            log.warning("tools_unavailable", upstream=upstream.name, reason=str(error))
            return None

    async def _fresh(self, upstream: Upstream, identity: Identity) -> tuple[Tool, ...]:
        # with accounts of their own, two people may see different tools
        key = (upstream.id, str(identity) if upstream.per_user else "")
        listing = self._listings.get(key)
        if listing and self.clock.now() - listing.fetched_at < MAX_AGE_MILLISECONDS:
            return listing.tools
        tools = await self._fetching.do(key, lambda: self._fetch(upstream, identity))
        self._listings[key] = _Listing(tools, self.clock.now())
        while len(self._listings) > MAX_LISTINGS:
            self._listings.popitem(last=False)
        return tools

    async def _fetch(self, upstream: Upstream, identity: Identity) -> tuple[Tool, ...]:
        tools: list[Tool] = []
        params: dict[str, Any] = {}
        for _ in range(MAX_PAGES):
            result = await self.sessions.request(upstream, identity, mcp.TOOLS_LIST, params, seconds=LIST_SECONDS)
            tools += _read_tools(result.get("tools"))
            cursor = jsonrpc.text(result.get("nextCursor"))
            if not cursor or len(tools) >= MAX_TOOLS:
                break
            params = {"cursor": cursor}
        return tuple(tools[:MAX_TOOLS])


def _reaches(call: Call, upstream: Upstream) -> bool:
    return call.policy.reaches(upstream.name, open_to_all_keys=upstream.allow_on_all_virtual_keys)


def _allowed(call: Call, upstream: Upstream, tool: str) -> bool:
    return call.policy.allows(
        upstream.name, tool, offered=upstream.tools_to_execute, open_to_all_keys=upstream.allow_on_all_virtual_keys
    )


def _own_name(endpoint: Endpoint, upstream: Upstream, name: str) -> str | None:
    """The upstream's own name for what the caller named; upstream names have no hyphen, so the first one separates."""
    if endpoint.only:
        return name
    prefix, separator, own = name.partition(PREFIX_SEPARATOR)
    return own if separator and prefix == upstream.name else None


def _named(endpoint: Endpoint, upstream: Upstream, tool: Tool) -> dict[str, Raw]:
    if endpoint.only:
        return tool.members
    name = f"{upstream.name}{PREFIX_SEPARATOR}{tool.name}"
    return {**tool.members, "name": Raw(jsonrpc.encode(name))}


def _connect_tool(upstream: Upstream) -> Tool:
    return Tool(name=CONNECT_TOOL, members=connect_tool(CONNECT_TOOL, upstream.name), read_only=True)


def _read_tools(raw: Raw | None) -> list[Tool]:
    """Entries without a name are left out: nobody could call them."""
    try:
        entries = [jsonrpc.members(entry) for entry in jsonrpc.items(raw or b"[]")]
    except (ValueError, RecursionError) as error:
        raise RpcError(jsonrpc.INTERNAL_ERROR, "The list of tools cannot be read.") from error
    named = [(jsonrpc.text(members.get("name")), members) for members in entries]
    return [Tool(name=name, members=members, read_only=_read_only(members)) for name, members in named if name]


def _read_only(members: dict[str, Raw]) -> bool:
    """Only a tool that says so counts as one that changes nothing."""
    try:
        annotations = jsonrpc.value(members.get("annotations", Raw(b"null")))
    except (ValueError, RecursionError):
        return False
    return isinstance(annotations, dict) and annotations.get("readOnlyHint") is True
