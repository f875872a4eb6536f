"""Looking at an upstream for the gateway itself: which tools it has, and whether it answers at all."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import msgspec
from msgspec import Raw

from bifrost.identity.models import Identity
from bifrost.protocol import jsonrpc, mcp
from bifrost.protocol.jsonrpc import RpcError
from bifrost.upstreams import paging
from bifrost.upstreams.administration import Tool
from bifrost.upstreams.errors import UpstreamUnavailable
from bifrost.upstreams.models import Upstream

GATEWAY = Identity("session", "gateway")
"""Who asks when nobody's call is made."""

PING_SECONDS = 5.0


class Asks(Protocol):
    async def request(
        self, upstream: Upstream, identity: Identity, method: str, params: Mapping[str, Any], *, seconds: float
    ) -> dict[str, Raw]: ...


@dataclass(frozen=True, slots=True)
class Inspection:
    """`sessions` use an administrator's account where one is needed."""

    sessions: Asks

    async def tools(self, upstream: Upstream, identity: Identity = GATEWAY) -> tuple[Tool, ...]:
        """Raises UpstreamUnavailable, RpcError, and ConnectionRequired while an account is only tried out."""
        found = await paging.listed(upstream.name, "tools", partial(self._page, upstream, identity))
        if found.cut == "bytes":
            raise UpstreamUnavailable(f"{upstream.name} lists tools of more than {paging.MAX_BYTES} bytes.")
        tools: dict[str, Tool] = {}
        for tool in _read_tools(upstream, found.entries):
            tools.setdefault(tool.name, tool)
        return tuple(tools.values())

    async def ping(self, upstream: Upstream) -> None:
        """Raises UpstreamUnavailable, RpcError. An upstream that says it knows no ping has answered all the same."""
        try:
            await self.sessions.request(upstream, GATEWAY, mcp.PING, {}, seconds=PING_SECONDS)
        except RpcError as error:
            if error.code != jsonrpc.METHOD_NOT_FOUND:
                raise

    async def _page(self, upstream: Upstream, identity: Identity, params: Mapping[str, Any]) -> dict[str, Raw]:
        """A server without tools may say that it does not know the question."""
        try:
            return await self.sessions.request(upstream, identity, mcp.TOOLS_LIST, params, seconds=paging.PAGE_SECONDS)
        except RpcError as error:
            if error.code != jsonrpc.METHOD_NOT_FOUND:
                raise
        return {}


def _read_tools(upstream: Upstream, raw: tuple[Raw, ...]) -> list[Tool]:
    """Entries without a name, or with one that none may have, are left out: nobody could call them."""
    try:
        entries: list[Any] = [jsonrpc.value(entry) for entry in raw]
    except (ValueError, RecursionError) as error:
        raise UpstreamUnavailable(f"The list of tools of {upstream.name} cannot be read.") from error
    return [_tool(entry) for entry in entries if isinstance(entry, dict) and _is_name(entry.get("name"))]


def _is_name(name: object) -> bool:
    return isinstance(name, str) and mcp.is_name(name)


def _tool(definition: dict[str, Any]) -> Tool:
    canonical = msgspec.json.encode(definition, order="deterministic")
    return Tool(
        name=definition["name"],
        definition=msgspec.json.encode(definition).decode(),
        hash=hashlib.sha256(canonical).hexdigest(),
    )
