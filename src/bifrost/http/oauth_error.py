"""OAuth's JSON error (RFC 6749 §5.2) for the token and registration endpoints."""

from starlette.requests import Request
from starlette.responses import Response

from bifrost.base import errors
from bifrost.http import encoded, status
from bifrost.protocol import dpop, oauth
from bifrost.protocol.oauth import OAuthError

_CODES: dict[type[errors.DomainError], str] = {
    errors.Unavailable: "temporarily_unavailable",
    errors.TooMany: "temporarily_unavailable",
    errors.Unexpected: "server_error",
}


def render(_request: Request, error: errors.DomainError, _operation: str) -> Response:
    """The renderer of the token and registration surface."""
    headers = status.headers(error)
    if isinstance(error, OAuthError):
        code, http_status = error.code, error.status
        if error.basic:
            headers["WWW-Authenticate"] = 'Basic realm="token"'
        if error.bearer:
            headers["WWW-Authenticate"] = 'Bearer error="invalid_token"'
        if error.retry_after:
            headers["Retry-After"] = str(error.retry_after)
        if error.nonce:
            headers[dpop.NONCE_HEADER] = error.nonce
    else:
        code = next((word for kind, word in _CODES.items() if isinstance(error, kind)), oauth.INVALID_REQUEST)
        http_status = status.of(error)[0]
    fields = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    return encoded.not_stored({"error": code, "error_description": error.message}, http_status, fields)
