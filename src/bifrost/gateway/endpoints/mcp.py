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
from bifrost.protocol.jsonrpc import Id, Message, RpcError

MAX_MESSAGE_BYTES = 4 * 1024 * 1024

_MODERN_STATUS = {
    jsonrpc.METHOD_NOT_FOUND: 404,
    jsonrpc.INVALID_PARAMS: 400,
    jsonrpc.INVALID_REQUEST: 400,
    jsonrpc.PARSE_ERROR: 400,
    mcp.HEADER_MISMATCH: 400,
    mcp.UNSUPPORTED_VERSION: 400,
}

_NOT_IN_MODERN = {mcp.RESOURCE_NOT_FOUND: jsonrpc.INVALID_PARAMS, mcp.URL_ELICITATION_REQUIRED: jsonrpc.INTERNAL_ERROR}
"""Codes of the older era that the stateless revision does not know (2026-07-28, base)."""

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
        except RpcError as error:
            return surface.rpc_error(error, None, 400)
        try:
            is_modern = _is_modern(request, message)
        except RpcError as error:
            return surface.rpc_error(error, None if message.id is UNSET else message.id, 400)
        if message.method is UNSET or message.id is UNSET:
            # a notification, or a response to a request that this server never makes: nothing to say
            return Response(status_code=202)
        if message.id is None:
            return surface.rpc_error(RpcError(jsonrpc.INVALID_REQUEST, "A request needs an id."), None, 400)
        return await self._respond(request, message, message.id, call, is_modern=is_modern)

    async def _respond(
        self, request: Request, message: Message, request_id: Id, call: Call, *, is_modern: bool
    ) -> Response:
        """The answer to one request, result or error."""
        try:
            result = await self._result(request, message, call, is_modern=is_modern)
        except RpcError as error:
            if not is_modern:
                return surface.rpc_error(error, request_id, 200)
            error.code = _NOT_IN_MODERN.get(error.code, error.code)
            return surface.rpc_error(error, request_id, _MODERN_STATUS.get(error.code, 200))
        except _REFUSED_AS_A_WHOLE:
            request.scope[surface.RPC_ID] = request_id
            raise
        except DomainError as error:
            return surface.refusal(request, error, request_id, 200)
        except Exception:
            log.exception("unexpected_error", method=message.method)
            return surface.refusal(request, Unexpected(), request_id, 200)
        return surface.body(jsonrpc.result_response(request_id, result))

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
