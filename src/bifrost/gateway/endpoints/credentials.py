"""The header forms of a credential, and the request's own tool filters (contract §7)."""

from starlette.requests import Request

from bifrost.identity.callers import Credentials

KEY_HEADERS = ("x-bf-vk", "x-api-key", "x-goog-api-key", "api-key")
SESSION_HEADER = "x-bf-mcp-session-id"
INCLUDE_CLIENTS = "x-bf-mcp-include-clients"
INCLUDE_TOOLS = "x-bf-mcp-include-tools"
_AUTHORIZATION, _SESSION = b"authorization", SESSION_HEADER.encode()
_PRESENTED = frozenset((_AUTHORIZATION, _SESSION, *(name.encode() for name in KEY_HEADERS)))


def credentials(request: Request) -> Credentials:
    """Everything that was presented, so that two can be noticed. Query parameters are never looked at."""
    presented = [(name, value.decode("latin-1")) for name, value in request.scope["headers"] if name in _PRESENTED]
    sessions = [value for name, value in presented if name == _SESSION]
    return Credentials(
        authorization=tuple(value for name, value in presented if name == _AUTHORIZATION),
        keys=tuple(value for name, value in presented if name not in (_SESSION, _AUTHORIZATION)),
        session_id=", ".join(sessions) if sessions else None,
    )


def listed(request: Request, header: str) -> frozenset[str] | None:
    """A comma-separated filter; None when the header is absent, which means no filter."""
    values = request.headers.getlist(header)
    if not values:
        return None
    return frozenset(name.strip() for value in values for name in value.split(",") if name.strip())
