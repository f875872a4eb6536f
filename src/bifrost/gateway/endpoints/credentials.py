"""The header forms of a credential, and the request's own tool filters (contract §7)."""

from starlette.requests import Request

from bifrost.http.surface import public_url
from bifrost.identity.callers import Credentials
from bifrost.identity.proofs import SentProofs
from bifrost.protocol import dpop

KEY_HEADERS = ("x-bf-vk", "x-api-key", "x-goog-api-key", "api-key")
SESSION_HEADER = "x-bf-mcp-session-id"
INCLUDE_CLIENTS = "x-bf-mcp-include-clients"
INCLUDE_TOOLS = "x-bf-mcp-include-tools"
_AUTHORIZATION, _SESSION, _PROOF = b"authorization", SESSION_HEADER.encode(), dpop.HEADER.lower().encode()
_KEYS = frozenset(name.encode() for name in KEY_HEADERS)
_PRESENTED = _KEYS | {_AUTHORIZATION, _SESSION, _PROOF}


def credentials(request: Request) -> Credentials:
    """Everything that was presented, so that two can be noticed. Query parameters are never looked at."""
    presented = [(name, value.decode("latin-1")) for name, value in request.scope["headers"] if name in _PRESENTED]
    proofs = tuple(value for name, value in presented if name == _PROOF)
    sessions = [value for name, value in presented if name == _SESSION]
    return Credentials(
        authorization=tuple(value for name, value in presented if name == _AUTHORIZATION),
        keys=tuple(value for name, value in presented if name in _KEYS),
        session_id=", ".join(sessions) if sessions else None,
        proofs=SentProofs(values=proofs, method=request.method, url=public_url(request)),
    )


def listed(request: Request, header: str) -> frozenset[str] | None:
    """A comma-separated filter; None when the header is absent, which means no filter."""
    values = request.headers.getlist(header)
    if not values:
        return None
    return frozenset(name.strip() for value in values for name in value.split(",") if name.strip())
