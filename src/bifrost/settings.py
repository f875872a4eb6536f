"""Settings: `config.json`, over it the environment, checked as a whole before anything starts (contract §10).

The types are the documentation: docs/configuration.md is made from them.
"""

import difflib
import json
import os
import re
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from bifrost.base.key_file import KeyFileError, ring_from_text
from bifrost.http.addresses import AllowedNetworks
from bifrost.http.client_address import TrustedProxies
from bifrost.http.public_urls import LOOPBACK_HOSTS, is_loopback
from bifrost.storage.database import is_postgresql_url

ENVIRONMENT_PREFIX = "BIFROST_"
ADMIN_TOKEN = "BIFROST_ADMIN_TOKEN"  # noqa: S105 - the name of the variable
_ORIGIN = re.compile(r"https?://(?:\[[0-9a-f:.]+\]|[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?)(?::[1-9][0-9]{0,4})?")
_LOOPBACK_ADDRESSES = ("127.0.0.1", "::1", "localhost")
_LATER = {"identity": "signing in with an OpenID provider", "server.tls": "serving TLS itself"}


class ConfigurationError(Exception):
    """One sentence that says what is wrong and how to put it right."""


class ServerSettings(msgspec.Struct, frozen=True, kw_only=True):
    host: Annotated[str, Meta(description="Address to listen on.")] = "127.0.0.1"
    port: Annotated[int, Meta(ge=1, le=65535, description="Port to listen on.")] = 8080
    public_urls: Annotated[
        tuple[str, ...],
        Meta(description="Origins by which clients reach the gateway, the issuer first. Default: the loopback names."),
    ] = ()
    trusted_proxies: Annotated[
        tuple[str, ...], Meta(description="Addresses or networks whose X-Forwarded-For is believed.")
    ] = ()
    allowed_origins: Annotated[
        tuple[str, ...], Meta(description="Web origins, besides our own, that may call /mcp from a browser.")
    ] = ()
    workers: Annotated[int, Meta(ge=1, le=64, description="Worker processes.")] = 1
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"], Meta(description="Least severe level that is logged.")
    ] = "info"


class ClientSettings(msgspec.Struct, frozen=True, kw_only=True):
    mcp_server_auth_mode: Annotated[
        Literal["headers", "both", "oauth"],
        Meta(description="`headers`: virtual keys only; `oauth`: access tokens only; `both`."),
    ] = "both"
    enforce_auth_on_inference: Annotated[
        bool | None,
        Meta(
            description="Whether everybody needs a key. Default: false while every public URL is loopback, else true."
        ),
    ] = None
    access_token_ttl: Annotated[int, Meta(ge=60, le=86_400 * 30, description="Seconds.")] = 86_400
    refresh_token_idle_ttl: Annotated[int, Meta(ge=60, description="Seconds without use.")] = 86_400 * 30
    refresh_token_absolute_ttl: Annotated[int, Meta(ge=60, description="Seconds since consent.")] = 86_400 * 180
    client_id_metadata_document_url: Annotated[
        str, Meta(description="Where upstreams read about us. Default: our own address, when it is https.")
    ] = ""
    allowed_networks: Annotated[
        tuple[str, ...],
        Meta(description="Private networks in which upstreams' authorization servers may stand, e.g. 10.0.0.0/8."),
    ] = ()
    allowed_app_schemes: Annotated[
        tuple[str, ...], Meta(description="Redirect URI schemes without a dot, besides the known clients' ones.")
    ] = ()


class OAuthConfigSettings(msgspec.Struct, frozen=True, kw_only=True):
    client_id: Annotated[str, Meta(description="Registered by hand at the upstream's authorization server.")] = ""
    client_secret: Annotated[str, Meta(description="Its secret, if it has one.")] = ""
    authorize_url: Annotated[str, Meta(description="Instead of discovery; its own query parameters are kept.")] = ""
    token_url: Annotated[str, Meta(description="Instead of discovery.")] = ""
    registration_url: Annotated[str, Meta(description="Instead of discovery.")] = ""
    scopes: Annotated[tuple[str, ...], Meta(description="Default: what the upstream asks for.")] = ()
    resource: Annotated[str, Meta(description="Default: what the upstream's metadata says.")] = ""


