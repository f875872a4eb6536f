"""Upstreams, as configured."""

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from bifrost.governance.models import MICRO
from bifrost.http.tls import MACHINE, Trust

ConnectionType = Literal["http", "sse", "stdio"]
AuthType = Literal["none", "headers", "oauth", "per_user_oauth", "per_user_headers"]
UpstreamState = Literal[
    "connected", "disconnected", "error", "pending_tools", "pending_verification", "needs_reauth", "disabled"
]
"""Contract §8. It tells administrators what was seen last; what a call may do is decided by other facts."""

Change = Literal["settings", "place", "auth_type"]
"""What a change of an upstream means for what hangs on it: nothing; it may stand elsewhere now; it is another kind."""

PER_USER: frozenset[str] = frozenset(("per_user_oauth", "per_user_headers"))
"""Auth types with which everybody uses an account of their own."""

BY_OAUTH: frozenset[str] = frozenset(("oauth", "per_user_oauth"))
"""Auth types with a sign-in at the upstream's authorization server, and so with an `oauth_config_id`."""

DEFAULT_TIMEOUT_SECONDS = 30
DEFAULT_CONCURRENT_CALLS = 100
"""So that one that hangs keeps no more of a process busy, and a fast one never notices."""


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
class StdioConfig:
    """`stdio_config`: a program to run. `envs` are names of environment variables that it may see."""

    command: str = ""
    args: tuple[str, ...] = ()
    envs: tuple[str, ...] = ()


class Way:
    """Its hash is made once: it is part of keys that are looked up at every request."""

    __slots__ = ("_hash", "_parts")

    def __init__(self, *parts: object) -> None:
        self._parts, self._hash = parts, hash(parts)

    def __eq__(self, other: object) -> bool:
        return self is other or (isinstance(other, Way) and self._parts == other._parts)

    def __hash__(self) -> int:
        return self._hash


_way = functools.lru_cache(maxsize=1_024)(Way)
"""One object for equal ways: to compare two, at every request, is to see that they are the same."""


class _OnItsWay:
    __slots__ = ("_way",)
    _way: Way


@dataclass(frozen=True, slots=True, kw_only=True)
class Upstream(_OnItsWay):
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
    stdio_config: StdioConfig = StdioConfig()
    oauth_config_id: str = ""
    per_user_header_keys: tuple[str, ...] = ()
    allowed_extra_headers: tuple[str, ...] = ()
    is_ping_available: bool = True
    tool_sync_interval: int = 0
    """Seconds; 0 means the usual interval, less than 0 never."""
    max_concurrent_calls: int = DEFAULT_CONCURRENT_CALLS
    """By one process; 0 is any number."""
    tls_config: Trust = MACHINE
    vetted: bool = False
    """Whether its place came through the API: then the addresses of its host are judged at every connection."""
    tool_pricing: Mapping[str, float] = field(default_factory=dict, hash=False)
    state: UpstreamState = "disconnected"
    """What was seen last, as if it were enabled; see `shown_state`."""
    state_reason: str = ""

    def price_of(self, tool: str) -> int:
        """What one call costs, in millionths."""
        return round(self.tool_pricing.get(tool, 0) * MICRO) if self.tool_pricing else 0

    @property
    def per_user(self) -> bool:
        return self.auth_type in PER_USER

    @property
    def by_oauth(self) -> bool:
        return self.auth_type in BY_OAUTH

    @property
    def way(self) -> Way:
        """Everything that a conversation with it was begun with: what was heard on another way is not of this one."""
        try:
            return self._way
        except AttributeError:
            way = _way(
                self.connection_type,
                self.connection_string,
                self.auth_type,
                self.sealed_headers,
                self.stdio_config,
                self.tls_config,
                self.vetted,
                self.per_user_header_keys,
            )
            object.__setattr__(self, "_way", way)
            return way

    @property
    def shown_state(self) -> UpstreamState:
        return "disabled" if self.disabled else self.state


@dataclass(frozen=True, slots=True, kw_only=True)
class NewUpstream:
    """What an administrator or the configuration asks for. `headers` are in plain text and may be secrets."""

    name: str
    connection_string: str = ""
    connection_type: ConnectionType = "http"
    stdio_config: StdioConfig = StdioConfig()
    auth_type: AuthType = "none"
    headers: dict[str, str] = field(default_factory=dict, repr=False)
    oauth_config: OAuthConfig = field(default_factory=OAuthConfig)
    oauth_config_id: str = ""
    per_user_header_keys: tuple[str, ...] = ()
    tools_to_execute: tuple[str, ...] = ()
    allowed_extra_headers: tuple[str, ...] = ()
    allow_on_all_virtual_keys: bool = False
    is_ping_available: bool = True
    tool_sync_interval: int = 0
    tool_execution_timeout: int = DEFAULT_TIMEOUT_SECONDS
    max_concurrent_calls: int = DEFAULT_CONCURRENT_CALLS
    tls_config: Trust = MACHINE
    tool_pricing: Mapping[str, float] = field(default_factory=dict)
    endpoint_slug: str = ""
    disabled: bool = False
