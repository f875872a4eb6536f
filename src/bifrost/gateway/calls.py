"""A tool call: find the tool among those that the caller may use, check the scope, ask the upstream."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from msgspec import Raw

from bifrost.base import log_context
from bifrost.gateway.errors import InsufficientScope
from bifrost.gateway.forward import Forward, asks
from bifrost.gateway.lazy_authorization import LazyAuthorization
from bifrost.gateway.lists import Lists
from bifrost.gateway.models import Call, Route
from bifrost.gateway.quota import Quota
from bifrost.gateway.request_state import REQUEST_STATE, RequestStates
from bifrost.protocol import jsonrpc, mcp, mirrored_headers, scope
from bifrost.protocol.jsonrpc import RpcError
from bifrost.upstreams.errors import ConnectionRequired
from bifrost.upstreams.links.base import TASK, without


@dataclass(frozen=True, slots=True)
class Calls:
    lists: Lists
    forward: Forward
    states: RequestStates
    lazy: LazyAuthorization
    quota: Quota
    log: Any = field(default_factory=log_context.bound_logger)

    async def call(self, call: Call, params: dict[str, Raw]) -> Raw:
        """The upstream's result, as its bytes, or where to connect the account that it needs.

        Raises RpcError, InsufficientScope, UpstreamUnavailable, UpstreamFull.
        """
        name = jsonrpc.text(params.get("name"))
        if name is None:
            raise RpcError(jsonrpc.INVALID_PARAMS, "The parameter name is missing.")
        owner = await self.lists.tool_owner(call, name)
        if owner is None:
            raise _unknown(name)
        if not call.client.modern:
            params = without(TASK, params)  # tasks are not offered: it is a call like any other (2025-11-25, tasks)
        upstream, own = owner
        route = Route(
            upstream=upstream,
            method=mcp.TOOLS_CALL,
            param="name",
            key=own,
            seconds=upstream.tool_execution_timeout,
        )
        try:
            return await self._call(call, route, params, name)
        except ConnectionRequired as required:
            return await self._connect(call, route, params, required)

    async def _call(self, call: Call, route: Route, params: dict[str, Raw], name: str) -> Raw:
        """A tool that the caller may not use is answered as one that does not exist."""
        tool = await self.lists.tool(call, route.upstream, route.key)
        if tool is None:
            raise _unknown(name)
        # Admission: whoever may not call this, or not now, is refused here, before anything goes upstream.
        if not scope.allows(call.caller.scope, scope.READ if tool.read_only else scope.WRITE):
            raise InsufficientScope(scope.DEFAULT)
        if call.client.modern and tool.mirrored:
            # they repeat what the body says, or a proxy was deceived by them
            mirrored_headers.check(tool.mirrored, call.client.mirrored, params.get("arguments"))
        if REQUEST_STATE not in params:  # else it comes with answers, and waits, or has its place
            self.forward.places.check(route.upstream)  # before the quota: what is refused here counts nowhere
        async with self.quota.taken(call.caller.identity, route.upstream.price_of(route.key)) as cost:
            result = await self.forward.send(call, route.mirroring(tool), params)
            cost.due = not asks(result)
        # Settled: the upstream did its work, whatever it says about it.
        self.log.info("tool_called", upstream=route.upstream.name, tool=route.key, identity=call.caller.identity.id)
        return result

    async def _connect(self, call: Call, route: Route, params: Mapping[str, Any], required: ConnectionRequired) -> Raw:
        """Raises RpcError."""
        result = await self.lazy.result(required, call)
        if REQUEST_STATE in result:
            result[REQUEST_STATE] = self.states.seal(call, route, params, own=True)
        return jsonrpc.raw(result)


def _unknown(name: str) -> RpcError:
    return RpcError(jsonrpc.INVALID_PARAMS, f"Unknown tool: {name[:128]}")
