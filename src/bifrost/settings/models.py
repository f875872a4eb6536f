"""The sections of `config.json`. The types are the documentation: docs/configuration.md is made from them."""

from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from bifrost.http.public_urls import LOOPBACK_HOSTS, is_loopback
from bifrost.protocol import oauth
from bifrost.protocol.redirect_uri import APP_SCHEMES


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


class ResourceServerSettings(msgspec.Struct, frozen=True, kw_only=True):
    id: Annotated[str, Meta(min_length=1, max_length=100, pattern="^[!-9;-~]+$", description="Its name in Basic.")]
    secret: Annotated[
        str, Meta(min_length=32, max_length=200, description="At least 32 random characters; best given as env.NAME.")
    ]
    resources: Annotated[
        tuple[str, ...],
        Meta(description="Paths of the MCP endpoints whose tokens it may ask about, e.g. /mcp. Default: all."),
    ] = ()


class RegisteredClientSettings(msgspec.Struct, frozen=True, kw_only=True):
    client_id: Annotated[str, Meta(min_length=1, max_length=200, description="What the client calls itself by.")]
    client_name: Annotated[str, Meta(min_length=1, max_length=200, description="What people are shown.")]
    redirect_uris: Annotated[
        tuple[str, ...], Meta(description="Where the browser may be sent; compared exactly, but for a loopback port.")
    ]
    client_secret: Annotated[
        str, Meta(description="At least 22 random characters, kept as a hash; best given as env.NAME.")
    ] = ""
    client_secret_hash: Annotated[str, Meta(description="Instead: the SHA-256 of the secret in hex.")] = ""
    token_endpoint_auth_method: Annotated[
        str, Meta(description="Default: client_secret_basic with a secret, private_key_jwt with keys, else none.")
    ] = ""
    grant_types: Annotated[tuple[str, ...], Meta(description="What it may use at the token endpoint.")] = (
        "authorization_code",
        "refresh_token",
    )
    jwks: Annotated[dict[str, Any] | None, Meta(description="Its public keys, for private_key_jwt.")] = None
    jwks_uri: Annotated[str, Meta(description="Where its public keys are, instead.")] = ""
    access_token_format: Annotated[
        oauth.AccessTokenFormat, Meta(description="`jwt`: others can check its access tokens (RFC 9068).")
    ] = oauth.OPAQUE
    require_pushed_authorization_requests: Annotated[
        bool, Meta(description="Refuse its authorization requests unless they were pushed (RFC 9126).")
    ] = False
    dpop_bound_access_tokens: Annotated[
        bool, Meta(description="Give it tokens only with a proof of the key they are bound to (RFC 9449).")
    ] = False


