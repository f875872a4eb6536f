"""A call that needs an account which its caller has not connected yet: the link, in the form the client understands."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from bifrost.identity.models import Identity
from bifrost.protocol import jsonrpc, mcp
from bifrost.upstreams.errors import ConnectionRequired

AUTH_REQUIRED = "mcp_auth_required"


@dataclass(frozen=True, slots=True)
class LazyAuthorization:
    offer: Callable[[Identity, str], Awaitable[str]]
    """Makes the link for a person and, if it is about one service that asks for values, that service's id."""

    async def result(self, required: ConnectionRequired, identity: Identity, capabilities: Any) -> dict[str, Any]:
        """For a client that can open URLs a request for input (2026-07-28), for all others a text with the link."""
        by_headers = required.kind == "headers"
        url = await self.offer(identity, required.upstream_id if by_headers else "")
        message = f"{required.upstream_name} needs your own account. Open this link to connect it: {url}"
        facts = {
            "kind": required.kind,
            "service": required.upstream_name,
            "mcp_client_id": required.upstream_id,
            ("submit_url" if by_headers else "authorize_url"): url,
        }
        if _opens_urls(capabilities):
            elicitation = {"mode": "url", "message": f"Connect your account at {required.upstream_name}.", "url": url}
            request = {"method": mcp.ELICITATION_CREATE, "params": elicitation}
            return {
                "resultType": mcp.INPUT_REQUIRED,
                "inputRequests": {"connect": request},
                "requestState": AUTH_REQUIRED,
                "_meta": {AUTH_REQUIRED: facts},
            }
        return {
            "content": [{"type": "text", "text": message}],
            "isError": True,
            "_meta": {AUTH_REQUIRED: facts},
        }


def connect_tool(name: str, service: str) -> dict[str, Any]:
    """Stands in for the tools of a service that is not connected, so that a model can see that it exists."""
    return {
        "name": jsonrpc.raw(name),
        "title": jsonrpc.raw(f"Connect {service}"),
        "description": jsonrpc.raw(
            f"{service} is available but not connected yet. Call this for the link with which the person connects it."
        ),
        "inputSchema": jsonrpc.raw({"type": "object", "properties": {}}),
        "annotations": jsonrpc.raw({"readOnlyHint": True}),
    }


def _opens_urls(capabilities: Any) -> bool:
    elicitation = capabilities.get("elicitation") if isinstance(capabilities, dict) else None
    return isinstance(elicitation, dict) and isinstance(elicitation.get("url"), dict)
