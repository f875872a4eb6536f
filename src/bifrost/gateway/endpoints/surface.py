"""How errors look at the MCP endpoints: JSON-RPC, with the HTTP status and challenge that the revisions ask for."""

from collections.abc import Callable

from starlette.requests import Request
from starlette.responses import Response

from bifrost.base.errors import DomainError, TooMany, Unauthenticated, Unexpected
from bifrost.gateway.errors import InsufficientScope
from bifrost.http import status
from bifrost.http.encoded import NO_STORE
from bifrost.http.surface import event_id, public_origin
from bifrost.identity.callers import AuthMode, MissingCredentials
from bifrost.identity.errors import NonceNeeded, ProofRefused, TokenBound
from bifrost.protocol import bearer, dpop, jsonrpc, metadata, scope
from bifrost.protocol.jsonrpc import Id, RpcError

RPC_ID = "mcp_request_id"
"""Where the endpoint leaves the id of the request that it refuses as a whole."""


def renderer(mode: AuthMode) -> Callable[[Request, DomainError, str], Response]:
    def render(request: Request, error: DomainError, _operation: str) -> Response:
        answer = refusal(request, error, request.scope.get(RPC_ID), status.of(error)[0])
        fields = status.headers(error)
        challenge = _challenge(request, error, mode)
        if challenge:
            fields["WWW-Authenticate"] = challenge
        if isinstance(error, NonceNeeded):
            fields[dpop.NONCE_HEADER] = error.nonce
        answer.raw_headers += [(name.lower().encode(), value.encode("latin-1")) for name, value in fields.items()]
        return answer

    return render


def refusal(request: Request, error: DomainError, request_id: Id | None, status_code: int) -> Response:
    """A domain error as the answer to one request; `data` says in one word which, and where to find it in the log."""
    code = jsonrpc.INTERNAL_ERROR if isinstance(error, Unexpected) else jsonrpc.SERVER_ERROR
    waits = {"retry_after": error.retry_after} if isinstance(error, TooMany) else {}
    data = jsonrpc.encode({"code": error.code, "event_id": event_id(request), **waits})
    return rpc_error(RpcError(code, error.message, data), request_id, status_code)


def rpc_error(error: RpcError, request_id: Id | None, status_code: int) -> Response:
    answer = body(jsonrpc.error_response(request_id, error), status_code)
    answer.raw_headers.append(NO_STORE)  # a 404 or 405 to a GET may be kept otherwise (RFC 9111 §4.2.2)
    return answer


def body(raw: bytes, status_code: int = 200) -> Response:
    return _Json(raw, status_code)


class _Json(Response):
    """What Starlette would make of it, without looking for what it might be."""

    background = None

    def __init__(self, raw: bytes, status_code: int) -> None:
        self.body, self.status_code = raw, status_code
        self.raw_headers = [(b"content-length", b"%d" % len(raw)), (b"content-type", b"application/json")]


def _challenge(request: Request, error: DomainError, mode: AuthMode) -> str | None:
    """RFC 9728 §5.1: each endpoint points to the metadata of exactly the address that was called.

    In the scheme that was used, with why (RFC 9449 §7.1); a bound token that came as Bearer hears of both (§7.2).
    """
    if not isinstance(error, (InsufficientScope, Unauthenticated)):
        return None
    document = metadata.protected_resource_path(request.scope["path"])
    metadata_url = None if mode == "headers" else f"{public_origin(request)}{document}"
    used = request.headers.get("authorization", "").partition(" ")[0]
    scheme = dpop.SCHEME if used.lower() == dpop.SCHEME.lower() else bearer.BEARER
    if isinstance(error, InsufficientScope):
        return bearer.challenge(metadata_url=metadata_url, scope=error.scope, error=error.code, scheme=scheme)
    named = "" if isinstance(error, MissingCredentials) else _named(error)
    said = bearer.challenge(metadata_url=metadata_url, scope=scope.DEFAULT, error=named, scheme=scheme)
    return f"{said}, {dpop.SCHEME} {bearer.ALGORITHMS}" if isinstance(error, TokenBound) else said


def _named(error: Unauthenticated) -> str:
    """RFC 6750 §3.1: one word for every token that is not valid; a proof has words of its own."""
    return error.code if isinstance(error, ProofRefused) else "invalid_token"
