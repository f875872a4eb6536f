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


def credentials(request: Request) -> Credentials:
    """Everything that was presented, so that two can be noticed. Query parameters are never looked at."""
    headers = request.headers
    sessions = headers.getlist(SESSION_HEADER)
    return Credentials(
        authorization=tuple(headers.getlist("authorization")),
        keys=tuple(value for name in KEY_HEADERS for value in headers.getlist(name)),
        session_id=", ".join(sessions) if sessions else None,
        proofs=SentProofs(values=tuple(headers.getlist(dpop.HEADER)), method=request.method, url=public_url(request)),
    )


def listed(request: Request, header: str) -> frozenset[str] | None:
    """A comma-separated filter; None when the header is absent, which means no filter."""
    values = request.headers.getlist(header)
    if not values:
        return None
    return frozenset(name.strip() for value in values for name in value.split(",") if name.strip())
