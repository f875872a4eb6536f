"""The management API: who may use it, and every operation of it."""

from bifrost.app.foundation import Foundation
from bifrost.http.api import Api
from bifrost.http.client_address import TrustedProxies
from bifrost.http.pages import Pages
from bifrost.identity.endpoints.administrator import AdministratorEndpoints, SignedIn
from bifrost.identity.endpoints.set_up import SetUpEndpoints
from bifrost.identity.set_up import SetUp


def management(parts: Foundation) -> Api:
    """Everything below /api/ but the authorization server's own addresses."""
    sessions = _sessions(parts)
    api = Api(parts.public_urls, sessions.guard)
    _session_operations(api, sessions)
    return api


def set_up_page(parts: Foundation, pages: Pages) -> SetUpEndpoints:
    set_up = SetUp(parts.administrators, parts.administrator_store, parts.clock)
    return SetUpEndpoints(set_up, _sessions(parts), pages, parts.public_urls)


def _sessions(parts: Foundation) -> AdministratorEndpoints:
    proxies = TrustedProxies(parts.settings.server.trusted_proxies)
    return AdministratorEndpoints(parts.administrators, parts.public_urls, proxies)


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
