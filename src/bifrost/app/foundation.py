"""What both halves, the authorization server and the gateway, stand on."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from bifrost import bootstrap
from bifrost.audit.trail import Trail
from bifrost.authserver.client_registry import ClientRegistry
from bifrost.authserver.models import AuthServerConfig
from bifrost.base.clock import Clock
from bifrost.base.sealing import KeyRing
from bifrost.governance.limits import Limits
from bifrost.governance.named_upstreams import NamedUpstreams
from bifrost.governance.virtual_keys import VirtualKeys
from bifrost.governance.virtual_mcps import VirtualMcps
from bifrost.http.addresses import AllowedNetworks, is_public
from bifrost.http.client import OutboundClient
from bifrost.http.public_urls import PublicUrls
from bifrost.identity.administrators import Administrators
from bifrost.identity.proofs import Proofs
from bifrost.protocol import resource
from bifrost.settings import Settings
from bifrost.storage.administrators import SqlAdministratorStore
from bifrost.storage.audit import SqlAuditStore
from bifrost.storage.authserver import SqlAuthServerStore
from bifrost.storage.clients import SqlClientStore
from bifrost.storage.consents import SqlConsentStore
from bifrost.storage.counters import SqlCounterStore
from bifrost.storage.database import Database
from bifrost.storage.governance import SqlGovernanceStore
from bifrost.storage.proofs import SqlProofStore
from bifrost.storage.upstream_oauth import SqlUpstreamOAuthStore
from bifrost.storage.upstreams import SqlUpstreamStore
from bifrost.storage.usage import SqlUsageStore
from bifrost.storage.virtual_mcps import SqlVirtualMcpStore
from bifrost.upstreams.oauth.client_key import ClientKey
from bifrost.upstreams.oauth.refresh import Credentials
from bifrost.upstreams.oauth.token_client import TokenClient
from bifrost.upstreams.registry import Upstreams
from bifrost.upstreams.transports.stdio.command import AllowedCommands
from bifrost.upstreams.transports.stdio.pipes import StdioPipes
from bifrost.upstreams.transports.stdio.programs import StdioLimits, StdioPrograms
from bifrost.upstreams.vault import Vault


@dataclass(frozen=True, slots=True, kw_only=True)
class Foundation:
    """What both halves, the authorization server and the gateway, stand on."""

    settings: Settings
    clock: Clock
    ring: KeyRing
    database: Database
    public_urls: PublicUrls
    store: SqlAuthServerStore
    administrator_store: SqlAdministratorStore
    administrators: Administrators
    virtual_keys: VirtualKeys
    virtual_mcps: VirtualMcps
    client_store: SqlClientStore
    counters: SqlCounterStore
    consents: SqlConsentStore
    clients: ClientRegistry
    usage: SqlUsageStore
    trail: Trail
    limits: Limits
    vault: Vault
    upstream_store: SqlUpstreamStore
    upstreams: Upstreams
    outbound: OutboundClient
    strangers: OutboundClient
    """For addresses that clients name: the networks opened for upstreams are closed to it."""
    acquaintances: OutboundClient
    """As that, for clients that somebody has allowed: nobody waits there behind a stranger."""
    stdio: StdioPipes
    accounts: SqlUpstreamOAuthStore
    client_key: ClientKey
    token_client: TokenClient
    credentials: Credentials
    config: AuthServerConfig
    proofs: Proofs

    async def endpoint_of(self, indicator: str) -> str | None:
        """The path of the MCP endpoint that a resource indicator names; None when it is not one of ours."""
        path = resource.endpoint_path(indicator, self.public_urls.origins)
        slug = resource.slug(path) if path else None
        if slug is None or await self.upstreams.by_slug(slug) or await self.virtual_mcps.by_slug(slug):
            return path
        return None


def foundation(settings: Settings, clock: Clock, ring: KeyRing) -> Foundation:
    database = bootstrap.database(settings)
    public_urls = PublicUrls(settings.public_urls)
    vault = Vault(ring)
    client_store = SqlClientStore(database)
    accounts = SqlUpstreamOAuthStore(database, vault)
    commands = bootstrap.allowed_commands(settings)
    outbound = _outbound(settings, public_urls)
    upstream_store, usage = SqlUpstreamStore(database), SqlUsageStore(database)
    upstreams = Upstreams(upstream_store, vault, clock, commands)
    named = NamedUpstreams(_unknown(upstreams))
    administrator_store = SqlAdministratorStore(database)
    client_key = ClientKey(accounts, clock)
    token_client = TokenClient(outbound, client_key, clock)
    return Foundation(
        settings=settings,
        clock=clock,
        ring=ring,
        database=database,
        public_urls=public_urls,
        store=SqlAuthServerStore(database, accounts),
        administrator_store=administrator_store,
        administrators=Administrators(administrator_store, ring, clock, settings.admin_token),
        usage=usage,
        trail=Trail(SqlAuditStore(database), clock),
        limits=Limits(usage, clock),
        virtual_keys=VirtualKeys(SqlGovernanceStore(database), clock, named),
        virtual_mcps=VirtualMcps(SqlVirtualMcpStore(database), clock, named),
        client_store=client_store,
        counters=SqlCounterStore(database),
        consents=SqlConsentStore(database),
        clients=ClientRegistry(client_store, settings.app_schemes, clock),
        vault=vault,
        upstream_store=upstream_store,
        upstreams=upstreams,
        outbound=outbound,
        strangers=OutboundClient(vets=is_public, development=public_urls.only_loopback),
        acquaintances=OutboundClient(vets=is_public, development=public_urls.only_loopback),
        stdio=_stdio(settings, commands, clock),
        accounts=accounts,
        client_key=client_key,
        token_client=token_client,
        credentials=Credentials(accounts, token_client, clock),
        config=_config(settings, public_urls),
        proofs=Proofs(SqlProofStore(database), ring, clock, settings.client.dpop_nonces),
    )


def _config(settings: Settings, public_urls: PublicUrls) -> AuthServerConfig:
    return AuthServerConfig(
        issuer=public_urls.issuer,
        allow_anonymous=not settings.enforce_auth,
        access_token_seconds=settings.client.access_token_ttl,
        refresh_token_idle_seconds=settings.client.refresh_token_idle_ttl,
        refresh_token_absolute_seconds=settings.client.refresh_token_absolute_ttl,
        jwt_for=frozenset(settings.client.jwt_access_tokens_for),
    )


def _outbound(settings: Settings, public_urls: PublicUrls) -> OutboundClient:
    vets = AllowedNetworks(settings.client.allowed_networks).vets
    return OutboundClient(vets=vets, development=public_urls.only_loopback)


def _unknown(upstreams: Upstreams) -> Callable[[tuple[str, ...]], Awaitable[tuple[str, ...]]]:
    async def unknown(names: tuple[str, ...]) -> tuple[str, ...]:
        known = {upstream.name for upstream in await upstreams.all()}
        return tuple(name for name in names if name not in known)

    return unknown


def _stdio(settings: Settings, commands: AllowedCommands, clock: Clock) -> StdioPipes:
    mcp = settings.mcp
    limits = StdioLimits(
        per_upstream=mcp.stdio_max_processes_per_upstream,
        in_all=mcp.stdio_max_processes,
        idle_seconds=mcp.stdio_idle_seconds,
    )
    return StdioPipes(commands, StdioPrograms(limits, clock))
