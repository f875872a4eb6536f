"""The bodies of the management API about upstreams, by the member names of the published API (contract §9)."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, Raw, Struct, UnsetType

from bifrost.base.clock import SECOND
from bifrost.http.api import rfc3339
from bifrost.http.commands import Command, Paging, all_sent
from bifrost.http.tls import Trust
from bifrost.upstreams.admin_sign_ins import SetUpView
from bifrost.upstreams.administration import KnownTool, SetUp
from bifrost.upstreams.management import KEEP, Shown
from bifrost.upstreams.models import AuthType, ConnectionType, NewUpstream, OAuthConfig, StdioConfig

Texts = tuple[str, ...]


class StdioConfigBody(Command, frozen=True, kw_only=True):
    command: str = ""
    args: Texts = ()
    envs: Texts = ()


class TlsConfigBody(Command, frozen=True, kw_only=True):
    insecure_skip_verify: bool = False
    ca_cert_pem: str = ""


class OAuthConfigBody(Command, frozen=True, kw_only=True):
    client_id: str | UnsetType = UNSET
    client_secret: Annotated[str, Meta(description=f"`{KEEP}` keeps the stored one.")] | UnsetType = UNSET
    authorize_url: str | UnsetType = UNSET
    token_url: str | UnsetType = UNSET
    registration_url: str | UnsetType = UNSET
    scopes: Texts | UnsetType = UNSET
    resource: str | UnsetType = UNSET


class _Members(Command, frozen=True, kw_only=True):
    """What may be said of an upstream at any time."""

    connection_type: ConnectionType | UnsetType = UNSET
    connection_string: str | UnsetType = UNSET
    stdio_config: StdioConfigBody | UnsetType = UNSET
    tls_config: TlsConfigBody | UnsetType = UNSET
    auth_type: AuthType | UnsetType = UNSET
    headers: Annotated[dict[str, str], Meta(description=f"`{KEEP}` keeps the stored value.")] | UnsetType = UNSET
    oauth_config: OAuthConfigBody | UnsetType = UNSET
    oauth_config_id: str | UnsetType = UNSET
    per_user_header_keys: Texts | UnsetType = UNSET
    allowed_extra_headers: Texts | UnsetType = UNSET
    tools_to_execute: Texts | UnsetType = UNSET
    allow_on_all_virtual_keys: bool | UnsetType = UNSET
    is_ping_available: bool | UnsetType = UNSET
    tool_sync_interval: int | UnsetType = UNSET
    tool_execution_timeout: int | UnsetType = UNSET
    max_concurrent_calls: int | UnsetType = UNSET
    tool_pricing: Annotated[dict[str, float], Meta(description="What one call of a tool costs.")] | UnsetType = UNSET
    endpoint_slug: str | UnsetType = UNSET
    disabled: bool | UnsetType = UNSET


class AddClient(_Members, frozen=True, kw_only=True):
    name: str
    client_id: Annotated[
        str, Meta(pattern="^[A-Za-z0-9_-]{0,100}$", description="A stable id. Default: one is made.")
    ] = ""

    user_headers: (
        Annotated[
            dict[str, str],
            Meta(description="Your own values (auth_type per_user_headers): its tools are seen with them."),
        ]
        | None
    ) = None

    def wanted(self) -> NewUpstream:
        members = given(self)
        members.pop("client_id", None)
        members.pop("user_headers", None)
        config = members.pop("oauth_config", {})
        return NewUpstream(**members, oauth_config=OAuthConfig(**config))


class VerifyHeaders(Command, frozen=True, kw_only=True):
    user_headers: Annotated[dict[str, str], Meta(description="A value for each of per_user_header_keys.")]


class ChangeClient(_Members, frozen=True, kw_only=True):
    name: str | UnsetType = UNSET


class ListClients(Paging, frozen=True, kw_only=True):
    search: Annotated[str, Meta(max_length=200, description="In the name, in any case.")] = ""
    server: Annotated[str, Meta(description="Only the one of this id.")] = ""
    connection_type: Annotated[str, Meta(description="Separated by commas: any of them.")] = ""
    auth_type: Annotated[str, Meta(description="Separated by commas: any of them.")] = ""
    state: Annotated[str, Meta(description="Separated by commas: any of them.")] = ""
    disabled: bool | None = None


class ClientConfig(Struct, frozen=True, kw_only=True):
    client_id: str
    name: str
    connection_type: str
    connection_string: str
    stdio_config: StdioConfig
    tls_config: Trust
    auth_type: str
    oauth_config_id: str
    oauth_config: OAuthConfig
    headers: dict[str, str]
    per_user_header_keys: Texts
    allowed_extra_headers: Texts
    tools_to_execute: Texts
    allow_on_all_virtual_keys: bool
    is_ping_available: bool
    tool_sync_interval: int
    tool_execution_timeout: int
    max_concurrent_calls: int
    tool_pricing: Mapping[str, float]
    endpoint_slug: str
    disabled: bool


class ClientTool(Struct, frozen=True, kw_only=True):
    name: str
    description: str
    parameters: Annotated[Any, Meta(description="Its input schema.")]
    hash: Annotated[str, Meta(description="SHA-256 of its definition: what it says of itself.")]
    discovered_at: str
    changed_at: str
    gone_at: Annotated[str | None, Meta(description="When it was first missing.")]


class Client(Struct, frozen=True, kw_only=True):
    config: ClientConfig
    tools: list[ClientTool]
    state: str
    state_reason: str
    stderr: Annotated[
        list[str],
        Meta(description="The last lines that its program wrote to standard error, of the process that answers."),
    ]
    tools_seen_at: str | None
    tools_hash: Annotated[str, Meta(description="Of the whole list; another one means that something has changed.")]
    managed_by: Annotated[Literal["file", "api"], Meta(description="Once changed here, it no longer follows the file.")]
    created_at: str
    updated_at: str


class Clients(Struct, frozen=True, kw_only=True):
    clients: list[Client]
    count: int
    total_count: int
    limit: int
    offset: int


class Done(Struct, frozen=True, kw_only=True):
    status: Literal["success"]
    message: str
    mcp_client_id: str
    client: Client | None = None
    tool_count: int | None = None


class PendingOAuth(Struct, frozen=True, kw_only=True):
    status: Literal["pending_oauth"]
    message: str
    oauth_config_id: str
    authorize_url: Annotated[str, Meta(description="To be opened in the administrator's own browser.")]
    expires_at: str
    mcp_client_id: str
    complete_url: str
    status_url: str
    next_steps: tuple[str, ...]


class OAuthStatus(Struct, frozen=True, kw_only=True):
    id: str
    status: Literal["pending", "authorized", "failed", "expired"]
    reason: str
    completed: Annotated[bool, Meta(description="Whether the account is in use; else it waits for complete_url.")]
    mcp_client_id: str
    created_at: str | None
    expires_at: str | None
    token_expires_at: str | None
    token_scopes: tuple[str, ...]


def given(command: Struct) -> dict[str, Any]:
    """The members that were sent; nested ones as what the use-cases take."""
    found = all_sent(command)
    for name, kind in {"stdio_config": StdioConfig, "tls_config": Trust}.items():
        if name in found:
            found[name] = kind(**msgspec.structs.asdict(found[name]))
    if "oauth_config" in found:
        found["oauth_config"] = all_sent(found["oauth_config"])
    return found


def client(shown: Shown) -> Client:
    managed, upstream = shown.managed, shown.managed.upstream
    own = {name: getattr(upstream, name) for name in ClientConfig.__struct_fields__ if hasattr(upstream, name)}
    return Client(
        config=ClientConfig(
            **own,
            client_id=upstream.id,
            oauth_config=shown.oauth_config,
            headers=dict.fromkeys(shown.header_names, KEEP),
        ),
        tools=[_tool(known) for known in shown.tools],
        state=upstream.shown_state,
        state_reason="" if upstream.disabled else upstream.state_reason,
        stderr=shown.stderr,
        tools_seen_at=_time(managed.tools_seen_at),
        tools_hash=managed.tools_hash,
        managed_by="file" if managed.from_file else "api",
        created_at=rfc3339(managed.created_at),
        updated_at=rfc3339(managed.updated_at),
    )


def pending(set_up: SetUp, *, authorize_url: str, complete_url: str, status_url: str) -> PendingOAuth:
    return PendingOAuth(
        status="pending_oauth",
        message="An administrator has to sign in before this takes effect.",
        oauth_config_id=set_up.oauth_config_id,
        authorize_url=authorize_url,
        expires_at=rfc3339(set_up.expires_at),
        mcp_client_id=set_up.upstream_id,
        complete_url=complete_url,
        status_url=status_url,
        next_steps=(
            "Open authorize_url in your browser, show that you are an administrator, and sign in at the service.",
            "Ask status_url until its status is authorized.",
            "POST to complete_url.",
        ),
    )


def oauth_status(view: SetUpView) -> OAuthStatus:
    credential = view.credential
    usable = credential if credential and credential.state == "active" else None
    state: Literal["pending", "authorized", "failed"] = "authorized" if view.state == "completed" else view.state
    return OAuthStatus(
        id=view.oauth_config_id,
        status="expired" if view.expired else state,
        reason=view.reason,
        completed=view.state == "completed",
        mcp_client_id=view.upstream.id,
        created_at=_time(view.created_at),
        expires_at=_time(view.expires_at),
        token_expires_at=_time(usable.tokens.expires_at) if usable else None,
        token_scopes=tuple(usable.tokens.scope.split()) if usable else (),
    )


def _tool(known: KnownTool) -> ClientTool:
    definition: dict[str, Any] = msgspec.json.decode(known.tool.definition)
    description = definition.get("description")
    return ClientTool(
        name=known.tool.name,
        description=description if isinstance(description, str) else "",
        parameters=Raw(msgspec.json.encode(definition.get("inputSchema"))),
        hash=known.tool.hash,
        discovered_at=rfc3339(known.discovered_at),
        changed_at=rfc3339(known.changed_at),
        gone_at=_time(known.gone_at),
    )


def _time(milliseconds: int | None) -> str | None:
    return None if milliseconds is None else rfc3339(milliseconds // SECOND * SECOND)
