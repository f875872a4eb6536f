"""A tool call: find the tool among those that the caller may use, check the scope, ask the upstream."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import structlog
from msgspec import Raw

from bifrost.gateway.catalog import Catalog
from bifrost.gateway.errors import InsufficientScope
from bifrost.gateway.lazy_authorization import LazyAuthorization
from bifrost.gateway.models import Call
from bifrost.protocol import jsonrpc, mcp, scope
from bifrost.protocol.jsonrpc import RpcError
from bifrost.upstreams.errors import ConnectionRequired
from bifrost.upstreams.sessions import UpstreamSessions

_OURS = ("inputResponses", "requestState")
"""Answers to a request for input that this gateway made: the call is simply made again."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Calls:
    catalog: Catalog
    sessions: UpstreamSessions
    lazy: LazyAuthorization

    async def call(self, call: Call, params: dict[str, Raw]) -> Mapping[str, Any]:
        """The members of a result: the upstream's, or where to connect the account that it needs.

        Raises RpcError, InsufficientScope, UpstreamUnavailable.
        """
        try:
            return await self._call(call, params)
        except ConnectionRequired as required:
            return await self.lazy.result(required, call.caller.identity, _capabilities(params))

    async def _call(self, call: Call, params: dict[str, Raw]) -> dict[str, Raw]:
        """Raises RpcError, InsufficientScope, UpstreamUnavailable, ConnectionRequired.

        A tool that the caller may not use is answered as one that does not exist.
        """
        name = jsonrpc.text(params.get("name"))
        if name is None:
            raise RpcError(jsonrpc.INVALID_PARAMS, "The parameter name is missing.")
        found = await self.catalog.find(call, name)
        if found is None:
            raise RpcError(jsonrpc.INVALID_PARAMS, f"Unknown tool: {name[:128]}")
        upstream, tool = found
        if not scope.allows(call.caller.scope, scope.READ if tool.read_only else scope.WRITE):
            raise InsufficientScope(scope.DEFAULT)
        result = await self.sessions.request(
            upstream,
            call.caller.identity,
            mcp.TOOLS_CALL,
            {**{member: raw for member, raw in params.items() if member not in _OURS}, "name": tool.name},
            seconds=upstream.tool_execution_timeout,
        )
        log.info("tool_called", upstream=upstream.name, tool=tool.name, identity=call.caller.identity.id)
        return result


def _capabilities(params: dict[str, Raw]) -> Any:
    """What the client of this request says it can do; older clients do not say so in a request."""
    try:
        return jsonrpc.value(jsonrpc.members(params.get("_meta", Raw(b"{}")))[mcp.META_CAPABILITIES])
    except (KeyError, ValueError, RecursionError):
        return None
