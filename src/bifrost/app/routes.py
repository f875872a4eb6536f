"""Who answers where, and in which form."""

import re
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from bifrost.app.authorization_server import AuthorizationServer
from bifrost.app.foundation import Foundation
from bifrost.app.issuing import Issuing
from bifrost.app.management import set_up_page
from bifrost.authserver.endpoints.admin_sign_in import PATH as ADMIN_SIGN_IN
from bifrost.authserver.endpoints.connect import AUTHORIZE, DISCONNECT, HEADERS, PROVE, START, ConnectEndpoints
from bifrost.authserver.endpoints.consent import IDENTITY_PAGE, SERVICES_PAGE, ConsentEndpoints
from bifrost.authserver.endpoints.jwks import Jwks
from bifrost.authserver.endpoints.metadata import Metadata
from bifrost.base.errors import NotFound
from bifrost.gateway.endpoints import surface as mcp_surface
from bifrost.gateway.endpoints.mcp import McpEndpoint
from bifrost.http import oauth_error
from bifrost.http.api import Api
from bifrost.http.cors import Cors
from bifrost.http.home import Home
from bifrost.http.pages import Pages
from bifrost.http.public_urls import PublicUrls
from bifrost.http.router import Route, Router
from bifrost.http.surface import Probe, Surface
from bifrost.identity.set_up import PAGE as SET_UP_PAGE
from bifrost.protocol import metadata
from bifrost.telemetry.health import Health
from bifrost.upstreams.oauth.client_key import JWKS
from bifrost.upstreams.oauth.registration import CALLBACK, CLIENT_ID_DOCUMENT, SIGNED_CLIENT_ID_DOCUMENT

_LOOPBACK_ORIGIN = re.compile(r"https?://(?:localhost|127\.0\.0\.1|\[::1\])(?::[0-9]{1,5})?")
_EVERYTHING_OF_OAUTH = ("/.well-known/{path:path}", "/api/oauth/per-user/{path:path}")
_ANY_METHOD = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")


def router(
    parts: Foundation,
    server: AuthorizationServer,
    endpoint: McpEndpoint,
    api: Api,
    pages: Pages,
    lifespan: Callable[[], AbstractAsyncContextManager[None]],
) -> Router:
    """Who answers where, and in which form."""
    public_urls, mode = parts.public_urls, parts.settings.client.mcp_server_auth_mode
    people = Surface(render=pages.error, public_urls=public_urls)
    mcp = Surface(
        render=mcp_surface.renderer(mode),
        public_urls=public_urls,
        cors=Cors(_origin_rule(public_urls, parts.settings.server.allowed_origins)),
    )
    health = Health(parts.store.ping)
    authorization = _authorization_routes(public_urls, server, people, pages)
    routes = [
        *(
            mcp.route(path, endpoint, "GET", "POST", "DELETE", operation="mcp")
            for path in ("/mcp", "/mcp/", "/mcp/{slug}", "/mcp/{slug}/")
        ),
        *(_switched_off(authorization) if mode == "headers" else authorization),
        *_sign_in_routes(people, server),
        *api.routes(),
        people.route(SET_UP_PAGE, set_up_page(parts, pages), "GET", "POST", operation="setup"),
        Route("/health", Probe(health.live)),
        Route("/ready", Probe(health.ready)),
        people.route("/", Home(pages, public_urls), "GET", "HEAD", operation="home"),
    ]
    unknown = people.route("/{path:path}", _unknown_path, *_ANY_METHOD, operation="unknown")
    return Router(routes, otherwise=unknown, lifespan=lifespan)


def _authorization_routes(
    public_urls: PublicUrls, server: AuthorizationServer, people: Surface, pages: Pages
) -> list[Route]:
    """Clients that skip discovery guess /authorize, /token and /register at the root (contract §1)."""
    documents = Surface(render=pages.error, public_urls=public_urls, cors=Cors())
    programs = Surface(render=oauth_error.render, public_urls=public_urls, cors=Cors())
    return [
        *_issuing_routes(public_urls, server.issuing, programs),
        *_document_routes(documents, server.metadata, server.issuing.jwks),
        *(
            programs.route(path, server.register, "POST", operation="oauth_register")
            for path in (metadata.REGISTER, "/register")
        ),
        *(
            people.route(path, server.authorize, "GET", operation="oauth_authorize")
            for path in (metadata.AUTHORIZE, "/authorize")
        ),
        programs.route(metadata.PAR, server.par, "POST", operation="oauth_par"),
        *_consent_routes(people, server.consent),
    ]


