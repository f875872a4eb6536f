"""What can go wrong at the MCP endpoints."""

from bifrost.base.errors import Denied, NotFound


class UnknownEndpoint(NotFound):
    """No upstream and no virtual MCP has this slug."""

    default_code = "unknown_endpoint"


class InsufficientScope(Denied):
    """RFC 6750 §3.1; `scope` names everything that the call needs."""

    default_code = "insufficient_scope"

    def __init__(self, scope: str) -> None:
        super().__init__("The access token does not cover this call.")
        self.scope = scope


class UnknownSession(NotFound):
    """An `Mcp-Session-Id` that this caller has no session under: the client initializes anew (2025-11-25)."""

    default_code = "unknown_session"
