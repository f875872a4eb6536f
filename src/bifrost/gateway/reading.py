"""Resources, prompts and completion: each request finds its upstream by what it names, and goes there."""

from dataclasses import dataclass

from msgspec import Raw

from bifrost.gateway.errors import InsufficientScope
from bifrost.gateway.forward import Forward
from bifrost.gateway.lists import Lists
from bifrost.gateway.models import Call, Route
from bifrost.protocol import jsonrpc, mcp, scope
from bifrost.protocol.jsonrpc import RpcError
from bifrost.upstreams.models import Upstream

READ_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Reading:
    lists: Lists
    forward: Forward

    async def resource(self, call: Call, params: dict[str, Raw]) -> Raw:
        """Raises RpcError, InsufficientScope, UpstreamUnavailable, ConnectionRequired."""
        route = await self.resource_route(call, params, mcp.RESOURCES_READ)
        return await self.forward.send(call, route, params)

    async def prompt(self, call: Call, params: dict[str, Raw]) -> Raw:
        """Raises RpcError, InsufficientScope, UpstreamUnavailable, ConnectionRequired."""
        _check_scope(call)
        name = _text(params, "name")
        owner = await self.lists.prompt_owner(call, name)
        if owner is None:
            raise RpcError(jsonrpc.INVALID_PARAMS, f"Unknown prompt: {name[:128]}")
        return await self.forward.send(call, _route(owner, mcp.PROMPTS_GET, "name"), params)

    async def completion(self, call: Call, params: dict[str, Raw]) -> Raw:
        """`ref` names a prompt, or a resource's URI or template.

        Raises RpcError, InsufficientScope, UpstreamUnavailable, ConnectionRequired.
        """
        _check_scope(call)
        ref = jsonrpc.object_members(params.get("ref"))
        if jsonrpc.text(ref.get("type")) == "ref/prompt":
            name, member = _text(ref, "name"), "name"
            owner = await self.lists.prompt_owner(call, name)
        else:
            name, member = _text(ref, "uri"), "uri"
            owner = await self.lists.resource_owner(call, name)
        if owner is None:
            raise RpcError(jsonrpc.INVALID_PARAMS, f"Nothing is known here by the name {name[:128]}.")
        upstream, own = owner
        route = Route(upstream=upstream, method=mcp.COMPLETE_ARGUMENT, param="", key=own, seconds=READ_SECONDS)
        return await self.forward.send(call, route, {**params, "ref": jsonrpc.raw({**ref, member: own})})

    async def resource_route(self, call: Call, params: dict[str, Raw], method: str) -> Route:
        """Raises RpcError: it is nobody's, or nobody's for this caller."""
        _check_scope(call)
        uri = _text(params, "uri")
        owner = await self.lists.resource_owner(call, uri)
        if owner is None:
            raise RpcError(mcp.RESOURCE_NOT_FOUND, "Resource not found.", jsonrpc.encode({"uri": uri[:2_048]}))
        return _route(owner, method, "uri")


def _route(owner: tuple[Upstream, str], method: str, param: str) -> Route:
    upstream, own = owner
    return Route(upstream=upstream, method=method, param=param, key=own, seconds=READ_SECONDS)


def _text(params: dict[str, Raw], member: str) -> str:
    value = jsonrpc.text(params.get(member))
    if value is None:
        raise RpcError(jsonrpc.INVALID_PARAMS, f"The parameter {member} is missing.")
    return value


def _check_scope(call: Call) -> None:
    if not scope.allows(call.caller.scope, scope.READ):
        raise InsufficientScope(scope.DEFAULT)