class UpstreamSettings(msgspec.Struct, frozen=True, kw_only=True):
    name: Annotated[str, Meta(description="Prefix of its tools: letters, digits and _.")]
    connection_string: Annotated[str, Meta(description="URL of the MCP endpoint.")]
    connection_type: Annotated[Literal["http"], Meta(description="Streamable HTTP.")] = "http"
    auth_type: Annotated[
        Literal["none", "headers", "per_user_oauth"],
        Meta(description="How we prove ourselves to it; with per_user_oauth everybody connects an own account."),
    ] = "none"
    oauth_config: Annotated[
        OAuthConfigSettings, Meta(description="What is known beforehand of its authorization server.")
    ] = OAuthConfigSettings()
    headers: Annotated[dict[str, str], Meta(description="Sent with every request (auth_type headers).")] = {}
    tools_to_execute: Annotated[tuple[str, ...], Meta(description='`["*"]` all, `[]` none.')] = ()
    allow_on_all_virtual_keys: Annotated[
        bool, Meta(description="Every virtual key may use it, without naming it in mcp_configs.")
    ] = False
    tool_execution_timeout: Annotated[int, Meta(ge=1, le=600, description="Seconds.")] = 30
    endpoint_slug: Annotated[
        str, Meta(description="Its own endpoint is /mcp/{slug}. Default: the name in lower case.")
    ] = ""
    disabled: Annotated[bool, Meta(description="Kept, but not offered.")] = False


class McpConfigSettings(msgspec.Struct, frozen=True, kw_only=True):
    mcp_client_name: Annotated[str, Meta(description="Name of an upstream.")]
    tools_to_execute: Annotated[tuple[str, ...], Meta(description='`["*"]` all, `[]` none.')] = ()


class VirtualKeySettings(msgspec.Struct, frozen=True, kw_only=True):
    name: Annotated[str, Meta(min_length=1, max_length=100, description="For people.")]
    value: Annotated[str, Meta(description="`sk-bf-` and at least 27 random characters; best given as env.NAME.")]
    id: Annotated[str, Meta(max_length=100, description="Stable id. Default: made up.")] = ""
    description: Annotated[str, Meta(max_length=1000, description="For people.")] = ""
    is_active: Annotated[bool, Meta(description="An inactive key is refused with 403.")] = True
    expires_at: Annotated[
        Annotated[datetime, Meta(tz=True)] | None, Meta(description="RFC 3339 time from which it is refused.")
    ] = None
    mcp_configs: Annotated[
        tuple[McpConfigSettings, ...], Meta(description="The upstreams and tools that it may use; none by default.")
    ] = ()


class McpSettings(msgspec.Struct, frozen=True, kw_only=True):
    client_configs: Annotated[tuple[UpstreamSettings, ...], Meta(description="Upstream MCP servers.")] = ()


class GovernanceSettings(msgspec.Struct, frozen=True, kw_only=True):
    virtual_keys: Annotated[tuple[VirtualKeySettings, ...], Meta(description="Keys to hand out.")] = ()


class StorageSettings(msgspec.Struct, frozen=True, kw_only=True):
    url: Annotated[
        str, Meta(description="`sqlite:///path` or `postgresql://…`. Default: SQLite in the data directory.")
    ] = ""


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    server: ServerSettings = ServerSettings()
    client: ClientSettings = ClientSettings()
    mcp: McpSettings = McpSettings()
    governance: GovernanceSettings = GovernanceSettings()
    storage: StorageSettings = StorageSettings()
    data_dir: Annotated[str, Meta(description="Directory of the database and the key ring.")] = "data"
    encryption_keys: Annotated[
        tuple[str, ...],
        Meta(description="Key ring: base64url of 32 bytes each, the sealing key first. Default: a file."),
    ] = ()

    @property
    def public_urls(self) -> tuple[str, ...]:
        return self.server.public_urls or tuple(f"http://{host}:{self.server.port}" for host in LOOPBACK_HOSTS)

    @property
    def enforce_auth(self) -> bool:
        chosen = self.client.enforce_auth_on_inference
        return not all(map(is_loopback, self.public_urls)) if chosen is None else chosen

    @property
    def storage_url(self) -> str:
        return self.storage.url or f"sqlite:///{Path(self.data_dir, 'bifrost.db')}"


