"""The management API: who may use it, and every operation of it."""

from bifrost.app.administrators import administrator_sessions
from bifrost.app.authorization_server import AuthorizationServer
from bifrost.app.client_operations import client_operations, consent_operations
from bifrost.app.foundation import Foundation
from bifrost.app.grant_operations import grant_operations
from bifrost.app.held_operations import held_operations
from bifrost.app.upstream_administration import UpstreamAdministration, upstream_operations
from bifrost.authserver.endpoints.clients_api import ClientsApi
from bifrost.authserver.endpoints.consents_api import ConsentsApi
from bifrost.authserver.endpoints.held import HeldEndpoints
from bifrost.authserver.identities import Identities
from bifrost.authserver.remembered import Remembered
from bifrost.governance.endpoints.virtual_keys import (
    KeyAnswer,
    KeyChangesBody,
    KeysAnswer,
    KeysQuery,
    NewKeyBody,
    VirtualKeyEndpoints,
)
from bifrost.governance.key_administration import KeyAdministration
from bifrost.http.api import Api
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
    _virtual_key_operations(api, _virtual_keys(parts))
    grant_operations(api, server.issuing.issued_grants)
    upstream_operations(api, parts, upstreams)
    client_operations(api, ClientsApi(parts.clients))
    consent_operations(api, ConsentsApi(Remembered(parts.consents, _identities(parts), parts.clock)))
    held_operations(api, HeldEndpoints(server.life, server.connect, parts.clock))
    return api


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


def _virtual_keys(parts: Foundation) -> VirtualKeyEndpoints:
    administration = KeyAdministration(SqlKeyAdministrationStore(parts.database), parts.clock)
    return VirtualKeyEndpoints(parts.virtual_keys, administration)


def _virtual_key_operations(api: Api, keys: VirtualKeyEndpoints) -> None:
    many, one = "/api/governance/virtual-keys", "/api/governance/virtual-keys/{id}"
    api.route(
        many,
        keys.index,
        "GET",
        operation="virtual_keys_list",
        summary="List virtual keys",
        takes=KeysQuery,
        gives=KeysAnswer,
    )
    api.route(
        many,
        keys.create,
        "POST",
        operation="virtual_key_create",
        summary="Make a virtual key; its value is told this once",
        takes=NewKeyBody,
        gives=KeyAnswer,
        status=201,
    )
    api.route(one, keys.show, "GET", operation="virtual_key_show", summary="Show a virtual key", gives=KeyAnswer)
    api.route(
        one,
        keys.change,
        "PUT",
        operation="virtual_key_change",
        summary="Change what is sent of a virtual key",
        takes=KeyChangesBody,
        gives=KeyAnswer,
    )
    api.route(
        one,
        keys.delete,
        "DELETE",
        operation="virtual_key_delete",
        summary="Delete a virtual key with its grants and connected accounts",
    )
    api.route(
        f"{one}/rotate",
        keys.rotate,
        "POST",
        operation="virtual_key_rotate",
        summary="Give a virtual key a new value, told this once; what hangs on the key stays",
        gives=KeyAnswer,
    )