MAX_TTL = 86_400 * 36_500
"""A hundred years: later times cannot be written everywhere."""


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
    refresh_token_idle_ttl: Annotated[int, Meta(ge=60, le=MAX_TTL, description="Seconds without use.")] = 86_400 * 30
    refresh_token_absolute_ttl: Annotated[int, Meta(ge=60, le=MAX_TTL, description="Seconds since consent.")] = (
        86_400 * 180
    )
    refresh_token_replay_window: Annotated[
        int, Meta(ge=0, le=30, description="Seconds in which a used refresh token is answered like the first time.")
    ] = 30
    refresh_token_replay_cap: Annotated[
        int,
        Meta(ge=0, le=86_400, description="The same, in seconds, as long as its successor was not used either."),
    ] = 86_400
    refresh_token_replay_limit: Annotated[
        int, Meta(ge=1, le=1_000, description="How often after the window; one more ends the grant.")
    ] = 100
    require_pushed_authorization_requests: Annotated[
        bool, Meta(description="Refuse authorization requests that were not pushed before (RFC 9126).")
    ] = False
    dpop_nonces: Annotated[
        bool, Meta(description="Whether DPoP proofs must contain a nonce of ours, so that none is made in advance.")
    ] = False
    jwt_access_tokens_for: Annotated[
        tuple[str, ...],
        Meta(description="Ids of clients whose access tokens are JWTs that others can check; `*` for all."),
    ] = ()
    jwt_signing_alg: Annotated[
        Literal["ES256", "RS256"], Meta(description="What JWT access tokens are signed with.")
    ] = "ES256"
    signing_key_days: Annotated[
        int, Meta(ge=0, le=3_650, description="Days after which the next signing key takes over; 0 for never.")
    ] = 90
    resource_servers: Annotated[
        tuple[ResourceServerSettings, ...],
        Meta(description="Servers that may ask whether a token is good (introspection)."),
    ] = ()
    client_id_metadata_document_url: Annotated[
        str, Meta(description="Where upstreams read about us. Default: our own address, when it is https.")
    ] = ""
    registrations_per_minute: Annotated[
        int,
        Meta(ge=0, description="Of one client name and redirect host; five times as many in all. 0 is no limit."),
    ] = 600
    authorizations_per_minute: Annotated[
        int, Meta(ge=0, description="Authorization requests, counted likewise. 0 is no limit.")
    ] = 1_200
    registered_clients: Annotated[
        tuple[RegisteredClientSettings, ...], Meta(description="OAuth clients that are registered by hand.")
    ] = ()
    client_id_metadata_documents: Annotated[
        bool, Meta(description="Whether a client_id may be the address of a metadata document, which is then fetched.")
    ] = True
    client_id_metadata_allowed_hosts: Annotated[
        tuple[str, ...],
        Meta(description="Hosts whose documents are read, `*.example.com` for all below. Default: every host."),
    ] = ()
    client_id_metadata_blocked_hosts: Annotated[
        tuple[str, ...], Meta(description="Hosts whose documents are never read, written likewise.")
    ] = ()
    blocked_redirect_hosts: Annotated[
        tuple[str, ...],
        Meta(
            description="Hosts that no client is sent back to, written likewise, and applications as `name://`: keeps "
            "out a client that would come back under another name. Those that are registered by hand are exempt."
        ),
    ] = ()
    allowed_networks: Annotated[
        tuple[str, ...],
        Meta(
            description="Private networks, e.g. 10.0.0.0/8, in which upstreams that the management API adds and the "
            "authorization servers of all upstreams may stand."
        ),
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


class StdioConfigSettings(msgspec.Struct, frozen=True, kw_only=True):
    command: Annotated[str, Meta(description="The program.")] = ""
    args: Annotated[tuple[str, ...], Meta(description="Its arguments, as they are: no shell reads them.")] = ()
    envs: Annotated[tuple[str, ...], Meta(description="Names of the environment variables that it may see.")] = ()


class TlsConfigSettings(msgspec.Struct, frozen=True, kw_only=True):
    insecure_skip_verify: Annotated[bool, Meta(description="Believe any certificate; for development only.")] = False
    ca_cert_pem: Annotated[str, Meta(description="Certificates of the authorities to trust, in PEM.")] = ""


class UpstreamSettings(msgspec.Struct, frozen=True, kw_only=True):
    name: Annotated[str, Meta(description="Prefix of its tools: letters, digits and _.")]
    connection_type: Annotated[
        Literal["http", "sse", "stdio"], Meta(description="Streamable HTTP, HTTP with SSE (2024-11-05), or a program.")
    ] = "http"
    connection_string: Annotated[str, Meta(description="URL of the MCP endpoint; not for stdio.")] = ""
    stdio_config: Annotated[StdioConfigSettings, Meta(description="The program (connection_type stdio).")] = (
        StdioConfigSettings()
    )
    tls_config: Annotated[TlsConfigSettings, Meta(description="Whom to believe that it is the upstream.")] = (
        TlsConfigSettings()
    )
    auth_type: Annotated[
        Literal["none", "headers", "oauth", "per_user_oauth", "per_user_headers"],
        Meta(
            description="How we prove ourselves to it: `headers` and `oauth` are one account for everybody; "
            "with the others everybody has their own."
        ),
    ] = "none"
    oauth_config_id: Annotated[
        str, Meta(description="Stable id of its oauth_config in the management API. Default: made up.")
    ] = ""
    oauth_config: Annotated[
        OAuthConfigSettings, Meta(description="What is known beforehand of its authorization server.")
    ] = OAuthConfigSettings()
    headers: Annotated[dict[str, str], Meta(description="Sent with every request (auth_type headers).")] = {}
    per_user_header_keys: Annotated[
        tuple[str, ...], Meta(description="Names of the headers that everybody gives (auth_type per_user_headers).")
    ] = ()
    allowed_extra_headers: Annotated[
        tuple[str, ...],
        Meta(
            description="Names of headers of a caller's request that it gets as well, each by itself; "
            "never what proves or says who the caller is."
        ),
    ] = ()
    tools_to_execute: Annotated[tuple[str, ...], Meta(description='`["*"]` all, `[]` none.')] = ()
    allow_on_all_virtual_keys: Annotated[
        bool, Meta(description="Every virtual key may use it, without naming it in mcp_configs.")
    ] = False
    is_ping_available: Annotated[bool, Meta(description="Whether it answers ping; else its list is used.")] = True
    tool_sync_interval: Annotated[
        int, Meta(description="Seconds between two looks at its tools; 0: 600, less than 0: never.")
    ] = 0
    tool_execution_timeout: Annotated[int, Meta(ge=1, le=600, description="Seconds.")] = 30
    max_concurrent_calls: Annotated[
        int, Meta(ge=0, le=10_000, description="Calls that a process has at it at once; others are refused. 0: any.")
    ] = 100
    tool_pricing: Annotated[
        dict[str, float], Meta(description="What one call of a tool costs, by its name; 0 for all others.")
    ] = {}
    endpoint_slug: Annotated[
        str, Meta(description="Its own endpoint is /mcp/{slug}. Default: the name in lower case.")
    ] = ""
    disabled: Annotated[bool, Meta(description="Kept, but not offered.")] = False


class McpConfigSettings(msgspec.Struct, frozen=True, kw_only=True):
    mcp_client_name: Annotated[str, Meta(description="Name of an upstream.")]
    tools_to_execute: Annotated[tuple[str, ...], Meta(description='`["*"]` all, `[]` none.')] = ()


class HeldConfigSettings(msgspec.Struct, frozen=True, kw_only=True):
    mcp_client_name: Annotated[str, Meta(description="Name of an upstream.")]
    tools_to_execute: Annotated[tuple[str, ...], Meta(description="Some of its tools. Default: all.")] = ("*",)


class VirtualMcpSettings(msgspec.Struct, frozen=True, kw_only=True):
    name: Annotated[str, Meta(min_length=1, max_length=100, description="By which virtual keys name it.")]
    mcp_configs: Annotated[tuple[HeldConfigSettings, ...], Meta(description="The upstreams and tools in it.")]
    id: Annotated[str, Meta(max_length=100, description="Stable id. Default: made up.")] = ""
    description: Annotated[str, Meta(max_length=1000, description="For people.")] = ""
    endpoint_slug: Annotated[str, Meta(description="Its endpoint is /mcp/{slug}. Default: the name in lower case.")] = (
        ""
    )
    disabled: Annotated[bool, Meta(description="Kept, but not offered.")] = False


class RateLimitSettings(msgspec.Struct, frozen=True, kw_only=True):
    request_max_limit: Annotated[int, Meta(ge=0, description="So many tool calls.")]
    request_reset_duration: Annotated[str, Meta(description="In so much time: 30s, 1m, 1h, 1d, 1w, 1M or 1Y.")]


class BudgetSettings(msgspec.Struct, frozen=True, kw_only=True):
    max_limit: Annotated[float, Meta(ge=0, description="So much, in the unit of the prices in tool_pricing.")]
    reset_duration: Annotated[str, Meta(description="In so much time, written like 1d.")]


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
    rate_limit: Annotated[RateLimitSettings | None, Meta(description="How often it may call tools.")] = None
    budgets: Annotated[tuple[BudgetSettings, ...], Meta(description="How much its tool calls may cost.")] = ()
    virtual_mcps: Annotated[
        tuple[str, ...], Meta(description="Names of virtual MCPs that it is confined to; none by default.")
    ] = ()


class McpSettings(msgspec.Struct, frozen=True, kw_only=True):
    client_configs: Annotated[tuple[UpstreamSettings, ...], Meta(description="Upstream MCP servers.")] = ()
    virtual_mcps: Annotated[
        tuple[VirtualMcpSettings, ...], Meta(description="Several upstreams, or some of their tools, as one endpoint.")
    ] = ()
    stdio_allowed_commands: Annotated[
        tuple[str, ...],
        Meta(description="Absolute paths of the programs that stdio upstreams may be; none by default."),
    ] = ()
    stdio_shared_upstreams: Annotated[
        tuple[str, ...],
        Meta(description="Names of stdio upstreams of which one process serves everybody; else each has one."),
    ] = ()
    stdio_max_processes: Annotated[int, Meta(ge=1, le=1_000, description="Programs of one worker process.")] = 64
    stdio_max_processes_per_upstream: Annotated[int, Meta(ge=1, le=1_000, description="Of these, one upstream's.")] = 16
    stdio_idle_seconds: Annotated[
        int, Meta(ge=1, le=86_400, description="A program that nobody used for so long is ended.")
    ] = 600


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
    admin_token: Annotated[
        str, Meta(description="An administrator's credential for /api, at least 24 characters; best given as env.NAME.")
    ] = ""
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
    def app_schemes(self) -> frozenset[str]:
        """Redirect URI schemes without a dot that are taken."""
        return APP_SCHEMES | frozenset(self.client.allowed_app_schemes)

    @property
    def storage_url(self) -> str:
        return self.storage.url or f"sqlite:///{Path(self.data_dir, 'bifrost.db')}"
