"""Upstreams, as configured."""

from dataclasses import dataclass, field
from typing import Literal

ConnectionType = Literal["http"]
AuthType = Literal["none", "headers", "per_user_oauth"]
PER_USER: frozenset[str] = frozenset(("per_user_oauth",))
"""Auth types with which everybody uses an account of their own."""

DEFAULT_TIMEOUT_SECONDS = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class OAuthConfig:
    """`oauth_config` of an upstream: what an administrator knows beforehand; all of it optional."""

    client_id: str = ""
    client_secret: str = field(default="", repr=False)
    authorize_url: str = ""
    token_url: str = ""
    registration_url: str = ""
    scopes: tuple[str, ...] = ()
    resource: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Upstream:
    """`name` is the prefix of its tools and has no hyphen; `sealed_headers` opens for this upstream only."""

    id: str
    name: str
    endpoint_slug: str
    connection_type: ConnectionType
    connection_string: str
    auth_type: AuthType
    tools_to_execute: tuple[str, ...]
    allow_on_all_virtual_keys: bool
    tool_execution_timeout: int
    """Seconds."""
    disabled: bool
    sealed_headers: str = field(default="", repr=False)
    sealed_oauth_config: str = field(default="", repr=False)

    @property
    def per_user(self) -> bool:
        return self.auth_type in PER_USER


@dataclass(frozen=True, slots=True, kw_only=True)
class NewUpstream:
    """What an administrator or the configuration asks for. `headers` are in plain text and may be secrets."""

    name: str
    connection_string: str
    connection_type: ConnectionType = "http"
    auth_type: AuthType = "none"
    headers: dict[str, str] = field(default_factory=dict, repr=False)
    oauth_config: OAuthConfig = field(default_factory=OAuthConfig)
    tools_to_execute: tuple[str, ...] = ()
    allow_on_all_virtual_keys: bool = False
    tool_execution_timeout: int = DEFAULT_TIMEOUT_SECONDS
    endpoint_slug: str = ""
    disabled: bool = False
