"""A call that needs an account which its caller has not connected yet: the link, in the form the client understands."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from bifrost.base import ids
from bifrost.gateway.models import Call
from bifrost.identity.models import Identity
from bifrost.protocol import bearer, jsonrpc, mcp, scope
from bifrost.protocol.jsonrpc import RpcError
from bifrost.upstreams.errors import ConnectionRequired

AUTH_REQUIRED = "mcp_auth_required"
WWW_AUTHENTICATE = "mcp/www_authenticate"
"""Read by clients that show their own sign-in when a tool's result carries a challenge; our services are part of it."""


@dataclass(frozen=True, slots=True)
class LazyAuthorization:
    offer: Callable[[Identity, str], Awaitable[str]]
    """Makes the link for a person; with an upstream's id the link opens that one's form."""

    missing: Callable[[Identity], Awaitable[Sequence[str]]]
    """The names of all services that this person has yet to connect."""

    metadata_url: Callable[[str], str | None]
    """Of the protected resource at this path; None where nobody can sign in."""

    async def result(self, required: ConnectionRequired, call: Call) -> dict[str, Any]:
        """By what the client can do: a request for input (2026-07-28), or for all others a text with the link.

        Raises RpcError -32042 for clients that open URLs in the older era (2025-11-25, elicitation).
        """
        identity, by_headers = call.caller.identity, required.kind == "headers"
        services = list(dict.fromkeys([required.upstream_name, *await self.missing(identity)]))
        alone = by_headers and len(services) == 1
        url = await self.offer(identity, required.upstream_id if alone else "")
        facts = {
            "kind": required.kind,
            "service": required.upstream_name,
            "services": services,
            "mcp_client_id": required.upstream_id,
            ("submit_url" if by_headers else "authorize_url"): url,
        }
        elicitation = {"mode": "url", "message": f"Connect your account at {_listed(services)}.", "url": url}
        if not call.client.opens_urls:
            return self._text(call, facts, services, url)
        if call.client.modern:
            return _input_required(elicitation, facts)
        raise _elicitation_required(elicitation, facts)

    def _text(self, call: Call, facts: dict[str, Any], services: list[str], url: str) -> dict[str, Any]:
        message = f"{facts['service']} needs your own account. Open this link to connect it: {url}"
        if len(services) > 1:
            message += f" It connects {_listed(services)}."
        return {
            "content": [{"type": "text", "text": message}],
            "isError": True,
            "_meta": {AUTH_REQUIRED: facts, **self._challenge(call, services)},
        }

    def _challenge(self, call: Call, services: list[str]) -> dict[str, list[str]]:
        metadata_url = self.metadata_url(call.endpoint.path)
        if metadata_url is None:
            return {}
        said = bearer.challenge(
            metadata_url=metadata_url,
            scope=scope.DEFAULT,
            error="insufficient_scope",
            description=f"Connect your account at {_listed(services)}.",
        )
        return {WWW_AUTHENTICATE: [said]}


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


def _input_required(elicitation: dict[str, Any], facts: dict[str, Any]) -> dict[str, Any]:
    return {
        "resultType": mcp.INPUT_REQUIRED,
        "inputRequests": {"connect": {"method": mcp.ELICITATION_CREATE, "params": elicitation}},
        "requestState": AUTH_REQUIRED,
        "_meta": {AUTH_REQUIRED: facts},
    }


def _elicitation_required(elicitation: dict[str, Any], facts: dict[str, Any]) -> RpcError:
    asked = {**elicitation, "elicitationId": ids.new_id("elicit_")}
    data = jsonrpc.encode({"elicitations": [asked], AUTH_REQUIRED: facts})
    return RpcError(mcp.URL_ELICITATION_REQUIRED, str(elicitation["message"]), data)


def _listed(services: list[str]) -> str:
    if len(services) == 1:
        return services[0]
    return f"{', '.join(services[:-1])} and {services[-1]}"