def load(path: str | None, environment: Mapping[str, str], overrides: Mapping[str, Any] | None = None) -> Settings:
    """The settings of a file (or of none), the environment, and of command-line options over both.

    Raises ConfigurationError.
    """
    try:
        return _load(path, environment, overrides or {})
    except RecursionError as error:
        raise ConfigurationError("The configuration is nested too deeply to be one.") from error


def _load(path: str | None, environment: Mapping[str, str], overrides: Mapping[str, Any]) -> Settings:
    path = path or environment.get("BIFROST_CONFIG")
    values = _merged(_read(path), _from_environment(environment))
    values = _merged(values, dict(overrides))
    values.pop("$schema", None)
    values = _referenced(values, environment, "")
    _check_keys(values, Settings, "")
    try:
        settings = msgspec.convert(values, Settings, strict=False)
    except msgspec.ValidationError as error:
        raise ConfigurationError(f"The configuration is not valid: {_in_words(str(error))}.") from error
    _check(settings)
    return settings


def environment() -> Mapping[str, str]:
    """The one place that reads the process environment."""
    return os.environ  # noqa: TID251 - this is that place


def hand_down(path: str | None, server: Mapping[str, object]) -> None:
    """Leave what the command line said where worker processes find it."""
    handed = {f"BIFROST_SERVER__{name.upper()}": str(value) for name, value in server.items()}
    os.environ.update(handed | ({"BIFROST_CONFIG": path} if path else {}))  # noqa: TID251 - this is that place


def _read(path: str | None) -> dict[str, Any]:
    if path is None:
        return {}
    try:
        values = json.loads(Path(path).read_bytes(), object_pairs_hook=_unique)
    except OSError as error:
        raise ConfigurationError(f"The configuration file {path} cannot be read: {error.strerror}.") from error
    except ValueError as error:
        raise ConfigurationError(f"The configuration file {path} is not valid JSON: {error}.") from error
    if not isinstance(values, dict):
        raise ConfigurationError(f"The configuration file {path} must hold a JSON object.")
    return values


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for index, name in enumerate(names) if name in names[:index])
        raise ConfigurationError(f"The configuration has the key {twice} twice in one object; only one can count.")
    return members


def _from_environment(environment: Mapping[str, str]) -> dict[str, Any]:
    """`BIFROST_SERVER__PORT=9090` is `server.port`; a value is JSON if it reads as JSON, and text otherwise."""
    short = {
        "BIFROST_PUBLIC_URLS": "BIFROST_SERVER__PUBLIC_URLS",
        "BIFROST_STORAGE_URL": "BIFROST_STORAGE__URL",
    }
    values: dict[str, Any] = {}
    # sorted, a whole section comes before its members
    for name, text in sorted(environment.items()):
        if not name.startswith(ENVIRONMENT_PREFIX) or name in ("BIFROST_CONFIG", ADMIN_TOKEN):
            continue
        *sections, member = short.get(name, name).removeprefix(ENVIRONMENT_PREFIX).lower().split("__")
        target = values
        for section in sections:
            target = target.setdefault(section, {})
            if not isinstance(target, dict):
                raise ConfigurationError(
                    f"{name} sets a member of {section}, which another variable sets to something without members."
                )
        target[member] = _value(text, member)
    return values


