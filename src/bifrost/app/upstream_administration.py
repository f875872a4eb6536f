"""What administers upstreams: the management API's use-cases, sign-ins of administrators, and the upkeep."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from bifrost.app.credential_life import credential_life
from bifrost.app.foundation import Foundation
from bifrost.authserver.endpoints.admin_sign_in import page_path
from bifrost.http.api import Api
from bifrost.storage.upstream_administration import SqlUpstreamAdministrationStore
from bifrost.telemetry.logging import hidden
from bifrost.upstreams.accounts import discovery_owner
from bifrost.upstreams.admin_sign_ins import AdminSignIns
from bifrost.upstreams.auth.base import UpstreamAuth
from bifrost.upstreams.auth.discovery_headers import DiscoveryHeaders
from bifrost.upstreams.auth.none import NoAuth
from bifrost.upstreams.auth.oauth import OAuth, SetUpOAuth
from bifrost.upstreams.auth.static_headers import StaticHeaders
from bifrost.upstreams.credential_life import CredentialLife
from bifrost.upstreams.endpoints.bodies import (
    AddClient,
    ChangeClient,
    Clients,
    Done,
    ListClients,
    OAuthStatus,
    PendingOAuth,
    VerifyHeaders,
)
from bifrost.upstreams.endpoints.clients import ClientEndpoints
from bifrost.upstreams.inspection import Inspection
from bifrost.upstreams.management import Management
from bifrost.upstreams.oauth.discovery import Discovery
from bifrost.upstreams.oauth.registration import CLIENT_ID_DOCUMENT, Registrations
from bifrost.upstreams.oauth.sign_in import SignIns
from bifrost.upstreams.probe import Probe
from bifrost.upstreams.sessions import UpstreamSessions
from bifrost.upstreams.single_questions import Questions
from bifrost.upstreams.states import UpstreamStates
from bifrost.upstreams.submissions import Submissions
from bifrost.upstreams.transports.base import Pipes
from bifrost.upstreams.transports.http_sse import HttpSse
from bifrost.upstreams.transports.streamable_http import StreamableHttp
from bifrost.upstreams.upkeep import Upkeep


@dataclass(frozen=True, slots=True, kw_only=True)
class UpstreamAdministration:
    store: SqlUpstreamAdministrationStore
    admin_sign_ins: AdminSignIns
    upkeep: Upkeep
    life: CredentialLife
    management: Management


def upstream_administration(parts: Foundation) -> UpstreamAdministration:
    store = SqlUpstreamAdministrationStore(parts.database, parts.accounts)
    states = UpstreamStates(parts.upstream_store, parts.clock)
    transport = StreamableHttp(parts.outbound.inside, parts.outbound.vetted)
    pipes: dict[str, Pipes] = {"sse": HttpSse(), "stdio": parts.stdio}
    as_gateway: dict[str, UpstreamAuth] = {
        "none": NoAuth(),
        "headers": StaticHeaders(parts.vault),
        "oauth": OAuth(parts.credentials, states),
        "per_user_oauth": OAuth(parts.credentials, states, discovery_owner),
        "per_user_headers": DiscoveryHeaders(parts.accounts, states, parts.clock),
    }
    tried_out: dict[str, UpstreamAuth] = dict.fromkeys(("oauth", "per_user_oauth"), SetUpOAuth(parts.credentials))
    admin_sign_ins = AdminSignIns(
        store,
        parts.upstreams,
        _sign_ins(parts),
        Inspection(Questions(UpstreamSessions(transport, tried_out, pipes))),
        states,
        parts.clock,
    )
    inspection = Inspection(Questions(UpstreamSessions(transport, as_gateway, pipes)))
    upkeep = Upkeep(store, parts.upstreams, inspection, parts.credentials, states, parts.clock)
    life = credential_life(parts)
    management = Management(
        store,
        parts.upstreams,
        admin_sign_ins,
        upkeep,
        life,
        Submissions(parts.accounts, transport, parts.clock),
        parts.vault,
        parts.outbound,
        _named_by_keys(parts),
        parts.clock,
        _stderr(parts),
    )
    return UpstreamAdministration(
        store=store, admin_sign_ins=admin_sign_ins, upkeep=upkeep, life=life, management=management
    )


def _stderr(parts: Foundation) -> Callable[[str], list[str]]:
    return lambda upstream_id: [hidden(line) for line in parts.stdio.programs.printed(upstream_id)]


def _named_by_keys(parts: Foundation) -> Callable[[str], Awaitable[int]]:
    async def named_by_keys(name: str) -> int:
        of_keys = [key.mcp_configs for key in await parts.virtual_keys.all()]
        of_virtual_mcps = [one.mcp_configs for one in await parts.virtual_mcps.all()]
        return sum(any(one.mcp_client_name == name for one in configs) for configs in (*of_keys, *of_virtual_mcps))

    return named_by_keys


def _sign_ins(parts: Foundation) -> SignIns:
    issuer = parts.public_urls.issuer
    return SignIns(
        store=parts.accounts,
        discovery=Discovery(parts.outbound),
        registrations=Registrations(
            client=parts.outbound,
            store=parts.accounts,
            clock=parts.clock,
            issuer=issuer,
            client_id_document_url=parts.settings.client.client_id_metadata_document_url
            or (f"{issuer}{CLIENT_ID_DOCUMENT}" if parts.public_urls.secure else None),
            key=parts.client_key,
        ),
        tokens=parts.token_client,
        probe=Probe(StreamableHttp(parts.outbound.inside, parts.outbound.vetted)),
        vault=parts.vault,
        clock=parts.clock,
    )


def upstream_operations(api: Api, parts: Foundation, administration: UpstreamAdministration) -> None:
    """`/api/mcp/client…` and `/api/oauth/config/…` (contract §9)."""
    issuer = parts.public_urls.issuer
    clients = ClientEndpoints(
        administration.management,
        administration.admin_sign_ins,
        lambda oauth_config_id: f"{issuer}{page_path(oauth_config_id)}",
    )
    _client_operations(api, clients)
    _look_operations(api, clients)
    _sign_in_operations(api, clients)


def _client_operations(api: Api, clients: ClientEndpoints) -> None:
    one = "/api/mcp/client/{id}"
    api.route(
        "/api/mcp/clients",
        clients.clients,
        "GET",
        operation="mcp_clients_list",
        summary="The MCP clients: upstream servers, with their state and the tools that were seen",
        takes=ListClients,
        gives=Clients,
    )
    api.route(
        "/api/mcp/client",
        clients.add,
        "POST",
        operation="mcp_client_add",
        summary="Add an MCP client; with oauth and per_user_oauth the answer says how to sign in first",
        takes=AddClient,
        gives=Done,
    )
    api.route(
        one,
        clients.change,
        "PUT",
        operation="mcp_client_change",
        summary="Change members of an MCP client; what is left out stays",
        takes=ChangeClient,
        gives=Done,
    )
    api.route(
        one,
        clients.delete,
        "DELETE",
        operation="mcp_client_delete",
        summary="Delete an MCP client with everything that hangs on it",
        gives=Done,
    )


def _look_operations(api: Api, clients: ClientEndpoints) -> None:
    one = "/api/mcp/client/{id}"
    for name, endpoint, operation, summary in (
        ("reconnect", clients.reconnect, "mcp_client_reconnect", "Contact it now"),
        ("refresh-tools", clients.refresh_tools, "mcp_client_refresh_tools", "Look at its tools now"),
    ):
        api.route(f"{one}/{name}", endpoint, "POST", operation=operation, summary=summary, gives=Done)
    api.route(
        f"{one}/verify-headers",
        clients.verify_headers,
        "POST",
        operation="mcp_client_verify_headers",
        summary="Give values for the headers of per_user_headers, with which its tools are seen and nothing else",
        takes=VerifyHeaders,
        gives=Done,
    )


_BEGINNINGS = {
    "initiate-verification": "Begin the first sign-in of one that was declared without",
    "reauthorize": "Begin another sign-in, in the place of the account that is there",
    "reregister": "Register anew where it signs in, then sign in; every account there ends",
}


def _sign_in_operations(api: Api, clients: ClientEndpoints) -> None:
    one, config = "/api/mcp/client/{id}", "/api/oauth/config/{id}"
    begins = {
        "initiate-verification": clients.verify,
        "reauthorize": clients.reauthorize,
        "reregister": clients.reregister,
    }
    for name, summary in _BEGINNINGS.items():
        operation = f"mcp_client_{name.replace('-', '_')}"
        api.route(f"{one}/{name}", begins[name], "POST", operation=operation, summary=summary, gives=PendingOAuth)
    api.route(
        f"{one}/complete-oauth",
        clients.complete,
        "POST",
        operation="mcp_client_complete_oauth",
        summary="Put the account to use with which an administrator has signed in; the id is the oauth_config_id",
        gives=Done,
    )
    api.route(
        f"{config}/status",
        clients.status,
        "GET",
        operation="oauth_config_status",
        summary="How far an administrator's sign-in has come",
        gives=OAuthStatus,
    )
    api.route(
        config,
        clients.cancel,
        "DELETE",
        operation="oauth_config_delete",
        summary="End an administrator's sign-in, or take its account away",
        gives=Done,
    )
