"""The composition root: builds every object by hand, top to bottom, and returns the ASGI application."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

from starlette.types import ASGIApp

from bifrost import bootstrap
from bifrost.app.authorization_server import AuthorizationServer, authorization_server
from bifrost.app.foundation import Foundation, foundation
from bifrost.app.management import management
from bifrost.app.mcp_endpoint import McpServer, mcp_server
from bifrost.app.routes import router
from bifrost.app.upstream_administration import upstream_administration
from bifrost.audit.endpoints.recorder import Recorder
from bifrost.audit.trail import Trail
from bifrost.authserver.client_registry import ClientRegistry
from bifrost.authserver.restored import Restored
from bifrost.authserver.signing_keys import SigningKeys
from bifrost.base.clock import Clock, SystemClock
from bifrost.base.sealing import KeyRing
from bifrost.governance.virtual_keys import VirtualKeys
from bifrost.governance.virtual_mcps import VirtualMcps
from bifrost.http.client_address import TrustedProxies
from bifrost.http.middleware import RequestContext
from bifrost.http.pages import Pages
from bifrost.identity.admin_tokens import AdminTokens
from bifrost.identity.set_up import SetUp
from bifrost.settings import Settings
from bifrost.storage.database import Database
from bifrost.storage.restored import SqlRestoredStore
from bifrost.storage.sweeper import Sweeper
from bifrost.upstreams.credential_life import CredentialLife
from bifrost.upstreams.oauth.refresh import Credentials
from bifrost.upstreams.registry import Upstreams
from bifrost.upstreams.transports.stdio.programs import StdioPrograms
from bifrost.upstreams.upkeep import Upkeep

__all__ = ["Gateway", "build"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Gateway:
    """The application, and the use-cases that the command line shares with it."""

    app: ASGIApp
    database: Database
    admin_tokens: AdminTokens
    set_up: SetUp
    trail: Trail
    virtual_keys: VirtualKeys
    virtual_mcps: VirtualMcps
    clients: ClientRegistry
    upstreams: Upstreams
    credentials: Credentials
    upkeep: Upkeep
    life: CredentialLife
    sweeper: Sweeper
    signing_keys: SigningKeys
    stdio: StdioPrograms
    restored: Restored
    lifespan: Callable[[], AbstractAsyncContextManager[None]]
    """Opens what the application needs, and closes it; the application runs it by itself under a server."""


def build(settings: Settings, *, clock: Clock | None = None, ring: KeyRing | None = None) -> Gateway:
    """Everything the product is made of. Nothing is opened before the application starts."""
    parts = foundation(settings, clock or SystemClock(), ring or bootstrap.key_ring(settings))
    pages = Pages()
    administration = upstream_administration(parts)
    server = authorization_server(parts, pages, administration)
    mcp = mcp_server(parts, server)
    stores = (parts.store, parts.administrator_store, administration.store, mcp.letter_store, parts.usage)
    parties = (server.par.requests, server.par.client_auth.assertions, server.issuing.signing_keys, server.life)
    sweeper = Sweeper((*stores, *parties, parts.proofs), parts.clock)
    lifespan = _lifespan(parts, server, sweeper, administration.upkeep, mcp)
    api = management(parts, server, administration)
    proxies = TrustedProxies(parts.settings.server.trusted_proxies)
    front = router(parts, server, mcp.endpoint, api, pages, lifespan)
    return Gateway(
        app=RequestContext(front, record=Recorder(parts.trail, proxies), hsts=parts.public_urls.secure),
        database=parts.database,
        admin_tokens=AdminTokens(parts.administrator_store, parts.clock),
        set_up=SetUp(parts.administrators, parts.administrator_store, parts.clock),
        trail=parts.trail,
        virtual_keys=parts.virtual_keys,
        virtual_mcps=parts.virtual_mcps,
        clients=parts.clients,
        upstreams=parts.upstreams,
        credentials=parts.credentials,
        upkeep=administration.upkeep,
        life=server.life,
        sweeper=sweeper,
        signing_keys=server.issuing.signing_keys,
        stdio=parts.stdio.programs,
        restored=Restored(SqlRestoredStore(parts.database), parts.clock),
        lifespan=lifespan,
    )


def _lifespan(
    parts: Foundation, server: AuthorizationServer, sweeper: Sweeper, upkeep: Upkeep, mcp: McpServer
) -> Callable[[], AbstractAsyncContextManager[None]]:
    @contextlib.asynccontextmanager
    async def lifespan() -> AsyncIterator[None]:
        running: list[asyncio.Task[None]] = []
        try:
            await bootstrap.prepare(parts.settings, parts.database, parts.clock, parts.ring)
            await bootstrap.seed(parts.settings, parts, parts.ring)
            await server.clients.adopt(parts.clock.now())
            await server.life.reconcile()
            await mcp.letters.catch_up()
            programs = parts.stdio.programs.run(lambda: _enabled(parts))
            background = (
                sweeper.run(), upkeep.run(), mcp.letters.run(), mcp.sessions.run(), mcp.streams.keep_current(), programs
            )  # fmt: skip
            running.extend(asyncio.create_task(task) for task in background)
            yield
        finally:  # a start that is refused leaves nothing open either
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)
            await mcp.close()
            await parts.stdio.programs.close()
            await parts.outbound.close()
            await parts.strangers.close()
            await parts.acquaintances.close()
            await parts.database.close()

    return lifespan


async def _enabled(parts: Foundation) -> frozenset[str]:
    return frozenset(upstream.id for upstream in await parts.upstreams.enabled())