def _value(text: str, member: str) -> Any:
    if member in ("public_urls", "trusted_proxies", "allowed_origins", "encryption_keys") and not text.startswith("["):
        return [item.strip() for item in text.split(",") if item.strip()]
    if member in ("port", "workers") or text[:1] in ("[", "{") or text in ("true", "false", "null"):
        try:
            return json.loads(text, object_pairs_hook=_unique)
        except ValueError:
            return text
    return text


def _merged(below: dict[str, Any], above: dict[str, Any], where: str = "") -> dict[str, Any]:
    """What stands below is not valid for being covered, so a section must be one in both."""
    merged = dict(below)
    for name, value in above.items():
        if name in merged and isinstance(value, dict):
            if not isinstance(merged[name], dict):
                raise ConfigurationError(f"The configuration is not valid: {where}{name}: it must be an object.")
            merged[name] = _merged(merged[name], value, f"{where}{name}.")
        else:
            merged[name] = value
    return merged


def _referenced(value: Any, environment: Mapping[str, str], where: str) -> Any:
    """`env.NAME` in any string reads the environment."""
    if isinstance(value, dict):
        return {name: _referenced(member, environment, f"{where}.{name}") for name, member in value.items()}
    if isinstance(value, list):
        return [_referenced(member, environment, f"{where}[{index}]") for index, member in enumerate(value)]
    if isinstance(value, str) and value.startswith("env."):
        name = value.removeprefix("env.")
        if name not in environment:
            raise ConfigurationError(
                f"{where.lstrip('.')} refers to the environment variable {name}, which is not set."
            )
        return environment[name]
    return value


def _check_keys(value: Any, kind: Any, where: str) -> None:
    """An unknown key is an error that names the nearest known one."""
    if isinstance(value, dict) and isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        fields = {field.encode_name: field.type for field in msgspec.structs.fields(kind)}
        for name, member in value.items():
            path = f"{where}{name}"
            if name not in fields:
                raise ConfigurationError(_unknown(path, name, list(fields)))
            _check_keys(member, _plain(fields[name]), f"{path}.")
    elif isinstance(value, list):
        for index, member in enumerate(value):
            _check_keys(member, _element(kind), f"{where.removesuffix('.')}[{index}].")


def _unknown(path: str, name: str, known: list[str]) -> str:
    if path in _LATER:
        return f"{path} is not supported: this version does not offer {_LATER[path]}."
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.4)
    hint = f"Did you mean {near[0]}?" if near else f"Known keys here are: {', '.join(known)}."
    return f"Unknown configuration key {path}. {hint}"


def _plain(kind: Any) -> Any:
    return kind.__origin__ if hasattr(kind, "__metadata__") else kind


def _element(kind: Any) -> Any:
    arguments = getattr(kind, "__args__", ())
    return arguments[0] if arguments else Any


def _in_words(message: str) -> str:
    """Msgspec ends its messages with a path such as ` - at $.server.port`."""
    text, _, where = message.partition(" - at `$.")
    return f"{where.rstrip('`')}: {text[0].lower()}{text[1:]}" if where else text


def _check(settings: Settings) -> None:
    server = settings.server
    _check_public_urls(settings.public_urls)
    if server.host not in _LOOPBACK_ADDRESSES and not server.public_urls:
        raise ConfigurationError(
            f"Listening on {server.host} needs a public URL: set server.public_urls (or BIFROST_PUBLIC_URLS) "
            "to the address that clients use, for example https://mcp.example.com."
        )
    _check_storage(settings)
    _check_unique("mcp.client_configs", "name", [entry.name for entry in settings.mcp.client_configs])
    slugs = [entry.endpoint_slug or entry.name.lower() for entry in settings.mcp.client_configs]
    _check_unique("mcp.client_configs", "endpoint_slug", slugs)
    for member in ("id", "name", "value"):
        values = [getattr(key, member) for key in settings.governance.virtual_keys]
        _check_unique("governance.virtual_keys", member, [value for value in values if value])
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
