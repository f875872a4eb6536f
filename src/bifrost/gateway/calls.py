"""A tool call: find the tool among those that the caller may use, check the scope, ask the upstream."""

from dataclasses import dataclass

import structlog
from msgspec import Raw

from bifrost.gateway.catalog import Catalog
from bifrost.gateway.errors import InsufficientScope
from bifrost.gateway.models import Call
from bifrost.protocol import jsonrpc, mcp, scope
from bifrost.protocol.jsonrpc import RpcError
from bifrost.upstreams.sessions import UpstreamSessions

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Calls:
    catalog: Catalog
    sessions: UpstreamSessions

    async def call(self, call: Call, params: dict[str, Raw]) -> dict[str, Raw]:
        """The members of the upstream's result. Raises RpcError, InsufficientScope, UpstreamUnavailable.

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
            {**params, "name": tool.name},
            seconds=upstream.tool_execution_timeout,
        )
        log.info("tool_called", upstream=upstream.name, tool=tool.name, identity=call.caller.identity.id)
        return result
