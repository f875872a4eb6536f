"""The composition root: builds every object by hand, top to bottom, and returns the ASGI application."""

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Callable
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
from bifrost.authserver.connect import Connect
from bifrost.authserver.consent import Consent
from bifrost.authserver.endpoints.authorize import AuthorizeEndpoint
from bifrost.authserver.endpoints.client_auth import ClientAuth
from bifrost.authserver.endpoints.connect import AUTHORIZE, PROVE, START, ConnectEndpoints
from bifrost.authserver.endpoints.consent import IDENTITY_PAGE, SERVICES_PAGE, ConsentEndpoints
from bifrost.authserver.endpoints.metadata import Metadata
from bifrost.authserver.endpoints.register import RegisterEndpoint
from bifrost.authserver.endpoints.revoke import RevokeEndpoint
from bifrost.authserver.endpoints.token import TokenEndpoint
from bifrost.authserver.grants.authorization_code import AuthorizationCodeGrant
from bifrost.authserver.grants.base import TokenGrant
from bifrost.authserver.grants.refresh_token import RefreshTokenGrant
from bifrost.authserver.identities import Identities
from bifrost.authserver.models import AuthServerConfig
from bifrost.authserver.register import Register
from bifrost.authserver.revoke import Revoke
from bifrost.authserver.services import Services
from bifrost.authserver.tokens import Tokens
from bifrost.base.clock import Clock, SystemClock
from bifrost.base.errors import NotFound
from bifrost.base.sealing import KeyRing
from bifrost.gateway.calls import Calls
from bifrost.gateway.catalog import Catalog
from bifrost.gateway.endpoints import surface as mcp_surface
from bifrost.gateway.endpoints.mcp import McpEndpoint
from bifrost.gateway.lazy_authorization import LazyAuthorization
from bifrost.gateway.methods import Methods
from bifrost.governance.virtual_keys import VirtualKeys
from bifrost.http import oauth_error
from bifrost.http.addresses import AllowedNetworks
from bifrost.http.client import OutboundClient
from bifrost.http.client_address import TrustedProxies
from bifrost.http.cors import Cors
from bifrost.http.home import Home
from bifrost.http.middleware import RequestContext
from bifrost.http.pages import Pages
from bifrost.http.public_urls import PublicUrls
from bifrost.http.surface import Surface
from bifrost.identity.callers import Callers
from bifrost.protocol import metadata, oauth, resource
from bifrost.protocol.redirect_uri import APP_SCHEMES
from bifrost.settings import Settings
from bifrost.storage.authserver import SqlAuthServerStore
from bifrost.storage.connect import SqlConnectStore
from bifrost.storage.database import Database
from bifrost.storage.governance import SqlGovernanceStore
from bifrost.storage.sweeper import Sweeper
from bifrost.storage.upstream_oauth import SqlUpstreamOAuthStore
from bifrost.storage.upstreams import SqlUpstreamStore
from bifrost.telemetry.health import Health
from bifrost.upstreams.auth.base import UpstreamAuth
from bifrost.upstreams.auth.none import NoAuth
from bifrost.upstreams.auth.per_user_oauth import PerUserOAuth
from bifrost.upstreams.auth.static_headers import StaticHeaders
from bifrost.upstreams.oauth.discovery import Discovery
from bifrost.upstreams.oauth.refresh import Credentials
from bifrost.upstreams.oauth.registration import CALLBACK, CLIENT_ID_DOCUMENT, Registrations
from bifrost.upstreams.oauth.sign_in import SignIns
from bifrost.upstreams.oauth.token_client import TokenClient
from bifrost.upstreams.probe import Probe
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
    credentials: Credentials
    sweeper: Sweeper
    lifespan: Callable[[], AbstractAsyncContextManager[None]]
    """Opens what the application needs, and closes it; the application runs it by itself under a server."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Foundation:
    """What both halves, the authorization server and the gateway, stand on."""

    settings: Settings
    clock: Clock
    ring: KeyRing
    database: Database
    public_urls: PublicUrls
    store: SqlAuthServerStore
    virtual_keys: VirtualKeys
    vault: Vault
    upstreams: Upstreams
    outbound: OutboundClient
    accounts: SqlUpstreamOAuthStore
    credentials: Credentials
    config: AuthServerConfig

    async def endpoint_of(self, indicator: str) -> str | None:
        """The path of the MCP endpoint that a resource indicator names; None when it is not one of ours."""
        path = resource.endpoint_path(indicator, self.public_urls.origins)
        slug = resource.slug(path) if path else None
        return path if slug is None or await self.upstreams.by_slug(slug) else None


@dataclass(frozen=True, slots=True, kw_only=True)
class _AuthorizationServer:
    metadata: Metadata
    register: RegisterEndpoint
    authorize: AuthorizeEndpoint
    consent: ConsentEndpoints
    connect: ConnectEndpoints
    token: TokenEndpoint
    revoke: RevokeEndpoint
    tokens: Tokens


def build(settings: Settings, *, clock: Clock | None = None, ring: KeyRing | None = None) -> Gateway:
    """Everything the product is made of. Nothing is opened before the application starts."""
    parts = _foundation(settings, clock or SystemClock(), ring or bootstrap.key_ring(settings))
    pages = Pages()
    server, sweeper = _authorization_server(parts, pages), Sweeper(parts.store, parts.clock)
    lifespan = _lifespan(parts, sweeper)
    starlette = Starlette(
        routes=_routes(parts, server, _mcp_endpoint(parts, server), pages), lifespan=lambda _app: lifespan()
    )
    starlette.router.redirect_slashes = False
    return Gateway(
        app=RequestContext(starlette, hsts=parts.public_urls.secure),
        database=parts.database,
        virtual_keys=parts.virtual_keys,
        upstreams=parts.upstreams,
        credentials=parts.credentials,
        sweeper=sweeper,
        lifespan=lifespan,
    )


def _foundation(settings: Settings, clock: Clock, ring: KeyRing) -> _Foundation:
    database = bootstrap.database(settings)
    public_urls = PublicUrls(settings.public_urls)
    vault = Vault(ring)
    accounts = SqlUpstreamOAuthStore(database, vault)
    outbound = OutboundClient(
        vets=AllowedNetworks(settings.client.allowed_networks).vets, development=public_urls.only_loopback
    )
    return _Foundation(
        settings=settings,
        clock=clock,
        ring=ring,
        database=database,
        public_urls=public_urls,
        store=SqlAuthServerStore(database, accounts),
        virtual_keys=VirtualKeys(SqlGovernanceStore(database), clock),
        vault=vault,
        upstreams=Upstreams(SqlUpstreamStore(database), vault, clock),
        outbound=outbound,
        accounts=accounts,
        credentials=Credentials(accounts, TokenClient(outbound, clock), clock),
        config=AuthServerConfig(
            issuer=public_urls.issuer,
            allow_anonymous=not settings.enforce_auth,
            access_token_seconds=settings.client.access_token_ttl,
            refresh_token_idle_seconds=settings.client.refresh_token_idle_ttl,
            refresh_token_absolute_seconds=settings.client.refresh_token_absolute_ttl,
        ),
    )


def _authorization_server(parts: _Foundation, pages: Pages) -> _AuthorizationServer:
    store, clock, config = parts.store, parts.clock, parts.config
    clients = Clients(parts.ring, APP_SCHEMES | frozenset(parts.settings.client.allowed_app_schemes))
    identities = Identities(parts.virtual_keys, store, config, clock)
    tokens = Tokens(store, identities, config, clock)
    secrets = BrowserSecrets(parts.ring)
    proxies = TrustedProxies(parts.settings.server.trusted_proxies)
    grants: dict[str, TokenGrant] = {
        oauth.AUTHORIZATION_CODE: AuthorizationCodeGrant(store, tokens, clock, parts.endpoint_of),
        oauth.REFRESH_TOKEN: RefreshTokenGrant(store, tokens, identities, clock, parts.endpoint_of),
    }
    consent = Consent(store, clients, identities, config, clock)
    services = Services(parts.upstreams, identities, parts.credentials)
    connect = Connect(
        SqlConnectStore(parts.database),
        _sign_ins(parts),
        parts.credentials,
        parts.upstreams,
        consent,
        identities,
        clock,
    )
    return _AuthorizationServer(
        metadata=Metadata(parts.public_urls, parts.endpoint_of),
        register=RegisterEndpoint(Register(clients, clock)),
        authorize=AuthorizeEndpoint(
            Authorize(clients, store, config, clock, parts.endpoint_of), secrets, parts.public_urls
        ),
        consent=ConsentEndpoints(consent, services, secrets, pages, parts.public_urls, proxies),
        connect=ConnectEndpoints(connect, services, secrets, pages, parts.public_urls, proxies),
        token=TokenEndpoint(ClientAuth(clients), grants),
        revoke=RevokeEndpoint(ClientAuth(clients), Revoke(store, clock)),
        tokens=tokens,
    )


def _sign_ins(parts: _Foundation) -> SignIns:
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
        ),
        tokens=TokenClient(parts.outbound, parts.clock),
        probe=Probe(StreamableHttp(parts.outbound)),
        vault=parts.vault,
        clock=parts.clock,
    )


def _mcp_endpoint(parts: _Foundation, server: _AuthorizationServer) -> McpEndpoint:
    auth: dict[str, UpstreamAuth] = {
        "none": NoAuth(),
        "headers": StaticHeaders(parts.vault),
        "per_user_oauth": PerUserOAuth(parts.credentials),
    }
    sessions = UpstreamSessions(StreamableHttp(parts.outbound), auth)
    catalog = Catalog(parts.upstreams, sessions, parts.clock)
    callers = Callers(
        virtual_keys=parts.virtual_keys,
        access_tokens=server.tokens,
        clock=parts.clock,
        mode=parts.settings.client.mcp_server_auth_mode,
        allow_anonymous=parts.config.allow_anonymous,
    )
    lazy = LazyAuthorization(server.connect.link)
    return McpEndpoint(callers, catalog, Methods(catalog, Calls(catalog, sessions, lazy)).table())


def _lifespan(parts: _Foundation, sweeper: Sweeper) -> Callable[[], AbstractAsyncContextManager[None]]:
    @contextlib.asynccontextmanager
    async def lifespan() -> AsyncIterator[None]:
        await bootstrap.prepare(parts.settings, parts.database, parts.clock, parts.ring)
        await bootstrap.seed(parts.settings, parts.virtual_keys, parts.upstreams, parts.ring)
        sweeping = asyncio.create_task(sweeper.run())
        try:
            yield
        finally:
            sweeping.cancel()
            await asyncio.gather(sweeping, return_exceptions=True)
            await parts.outbound.close()
            await parts.database.close()

    return lifespan


def _routes(parts: _Foundation, server: _AuthorizationServer, endpoint: McpEndpoint, pages: Pages) -> list[BaseRoute]:
    """Who answers where, and in which form."""
    public_urls, mode = parts.public_urls, parts.settings.client.mcp_server_auth_mode
    people = Surface(render=pages.error, public_urls=public_urls)
    mcp = Surface(
        render=mcp_surface.renderer(public_urls, mode),
        public_urls=public_urls,
        cors=Cors(_origin_rule(public_urls, parts.settings.server.allowed_origins)),
    )
    health = Health(parts.store.ping)
    authorization = _authorization_routes(public_urls, server, people, pages)
    return [
        *(
            mcp.route(path, endpoint, "GET", "POST", "DELETE", operation="mcp")
            for path in ("/mcp", "/mcp/", "/mcp/{slug}", "/mcp/{slug}/")
        ),
        *(_switched_off(authorization) if mode == "headers" else authorization),
        Route("/health", health.live),
        Route("/ready", health.ready),
        people.route("/", Home(pages, public_urls), "GET", operation="home"),
        people.route("/{path:path}", _unknown_path, *_ANY_METHOD, operation="unknown"),
    ]


def _authorization_routes(
    public_urls: PublicUrls, server: _AuthorizationServer, people: Surface, pages: Pages
) -> list[Route]:
    """Clients that skip discovery guess /authorize, /token and /register at the root (contract §1)."""
    documents = Surface(render=pages.error, public_urls=public_urls, cors=Cors())
    programs = Surface(render=oauth_error.render, public_urls=public_urls, cors=Cors())
    return [
        *_document_routes(documents, server.metadata),
        *(
            programs.route(path, server.register, "POST", operation="oauth_register")
            for path in (metadata.REGISTER, "/register")
        ),
        *(
            people.route(path, server.authorize, "GET", operation="oauth_authorize")
            for path in (metadata.AUTHORIZE, "/authorize")
        ),
        *_consent_routes(people, server.consent),
        *_connect_routes(people, server.connect),
        *(programs.route(path, server.token, "POST", operation="oauth_token") for path in (metadata.TOKEN, "/token")),
        programs.route(metadata.REVOKE, server.revoke, "POST", operation="oauth_revoke"),
    ]


_LOOPBACK_ORIGIN = re.compile(r"https?://(?:localhost|127\.0\.0\.1|\[::1\])(?::[0-9]{1,5})?")
_EVERYTHING_OF_OAUTH = ("/.well-known/{path:path}", "/api/oauth/per-user/{path:path}")
_ANY_METHOD = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")


def _document_routes(documents: Surface, well_known: Metadata) -> list[Route]:
    """Each document at the root, and with the path of an MCP endpoint inserted (RFC 8414 §3.1, RFC 9728 §3.1)."""
    served = {
        metadata.AUTHORIZATION_SERVER: (well_known.authorization_server, "oauth_authorization_server"),
        metadata.OPENID_CONFIGURATION: (well_known.authorization_server, "oauth_authorization_server"),
        metadata.PROTECTED_RESOURCE: (well_known.protected_resource, "oauth_protected_resource"),
    }
    return [
        documents.route(path + suffix, document, "GET", "HEAD", operation=operation)
        for path, (document, operation) in served.items()
        for suffix in ("", "{endpoint:path}")
    ]


def _consent_routes(people: Surface, consent: ConsentEndpoints) -> list[Route]:
    actions = {
        "vk": consent.virtual_key,
        "skip": consent.skip,
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
        people.route(CALLBACK, connect.callback, "GET", operation="oauth_callback"),
        people.route(CLIENT_ID_DOCUMENT, connect.client_id_document, "GET", "HEAD", operation="oauth_client_document"),
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
    nothing = PlainTextResponse("Not Found", 404)
    return [Route(path, nothing) for path in (*(route.path for route in authorization), *_EVERYTHING_OF_OAUTH)]


async def _unknown_path(_request: Request) -> Response:
    raise NotFound("There is nothing at this address.")
