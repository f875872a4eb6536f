"""Upstreams, as configured."""

from dataclasses import dataclass, field
from typing import Literal

ConnectionType = Literal["http"]
AuthType = Literal["none", "headers"]
DEFAULT_TIMEOUT_SECONDS = 30


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


@dataclass(frozen=True, slots=True, kw_only=True)
class NewUpstream:
    """What an administrator or the configuration asks for. `headers` are in plain text and may be secrets."""

    name: str
    connection_string: str
    connection_type: ConnectionType = "http"
    auth_type: AuthType = "none"
    headers: dict[str, str] = field(default_factory=dict, repr=False)
    tools_to_execute: tuple[str, ...] = ()
    allow_on_all_virtual_keys: bool = False
    tool_execution_timeout: int = DEFAULT_TIMEOUT_SECONDS
    endpoint_slug: str = ""
    disabled: bool = False
