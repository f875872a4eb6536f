"""Methods of extensions, which the gateway knows nothing of: they go to the one upstream that the endpoint is.

Only where both sides declared the same extension (2026-07-28, versioning), and only for callers who may use everything
of that upstream: what such a method does, no filter of tools could tell.
"""

import re
from dataclasses import dataclass
from typing import Any

from msgspec import Raw

from bifrost.gateway.errors import InsufficientScope
from bifrost.gateway.forward import EXTENSIONS, Forward
from bifrost.gateway.lists import opens
from bifrost.gateway.models import Call, Route
from bifrost.gateway.quota import Quota
from bifrost.gateway.request_state import REQUEST_STATE
from bifrost.protocol import jsonrpc, scope
from bifrost.protocol.jsonrpc import RpcError

_NAME = re.compile(r"[A-Za-z0-9_.$/-]{1,128}")
"""It also goes into a header field."""

_OF_THE_PROTOCOL = frozenset(
    ("completion", "elicitation", "initialize", "logging", "notifications", "ping", "prompts", "resources", "roots")
    + ("sampling", "server", "subscriptions", "tools")
)
"""Areas whose methods mean what they mean, whatever an upstream says: filters and admission are there for them."""


@dataclass(frozen=True, slots=True)
class Extensions:
    forward: Forward
    quota: Quota

    async def call(self, call: Call, method: str, params: dict[str, Raw]) -> Raw:
        """The upstream's result, as its bytes.

        Raises RpcError (-32601 where there is no such method), InsufficientScope, UpstreamUnavailable,
        ConnectionRequired, RateLimited, BudgetExceeded.
        """
        upstream = call.endpoint.only
        if upstream is None or not _can_be_one(method) or not opens(call, upstream):
            raise _unknown(method)
        route = Route(upstream=upstream, method=method, param="", key="", seconds=upstream.tool_execution_timeout)
        if not await self._agreed(call, route):
            raise _unknown(method)
        if not scope.allows(call.caller.scope, scope.WRITE):
            raise InsufficientScope(scope.DEFAULT)
        if REQUEST_STATE not in params:  # as with tools (`calls.py`)
            self.forward.places.check(upstream)  # before the quota: what is refused here counts nowhere
        async with self.quota.taken(call.caller.identity, 0):
            return await self.forward.send(call, route, params)

    async def _agreed(self, call: Call, route: Route) -> bool:
        """Whether client and upstream have an extension in common; its methods are known to these two alone."""
        declared = jsonrpc.object_members(jsonrpc.object_members(Raw(call.client.capabilities)).get(EXTENSIONS))
        if not declared:
            return False
        facts = await self.forward.sessions.facts(self.forward.peer(call, route))
        return bool(declared.keys() & _names(facts.capabilities))


def _names(capabilities: dict[str, Any]) -> set[str]:
    extensions = capabilities.get(EXTENSIONS)
    return set(extensions) if isinstance(extensions, dict) else set()


def _can_be_one(method: str) -> bool:
    return bool(_NAME.fullmatch(method)) and method.partition("/")[0] not in _OF_THE_PROTOCOL


def _unknown(method: str) -> RpcError:
    return RpcError(jsonrpc.METHOD_NOT_FOUND, f"This gateway does not offer {method[:64]}.")
