"""The composition root: builds every object by hand, top to bottom, and returns the ASGI application."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp

from bifrost import bootstrap
from bifrost.authserver.authorize import Authorize
from bifrost.authserver.browser import BrowserSecrets
from bifrost.authserver.clients import Clients
from bifrost.authserver.consent import Consent
from bifrost.authserver.endpoints.authorize import AuthorizeEndpoint
from bifrost.authserver.endpoints.client_auth import ClientAuth
from bifrost.authserver.endpoints.consent import IDENTITY_PAGE, SERVICES_PAGE, ConsentEndpoints
from bifrost.authserver.endpoints.metadata import Metadata
from bifrost.authserver.endpoints.register import RegisterEndpoint
from bifrost.authserver.endpoints.token import TokenEndpoint
from bifrost.authserver.grants.authorization_code import AuthorizationCodeGrant
from bifrost.authserver.grants.base import TokenGrant
from bifrost.authserver.grants.refresh_token import RefreshTokenGrant
from bifrost.authserver.identities import Identities
from bifrost.authserver.models import AuthServerConfig
from bifrost.authserver.register import Register
from bifrost.authserver.services import Services
from bifrost.authserver.tokens import Tokens
from bifrost.base.clock import Clock, SystemClock
from bifrost.base.errors import NotFound
from bifrost.base.sealing import KeyRing
from bifrost.gateway.calls import Calls
from bifrost.gateway.catalog import Catalog
from bifrost.gateway.endpoints import surface as mcp_surface
from bifrost.gateway.endpoints.mcp import McpEndpoint
from bifrost.gateway.methods import Methods
from bifrost.governance.virtual_keys import VirtualKeys
from bifrost.http import oauth_error
from bifrost.http.client import OutboundClient
from bifrost.http.client_address import TrustedProxies
from bifrost.http.cors import Cors
from bifrost.http.home import Home
from bifrost.http.middleware import RequestContext
from bifrost.http.pages import Pages
from bifrost.http.public_urls import PublicUrls, is_loopback
from bifrost.http.surface import Surface
from bifrost.identity.callers import Callers
from bifrost.protocol import metadata, oauth, resource
from bifrost.protocol.redirect_uri import APP_SCHEMES
from bifrost.settings import Settings
from bifrost.storage.authserver import SqlAuthServerStore
from bifrost.storage.database import Database
from bifrost.storage.governance import SqlGovernanceStore
from bifrost.storage.sweeper import Sweeper
from bifrost.storage.upstreams import SqlUpstreamStore
from bifrost.telemetry.health import Health
from bifrost.upstreams.auth.base import UpstreamAuth
from bifrost.upstreams.auth.none import NoAuth
from bifrost.upstreams.auth.static_headers import StaticHeaders
from bifrost.upstreams.registry import Upstreams
from bifrost.upstreams.sessions import UpstreamSessions
from bifrost.upstreams.transports.streamable_http import StreamableHttp
from bifrost.upstreams.vault import Vault


@dataclass(frozen=True, slots=True, kw_only=True)
class Gateway:
    """The application, and the use-cases that the command line shares with it."""

    app: ASGIApp
    database: Database
    virtual_keys: VirtualKeys
    upstreams: Upstreams
    sweeper: Sweeper
    lifespan: Callable[[], AbstractAsyncContextManager[None]]
    """Opens what the application needs, and closes it; the application runs it by itself under a server."""


def build(settings: Settings, *, clock: Clock | None = None, ring: KeyRing | None = None) -> Gateway:
    """Everything the product is made of. Nothing is opened before the application starts."""
    clock = clock or SystemClock()
    ring = ring or bootstrap.key_ring(settings)
    database = bootstrap.database(settings)
    public_urls = PublicUrls(settings.public_urls)
    mode, allow_anonymous = settings.client.mcp_server_auth_mode, not settings.enforce_auth
    config = AuthServerConfig(
        issuer=public_urls.issuer,
        allow_anonymous=allow_anonymous,
        access_token_seconds=settings.client.access_token_ttl,
        refresh_token_idle_seconds=settings.client.refresh_token_idle_ttl,
        refresh_token_absolute_seconds=settings.client.refresh_token_absolute_ttl,
    )

    # what is remembered
    grants_store = SqlAuthServerStore(database)
    virtual_keys = VirtualKeys(SqlGovernanceStore(database), clock)
    vault = Vault(ring)
    upstreams = Upstreams(SqlUpstreamStore(database), vault, clock)

    # towards upstreams
    outbound = OutboundClient()
    upstream_auth: dict[str, UpstreamAuth] = {"none": NoAuth(), "headers": StaticHeaders(vault)}
    sessions = UpstreamSessions(StreamableHttp(outbound), upstream_auth)
    catalog = Catalog(upstreams, sessions, clock)
    methods = Methods(catalog, Calls(catalog, sessions))
    endpoint_of = _endpoint_reader(public_urls, upstreams)

    # the authorization server
    clients = Clients(ring, APP_SCHEMES | frozenset(settings.client.allowed_app_schemes))
    identities = Identities(virtual_keys, grants_store, config, clock)
    tokens = Tokens(grants_store, identities, config, clock)
    secrets = BrowserSecrets(ring)
    pages = Pages()
    consent = ConsentEndpoints(
        consent=Consent(grants_store, clients, identities, config, clock),
        services=Services(upstreams, virtual_keys),
        secrets=secrets,
        pages=pages,
        public_urls=public_urls,
        proxies=TrustedProxies(settings.server.trusted_proxies),
    )
    token_grants: dict[str, TokenGrant] = {
        oauth.AUTHORIZATION_CODE: AuthorizationCodeGrant(grants_store, tokens, clock, endpoint_of),
        oauth.REFRESH_TOKEN: RefreshTokenGrant(grants_store, tokens, identities, clock, endpoint_of),
    }
    authorize = AuthorizeEndpoint(Authorize(clients, grants_store, config, clock, endpoint_of), secrets, public_urls)
    register = RegisterEndpoint(Register(clients, clock))
    token = TokenEndpoint(ClientAuth(clients), token_grants)

    # who answers where
    people = Surface(render=pages.error, public_urls=public_urls)
    documents = Surface(render=pages.error, public_urls=public_urls, cors=Cors())
    programs = Surface(
        render=lambda _request, error, _operation: oauth_error.response(error), public_urls=public_urls, cors=Cors()
    )
    mcp = Surface(
        render=mcp_surface.renderer(public_urls, mode),
        public_urls=public_urls,
        cors=Cors(_origin_rule(public_urls, settings.server.allowed_origins)),
    )
    well_known = Metadata(public_urls, endpoint_of)
    authorization_server: list[BaseRoute] = [
        *_document_routes(documents, well_known),
        *(
            programs.route(path, register, "POST", operation="oauth_register")
            for path in (metadata.REGISTER, "/register")
        ),
        *(programs.route(path, token, "POST", operation="oauth_token") for path in (metadata.TOKEN, "/token")),
        *(
            people.route(path, authorize, "GET", operation="oauth_authorize")
            for path in (metadata.AUTHORIZE, "/authorize")
        ),
        *_consent_routes(people, consent),
    ]
    if mode == "headers":
        authorization_server = [Route(route.path, _off) for route in authorization_server if isinstance(route, Route)]
    callers = Callers(virtual_keys, tokens, clock, mode, allow_anonymous)
    endpoint = McpEndpoint(callers, catalog, methods.table())
    health = Health(grants_store.ping)
    routes: list[BaseRoute] = [
        mcp.route("/mcp", endpoint, "GET", "POST", "DELETE", operation="mcp"),
        mcp.route("/mcp/", endpoint, "GET", "POST", "DELETE", operation="mcp"),
        mcp.route("/mcp/{slug}", endpoint, "GET", "POST", "DELETE", operation="mcp"),
        mcp.route("/mcp/{slug}/", endpoint, "GET", "POST", "DELETE", operation="mcp"),
        *authorization_server,
        Route("/health", health.live),
        Route("/ready", health.ready),
        people.route("/", Home(pages, public_urls), "GET", operation="home"),
        people.route("/{path:path}", _unknown_path, *_ANY_METHOD, operation="unknown"),
    ]
    sweeper = Sweeper(grants_store, clock)

    @contextlib.asynccontextmanager
    async def lifespan() -> AsyncIterator[None]:
        await bootstrap.prepare(settings, database, clock, ring)
        await bootstrap.seed(settings, virtual_keys, upstreams)
        sweeping = asyncio.create_task(sweeper.run())
        try:
            yield
        finally:
            sweeping.cancel()
            await asyncio.gather(sweeping, return_exceptions=True)
            await outbound.close()
            await database.close()

    starlette = Starlette(routes=routes, lifespan=lambda _app: lifespan())
    starlette.router.redirect_slashes = False
    return Gateway(
        app=RequestContext(starlette, hsts=public_urls.secure),
        database=database,
        virtual_keys=virtual_keys,
        upstreams=upstreams,
        sweeper=sweeper,
        lifespan=lifespan,
    )


_ANY_METHOD = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")


def _document_routes(documents: Surface, well_known: Metadata) -> list[BaseRoute]:
    """Each document at the root, and with the path of an MCP endpoint inserted (RFC 8414 §3.1, RFC 9728 §3.1)."""
    served = {
        metadata.AUTHORIZATION_SERVER: well_known.authorization_server,
        metadata.OPENID_CONFIGURATION: well_known.authorization_server,
        metadata.PROTECTED_RESOURCE: well_known.protected_resource,
    }
    return [
        documents.route(path + suffix, document, "GET", "HEAD", operation="oauth_metadata")
        for path, document in served.items()
        for suffix in ("", "{endpoint:path}")
    ]


def _consent_routes(people: Surface, consent: ConsentEndpoints) -> list[BaseRoute]:
    actions = {
        "vk": consent.virtual_key,
        "skip": consent.skip,
        "user": consent.not_offered,
        "user-id": consent.not_offered,
        "submit": consent.submit,
        "deny": consent.deny,
    }
    return [
        people.route(IDENTITY_PAGE, consent.identity_page, "GET", operation="oauth_consent"),
        people.route(SERVICES_PAGE, consent.services_page, "GET", operation="oauth_consent"),
        *(
            people.route(f"/api/oauth/per-user/consent/{name}", action, "POST", operation=f"oauth_consent_{name}")
            for name, action in actions.items()
        ),
    ]


def _endpoint_reader(public_urls: PublicUrls, upstreams: Upstreams) -> Callable[[str], Awaitable[str | None]]:
    async def endpoint_of(indicator: str) -> str | None:
        path = resource.endpoint_path(indicator, public_urls.origins)
        slug = resource.slug(path) if path else None
        return path if slug is None or await upstreams.by_slug(slug) else None

    return endpoint_of


def _origin_rule(public_urls: PublicUrls, more: tuple[str, ...]) -> Callable[[str], bool]:
    """Our own origins and the configured ones; while everything is loopback, any page of this machine."""
    allowed = frozenset((*public_urls.origins, *more))
    local = public_urls.only_loopback

    def is_allowed(origin: str) -> bool:
        return origin in allowed or (local and origin.startswith(("http://", "https://")) and is_loopback(origin))

    return is_allowed


async def _off(_request: Request) -> Response:
    """The authorization server is switched off: nothing here, in plain text (contract §1, modes)."""
    return PlainTextResponse("Not Found", 404)


async def _unknown_path(_request: Request) -> Response:
    raise NotFound("There is nothing at this address.")
