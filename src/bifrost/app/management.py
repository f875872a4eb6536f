"""The management API: who may use it, and every operation of it."""

from starlette.requests import Request

from bifrost import __version__
from bifrost.app.administrators import administrator_sessions
from bifrost.app.authorization_server import AuthorizationServer
from bifrost.app.client_operations import client_operations, consent_operations
from bifrost.app.credential_life import AccountsOfKeys
from bifrost.app.foundation import Foundation
from bifrost.app.grant_operations import grant_operations
from bifrost.app.held_operations import held_operations
from bifrost.app.key_operations import key_operations
from bifrost.app.upstream_administration import UpstreamAdministration, upstream_operations
from bifrost.app.virtual_mcp_operations import virtual_mcp_operations
from bifrost.audit.endpoints.trail import AuditAnswer, AuditEndpoint, AuditQuery
from bifrost.authserver.endpoints.clients_api import ClientsApi
from bifrost.authserver.endpoints.consents_api import ConsentsApi
from bifrost.authserver.endpoints.held import HeldEndpoints
from bifrost.authserver.identities import Identities
from bifrost.authserver.remembered import Remembered
from bifrost.base import events
from bifrost.governance.endpoints.virtual_keys import VirtualKeyEndpoints
from bifrost.governance.endpoints.virtual_mcps import VirtualMcpEndpoints
from bifrost.governance.key_administration import KeyAdministration
from bifrost.http.api import Api
from bifrost.http.openapi import OpenApi, document
from bifrost.http.pages import Pages
from bifrost.identity.endpoints.administrator import AdministratorEndpoints, SignedIn
from bifrost.identity.endpoints.set_up import SetUpEndpoints
from bifrost.identity.set_up import SetUp
from bifrost.storage.key_administration import SqlKeyAdministrationStore


def management(parts: Foundation, server: AuthorizationServer, upstreams: UpstreamAdministration) -> Api:
    """Everything below /api/ but the authorization server's own addresses."""
    sessions = administrator_sessions(parts)
    api = Api(parts.public_urls, sessions.guard)
    _session_operations(api, sessions)
    key_operations(api, _virtual_keys(parts, upstreams))
    virtual_mcp_operations(api, _virtual_mcps(parts, upstreams))
    grant_operations(api, server.issuing.issued_grants)
    upstream_operations(api, parts, upstreams)
    client_operations(api, ClientsApi(parts.clients))
    consent_operations(api, ConsentsApi(Remembered(parts.consents, _identities(parts), parts.clock)))
    held_operations(api, HeldEndpoints(server.life, server.connect, parts.clock))
    _audit_operation(api, AuditEndpoint(parts.trail, lambda: event_names(api)))
    _description(api, sessions)
    return api


def event_names(api: Api) -> set[str]:
    """Of everything that the audit trail may hold."""
    return {name.value for name in events.Name} | {operation.name for operation in api.operations if operation.told}


def set_up_page(parts: Foundation, pages: Pages) -> SetUpEndpoints:
    set_up = SetUp(parts.administrators, parts.administrator_store, parts.clock)
    return SetUpEndpoints(set_up, administrator_sessions(parts), pages, parts.public_urls)


def _identities(parts: Foundation) -> Identities:
    return Identities(parts.virtual_keys, parts.store, parts.config, parts.clock)


def _session_operations(api: Api, sessions: AdministratorEndpoints) -> None:
    api.route(
        "/api/session/login",
        sessions.login,
        "POST",
        operation="session_login",
        summary="Begin a browser's session with an administrator's token",
        gives=SignedIn,
        open_to_everybody=True,
    )
    api.route(
        "/api/session/logout",
        sessions.logout,
        "POST",
        operation="session_logout",
        summary="End the browser's session",
    )


def _virtual_keys(parts: Foundation, upstreams: UpstreamAdministration) -> VirtualKeyEndpoints:
    store, accounts = SqlKeyAdministrationStore(parts.database), AccountsOfKeys(upstreams.life)
    administration = KeyAdministration(store, accounts, parts.clock, parts.virtual_keys.named)
    return VirtualKeyEndpoints(parts.virtual_keys, administration, parts.limits)


def _virtual_mcps(parts: Foundation, upstreams: UpstreamAdministration) -> VirtualMcpEndpoints:
    accounts = AccountsOfKeys(upstreams.life)
    return VirtualMcpEndpoints(parts.virtual_mcps, parts.virtual_keys.all, accounts, parts.public_urls)


def _audit_operation(api: Api, audit: AuditEndpoint) -> None:
    api.route(
        "/api/audit",
        audit,
        "GET",
        operation="audit_list",
        summary="Who did what, the newest first",
        takes=AuditQuery,
        gives=AuditAnswer,
    )


def _description(api: Api, sessions: AdministratorEndpoints) -> None:
    """The last operation that is added, and like every other a part of what it describes."""

    async def openapi(_request: Request) -> OpenApi:
        issuer = sessions.public_urls.issuer
        return document(api.operations, version=__version__, server=issuer, cookie=sessions.cookie_name)

    api.route("/api/openapi.json", openapi, "GET", operation="openapi", summary="This description", gives=OpenApi)