def _issuing_routes(public_urls: PublicUrls, issuing: Issuing, programs: Surface) -> list[Route]:
    # no web page asks whether a token is good: no CORS
    servers = Surface(render=oauth_error.render, public_urls=public_urls)
    return [
        *(programs.route(path, issuing.token, "POST", operation="oauth_token") for path in (metadata.TOKEN, "/token")),
        programs.route(metadata.REVOKE, issuing.revoke, "POST", operation="oauth_revoke"),
        servers.route(metadata.INTROSPECT, issuing.introspect, "POST", operation="oauth_introspect"),
    ]


def _document_routes(documents: Surface, well_known: Metadata, jwks: Jwks) -> list[Route]:
    """Each document at the root, and with the path of an MCP endpoint inserted (RFC 8414 §3.1, RFC 9728 §3.1)."""
    served = {
        metadata.AUTHORIZATION_SERVER: (well_known.authorization_server, "oauth_authorization_server"),
        metadata.OPENID_CONFIGURATION: (well_known.authorization_server, "oauth_authorization_server"),
        metadata.PROTECTED_RESOURCE: (well_known.protected_resource, "oauth_protected_resource"),
    }
    return [
        documents.route(metadata.JWKS, jwks, "GET", "HEAD", operation="oauth_signing_keys"),
        *(
            documents.route(path + suffix, document, "GET", "HEAD", operation=operation)
            for path, (document, operation) in served.items()
            for suffix in ("", "{endpoint:path}")
        ),
    ]


def _consent_routes(people: Surface, consent: ConsentEndpoints) -> list[Route]:
    actions = {
        "vk": consent.virtual_key,
        "skip": consent.skip,
        "continue": consent.continue_as,
        "user": consent.not_offered,
        "user-id": consent.not_offered,
        "submit": consent.submit,
        "deny": consent.deny,
    }
    return [
        people.route(IDENTITY_PAGE, consent.identity_page, "GET", operation="oauth_consent_identity"),
        people.route(SERVICES_PAGE, consent.services_page, "GET", operation="oauth_consent_services"),
        *(
            people.route(
                f"/api/oauth/per-user/consent/{name}",
                action,
                "POST",
                operation=f"oauth_consent_{name.replace('-', '_')}",
            )
            for name, action in actions.items()
        ),
    ]


def _connect_routes(people: Surface, connect: ConnectEndpoints) -> list[Route]:
    return [
        people.route(AUTHORIZE, connect.authorize, "GET", operation="oauth_upstream_authorize"),
        people.route(PROVE, connect.prove, "POST", operation="oauth_connect_vk"),
        people.route(START, connect.start, "POST", operation="oauth_connect_start"),
        people.route(HEADERS, connect.headers, "POST", operation="oauth_connect_headers"),
        people.route(DISCONNECT, connect.disconnect, "POST", operation="oauth_connect_disconnect"),
    ]


def _sign_in_routes(people: Surface, server: AuthorizationServer) -> list[Route]:
    """As a client of upstreams, in every mode: an administrator may sign in for everybody, and whoever sends a virtual
    key connects accounts of their own.
    """
    connect, admin = server.connect, server.admin_sign_in
    return [
        *_connect_routes(people, connect),
        people.route(CALLBACK, connect.callback, "GET", operation="oauth_callback"),
        people.route(CLIENT_ID_DOCUMENT, connect.client_id_document, "GET", "HEAD", operation="oauth_client_document"),
        people.route(f"{ADMIN_SIGN_IN}/authorize", admin.page, "GET", operation="oauth_admin_sign_in"),
        people.route(f"{ADMIN_SIGN_IN}/administrator", admin.prove, "POST", operation="oauth_admin_prove"),
        people.route(f"{ADMIN_SIGN_IN}/start", admin.start, "POST", operation="oauth_admin_start"),
        people.route(
            SIGNED_CLIENT_ID_DOCUMENT,
            connect.signed_client_id_document,
            "GET",
            "HEAD",
            operation="oauth_signed_client_document",
        ),
        people.route(JWKS, connect.client_keys, "GET", "HEAD", operation="oauth_client_keys"),
    ]


def _origin_rule(public_urls: PublicUrls, more: tuple[str, ...]) -> Callable[[str], bool]:
    """Our own origins and the configured ones; while everything is loopback, any page of this machine."""
    allowed = frozenset((*public_urls.origins, *more))
    local = public_urls.only_loopback

    def is_allowed(origin: str) -> bool:
        return origin in allowed or (local and bool(_LOOPBACK_ORIGIN.fullmatch(origin)))

    return is_allowed


def _switched_off(authorization: list[Route]) -> list[Route]:
    """Mode `headers`: no authorization server, whatever the method, in plain text."""
    nothing = PlainTextResponse("Not Found", 404, {"Cache-Control": "no-store"})
    return [Route(path, nothing) for path in (*(route.path for route in authorization), *_EVERYTHING_OF_OAUTH)]


async def _unknown_path(_request: Request) -> Response:
    raise NotFound("There is nothing at this address.")
