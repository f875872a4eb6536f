"""What no type says: rules over several settings at once."""

import re

from bifrost.base.key_file import KeyFileError, ring_from_text
from bifrost.http.addresses import AllowedNetworks
from bifrost.http.client_address import TrustedProxies
from bifrost.http.public_urls import is_loopback
from bifrost.protocol import hosts
from bifrost.settings.models import ClientSettings, ConfigurationError, Settings
from bifrost.storage.database import is_postgresql_url
from bifrost.upstreams.transports.stdio.command import is_command_path

_ORIGIN = re.compile(r"https?://(?:\[[0-9a-f:.]+\]|[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?)(?::[1-9][0-9]{0,4})?")
_ADMIN_TOKEN = re.compile(r"[\x21-\x7e]{24,512}")
_LOOPBACK_ADDRESSES = ("127.0.0.1", "::1", "localhost")


def check(settings: Settings) -> None:
    server = settings.server
    _check_public_urls(settings.public_urls)
    if server.host not in _LOOPBACK_ADDRESSES and not server.public_urls:
        raise ConfigurationError(
            f"Listening on {server.host} needs a public URL: set server.public_urls (or BIFROST_PUBLIC_URLS) "
            "to the address that clients use, for example https://mcp.example.com."
        )
    if settings.admin_token and not _ADMIN_TOKEN.fullmatch(settings.admin_token):
        raise ConfigurationError(
            "BIFROST_ADMIN_TOKEN must be 24 to 512 printable ASCII characters without a space: whoever knows it may "
            "change everything. Make one, for example with: openssl rand -hex 32"
        )
    _check_storage(settings)
    _check_hosts(settings.client)
    _check_unique("mcp.client_configs", "name", [entry.name for entry in settings.mcp.client_configs])
    slugs = [entry.endpoint_slug or entry.name.lower() for entry in settings.mcp.client_configs]
    _check_unique("mcp.client_configs", "endpoint_slug", slugs)
    _check_virtual_mcps(settings, slugs)
    config_ids = [entry.oauth_config_id for entry in settings.mcp.client_configs if entry.oauth_config_id]
    _check_unique("mcp.client_configs", "oauth_config_id", config_ids)
    ids = [entry.client_id for entry in settings.client.registered_clients]
    _check_unique("client.registered_clients", "client_id", ids)
    for member in ("id", "name", "value"):
        values = [getattr(key, member) for key in settings.governance.virtual_keys]
        _check_unique("governance.virtual_keys", member, [value for value in values if value])
    for path in settings.mcp.stdio_allowed_commands:
        if not is_command_path(path):
            raise ConfigurationError(f"mcp.stdio_allowed_commands: {path!r} is not an absolute path without detours.")
    try:
        TrustedProxies(server.trusted_proxies)
        AllowedNetworks(settings.client.allowed_networks)
    except ValueError as error:
        raise ConfigurationError(f"server.trusted_proxies or client.allowed_networks: {error}.") from error
    try:
        if settings.encryption_keys:
            ring_from_text(list(settings.encryption_keys))
    except KeyFileError as error:
        raise ConfigurationError(f"encryption_keys: {error}") from error


def _check_public_urls(urls: tuple[str, ...]) -> None:
    for url in urls:
        if not _ORIGIN.fullmatch(url):
            raise ConfigurationError(
                f"server.public_urls: {url!r} is not an origin; write it like https://mcp.example.com, without a path."
            )
        if url.endswith(":443" if url.startswith("https://") else ":80"):
            raise ConfigurationError(f"server.public_urls: leave the default port out of {url}, as browsers do.")
        if url.startswith("http://") and not is_loopback(url):
            raise ConfigurationError(f"server.public_urls: {url} must be https; plain http is for loopback only.")
    if len({url.partition(":")[0] for url in urls}) > 1:
        raise ConfigurationError("server.public_urls must be all https, or all loopback.")


def _check_hosts(client: ClientSettings) -> None:
    for name in ("client_id_metadata_allowed_hosts", "client_id_metadata_blocked_hosts", "blocked_redirect_hosts"):
        applications = name == "blocked_redirect_hosts"
        for listed in getattr(client, name):
            if not hosts.may_stand(listed, applications=applications):
                raise ConfigurationError(
                    f"client.{name}: {listed!r} is not a host; write example.com, or *.example.com for all below it, "
                    f"without scheme, port and path{', or name:// for an application' if applications else ''}."
                )


def _check_virtual_mcps(settings: Settings, taken: list[str]) -> None:
    """Upstreams and virtual MCPs share the addresses below /mcp/."""
    virtual_mcps = settings.mcp.virtual_mcps
    _check_unique("mcp.virtual_mcps", "name", [entry.name for entry in virtual_mcps])
    slugs = [entry.endpoint_slug or entry.name.lower() for entry in virtual_mcps]
    _check_unique("mcp.virtual_mcps", "endpoint_slug", slugs)
    for index, slug in enumerate(slugs):
        if slug in taken:
            raise ConfigurationError(
                f"mcp.virtual_mcps: entry {index} has the endpoint_slug of an upstream, mcp.client_configs entry "
                f"{taken.index(slug)}."
            )


def _check_unique(section: str, member: str, values: list[str]) -> None:
    """The offending value itself may be a secret, so only its place is told."""
    for index, value in enumerate(values):
        if value in values[:index]:
            raise ConfigurationError(f"{section}: entry {index} has the same {member} as entry {values.index(value)}.")


def _check_storage(settings: Settings) -> None:
    """The URL is never repeated: it may carry a password."""
    scheme, _, rest = settings.storage_url.partition("://")
    if scheme == "sqlite":
        if not rest.startswith("/") or rest == "/":
            raise ConfigurationError(
                "storage.url must name a file: sqlite:///relative/path or sqlite:////absolute/path."
            )
    elif scheme not in ("postgresql", "postgres"):
        raise ConfigurationError("storage.url must begin with sqlite:/// or postgresql://.")
    elif not is_postgresql_url(settings.storage_url):
        raise ConfigurationError(
            "storage.url must be written like postgresql://user:password@host:5432/database, "
            "with / ? # @ in the password as %2F %3F %23 %40."
        )
