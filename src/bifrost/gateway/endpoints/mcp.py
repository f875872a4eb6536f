"""`/mcp` and `/mcp/{slug}`: authenticate, read the message, pick the era, answer."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import structlog
from msgspec import UNSET
from starlette.requests import Request
from starlette.responses import Response

from bifrost.base.errors import DomainError, MethodNotAllowed, StorageFault, Unexpected
from bifrost.gateway.catalog import Catalog
from bifrost.gateway.endpoints import legacy, modern, surface
from bifrost.gateway.endpoints.credentials import INCLUDE_CLIENTS, INCLUDE_TOOLS, credentials, listed
from bifrost.gateway.errors import InsufficientScope
from bifrost.gateway.methods import Method
from bifrost.gateway.models import Call
from bifrost.governance.tool_policy import ToolPolicy
from bifrost.http import body
from bifrost.identity.callers import Callers
from bifrost.protocol import jsonrpc, mcp
from bifrost.protocol.jsonrpc import Message, RpcError

MAX_MESSAGE_BYTES = 4 * 1024 * 1024

_MODERN_STATUS = {
    jsonrpc.METHOD_NOT_FOUND: 404,
    jsonrpc.INVALID_PARAMS: 400,
    jsonrpc.INVALID_REQUEST: 400,
    jsonrpc.PARSE_ERROR: 400,
    mcp.HEADER_MISMATCH: 400,
    mcp.UNSUPPORTED_VERSION: 400,
}

_REFUSED_AS_A_WHOLE = (InsufficientScope, StorageFault)
"""What the HTTP status must say too: the scope challenge, and that storage does not answer."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class McpEndpoint:
    callers: Callers
    catalog: Catalog
    methods: Mapping[str, Method]

    async def __call__(self, request: Request) -> Response:
        """Raises DomainError for refusals of the request as a whole; an answer to its message is always a response."""
        endpoint = await self.catalog.endpoint(request.scope["path"].removesuffix("/"))
        caller = await self.callers.authenticate(credentials(request), endpoint.path)
        if request.method != "POST":
            # without sessions there is no stream to open and none to end; clients go on without
            raise MethodNotAllowed(("POST",))
        policy = ToolPolicy(
            key_configs=caller.key_configs,
            include_clients=listed(request, INCLUDE_CLIENTS),
            include_tools=listed(request, INCLUDE_TOOLS),
        )
        raw = await body.read(request, limit=MAX_MESSAGE_BYTES, content_type="application/json")
        return await self._answer(request, raw, Call(caller=caller, endpoint=endpoint, policy=policy))

    async def _answer(self, request: Request, raw: bytes, call: Call) -> Response:
        try:
            message = jsonrpc.decode(raw)
            is_modern = _is_modern(request, message)
        except RpcError as error:
            return surface.rpc_error(error, None, 400)
        if message.method is UNSET or message.id is UNSET:
            # a notification, or a response to a request that this server never makes: nothing to say
            return Response(status_code=202)
        if message.id is None:
            return surface.rpc_error(RpcError(jsonrpc.INVALID_REQUEST, "A request needs an id."), None, 400)
        try:
            result = await self._result(request, message, call, is_modern=is_modern)
        except RpcError as error:
            status_code = _MODERN_STATUS.get(error.code, 200) if is_modern else 200
            return surface.rpc_error(error, message.id, status_code)
        except _REFUSED_AS_A_WHOLE:
            request.scope[surface.RPC_ID] = message.id
            raise
        except DomainError as error:
            return surface.refusal(request, error, message.id, 200)
        except Exception:
            log.exception("unexpected_error", method=message.method)
            return surface.refusal(request, Unexpected(), message.id, 200)
        return surface.body(jsonrpc.result_response(message.id, result))

    async def _result(self, request: Request, message: Message, call: Call, *, is_modern: bool) -> dict[str, Any]:
        if is_modern:
            return await modern.answer(request, message, call, self.methods)
        return await legacy.answer(message, call, self.methods)


def _is_modern(request: Request, message: Message) -> bool:
    """The era of a request: what its header says, checked against what its body says. Raises RpcError.

    A request without a version header is of the older era, unless its body says otherwise, which is a mismatch.
    """
    header = request.headers.get(mcp.VERSION_HEADER, "").strip() or None
    if header is None and modern.declared_version(message) is None:
        return False
    if header in mcp.LEGACY_VERSIONS and modern.declared_version(message) is None:
        return False
    modern.check_version(request, message)
    return True
