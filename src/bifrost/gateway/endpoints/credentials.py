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
_OTHERS = _KEYS | {_SESSION, _PROOF}
_KEY = b"key"
"""Any of them."""


def credentials(request: Request) -> Credentials:
    """Everything that was presented, so that two can be noticed. Query parameters are never looked at."""
    authorization: list[str] = []
    others: dict[bytes, list[str]] = {}
    for name, value in request.scope["headers"]:
        if name == _AUTHORIZATION:
            authorization.append(value.decode("latin-1"))
        elif name in _OTHERS:
            others.setdefault(_KEY if name in _KEYS else name, []).append(value.decode("latin-1"))
    return Credentials(
        authorization=tuple(authorization),
        keys=tuple(others.get(_KEY, ())),
        session_id=", ".join(others[_SESSION]) if _SESSION in others else None,
        proofs=SentProofs(values=tuple(others.get(_PROOF, ())), method=request.method, url=public_url(request)),
    )


def listed(request: Request, header: str) -> frozenset[str] | None:
    """A comma-separated filter; None when the header is absent, which means no filter."""
    values = request.headers.getlist(header)
    if not values:
        return None
    return frozenset(name.strip() for value in values for name in value.split(",") if name.strip())
