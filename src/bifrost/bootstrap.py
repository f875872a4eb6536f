"""Starting up: the key ring, the database, its schema, and what the configuration creates (contract §10)."""

from pathlib import Path
from typing import Protocol

import msgspec

from bifrost.audit.trail import CONFIGURATION, Trail
from bifrost.authserver.client_registry import ClientRegistry, NewClient
from bifrost.base import events
from bifrost.base.clock import Clock
from bifrost.base.key_file import KeyFileError, ring_from_file, ring_from_text
from bifrost.base.sealing import KeyRing, SealBrokenError
from bifrost.governance.models import Budget, McpConfig, RateLimit
from bifrost.governance.virtual_keys import NewVirtualKey, VirtualKeys
from bifrost.governance.virtual_mcps import NewVirtualMcp, VirtualMcps
from bifrost.http.tls import Trust
from bifrost.settings import (
    ConfigurationError,
    RegisteredClientSettings,
    Settings,
    UpstreamSettings,
    VirtualKeySettings,
    VirtualMcpSettings,
    environment,
)
from bifrost.storage.database import Database, queries
from bifrost.storage.migrate import NewerSchemaError, migrate
from bifrost.upstreams.models import NewUpstream, OAuthConfig, StdioConfig
from bifrost.upstreams.registry import Upstreams
from bifrost.upstreams.transports.stdio.command import AllowedCommands

KEY_FILE = "keyring.json"
_CHECK_USE = "installation"
_CHECK_NAME = "key_check"


def key_ring(settings: Settings) -> KeyRing:
    """Configured keys, or those of the key file in the data directory. Raises ConfigurationError."""
    if settings.encryption_keys:
        return ring_from_text(list(settings.encryption_keys))
    try:
        return ring_from_file(data_dir(settings) / KEY_FILE)
    except (KeyFileError, OSError) as error:
        raise ConfigurationError(str(error)) from error


def data_dir(settings: Settings) -> Path:
    """The data directory, made for its owner alone. Raises ConfigurationError."""
    path = Path(settings.data_dir)
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(f"The data directory {path} cannot be made: {error.strerror}.") from error
    return path


def database(settings: Settings) -> Database:
    """The database that the URL names; its driver is imported only when it is used."""
    url = settings.storage_url
    if url.startswith("sqlite:///"):
        from bifrost.storage.sqlite import SqliteDatabase  # noqa: PLC0415 - only one of the two is needed

        path = Path(url.removeprefix("sqlite:///"))
        if not settings.storage.url:
            data_dir(settings)
        return SqliteDatabase(path)
    from bifrost.storage.postgresql import PostgresqlDatabase  # noqa: PLC0415 - only one of the two is needed

    return PostgresqlDatabase(url)


async def prepare(settings: Settings, opened: Database, clock: Clock, ring: KeyRing) -> None:
    """Open, migrate, and check that the keys are this database's. Raises ConfigurationError, StorageUnavailable."""
    await opened.open()
    try:
        await migrate(opened, clock)
    except NewerSchemaError as error:
        raise ConfigurationError(str(error)) from error
    named = queries("installation", opened.driver)
    async with opened.transaction() as connection:
        await named.keep_installation_value(
            connection, name=_CHECK_NAME, value=ring.seal(b"bifrost", use=_CHECK_USE, owner=_CHECK_NAME)
        )
        kept = await named.installation_value(connection, name=_CHECK_NAME)
    try:
        ring.open(kept, use=_CHECK_USE, owner=_CHECK_NAME)
    except SealBrokenError as error:
        where = "encryption_keys" if settings.encryption_keys else str(Path(settings.data_dir, KEY_FILE))
        raise ConfigurationError(
            f"The database was written with another encryption key than the one in {where}. Give every replica "
            "the same keys (BIFROST_ENCRYPTION_KEYS), or restore the key file that belongs to this database."
        ) from error


class Configurable(Protocol):
    """Where what the configuration creates goes; `Gateway` is one, and what it is made of is another."""

    @property
    def virtual_keys(self) -> VirtualKeys: ...

    @property
    def upstreams(self) -> Upstreams: ...

    @property
    def virtual_mcps(self) -> VirtualMcps: ...

    @property
    def clients(self) -> ClientRegistry: ...

    @property
    def trail(self) -> Trail: ...


async def seed(settings: Settings, parts: Configurable, ring: KeyRing) -> None:
    """Make upstreams, virtual MCPs, keys and clients as the configuration says.

    What was changed otherwise since stays as it is. A MAC of each entry tells whether the file changed; what does
    change is in the audit trail, told by the one process that changed it. Raises UpstreamInvalid, VirtualMcpInvalid,
    VirtualMcpTaken, WeakVirtualKey, ClientInvalid.
    """
    with events.heard() as heard:
        try:
            for upstream in settings.mcp.client_configs:
                await parts.upstreams.configure(new_upstream(upstream), _mac(upstream, ring))
            for virtual_mcp in settings.mcp.virtual_mcps:
                await parts.virtual_mcps.configure(new_virtual_mcp(virtual_mcp), _mac(virtual_mcp, ring))
            for key in settings.governance.virtual_keys:
                await parts.virtual_keys.configure(new_virtual_key(key), _mac(key, ring))
            for client in settings.client.registered_clients:
                await parts.clients.configure(new_client(client), _mac(client, ring))
        finally:
            await parts.trail.record(heard, CONFIGURATION)


def _mac(entry: msgspec.Struct, ring: KeyRing) -> str:
    return ring.mac(msgspec.json.encode(entry).decode(), use="configuration")


def allowed_commands(settings: Settings) -> AllowedCommands:
    """The programs that upstreams may be, and what they may see of our environment."""
    return AllowedCommands(settings.mcp.stdio_allowed_commands, environment())


def new_upstream(wanted: UpstreamSettings) -> NewUpstream:
    """Member by member the same, nested objects included."""
    members = msgspec.structs.asdict(wanted)
    return NewUpstream(
        **members
        | {
            "stdio_config": StdioConfig(**msgspec.structs.asdict(wanted.stdio_config)),
            "tls_config": Trust(**msgspec.structs.asdict(wanted.tls_config)),
            "oauth_config": OAuthConfig(**msgspec.structs.asdict(wanted.oauth_config)),
        }
    )


def new_virtual_mcp(wanted: VirtualMcpSettings) -> NewVirtualMcp:
    configs = tuple(McpConfig(**msgspec.structs.asdict(config)) for config in wanted.mcp_configs)
    return NewVirtualMcp(**msgspec.structs.asdict(wanted) | {"mcp_configs": configs})


def new_client(wanted: RegisteredClientSettings) -> NewClient:
    return NewClient(**msgspec.structs.asdict(wanted))


def new_virtual_key(wanted: VirtualKeySettings) -> NewVirtualKey:
    return NewVirtualKey(
        id=wanted.id,
        name=wanted.name,
        value=wanted.value,
        description=wanted.description,
        is_active=wanted.is_active,
        expires_at=int(wanted.expires_at.timestamp() * 1_000) if wanted.expires_at else None,
        mcp_configs=tuple(
            McpConfig(mcp_client_name=config.mcp_client_name, tools_to_execute=config.tools_to_execute)
            for config in wanted.mcp_configs
        ),
        rate_limit=RateLimit(**msgspec.structs.asdict(wanted.rate_limit)) if wanted.rate_limit else None,
        virtual_mcps=wanted.virtual_mcps,
        budgets=tuple(Budget(**msgspec.structs.asdict(budget)) for budget in wanted.budgets),
    )
