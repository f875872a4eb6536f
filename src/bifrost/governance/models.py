"""Virtual keys and the tool filters they carry."""

from dataclasses import dataclass

import msgspec

ALL_TOOLS = "*"
MICRO = 1_000_000
"""Money is counted in whole millionths, so that nothing is lost in adding up."""


class McpConfig(msgspec.Struct, frozen=True, kw_only=True, cache_hash=True):
    """What a key may use of one upstream: `["*"]` is all its tools, `[]` is none (contract §9)."""

    mcp_client_name: str
    tools_to_execute: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class VirtualMcp:
    """Some upstreams, or some of their tools, as one MCP endpoint of its own: `/mcp/{endpoint_slug}`.

    It only ever narrows: what a caller sees of it is what the caller may use anyway. A key to which it is attached is
    confined to it. Times in milliseconds.
    """

    id: str
    name: str
    description: str
    endpoint_slug: str
    mcp_configs: tuple[McpConfig, ...]
    disabled: bool
    created_at: int
    updated_at: int

    @property
    def filter(self) -> tuple[McpConfig, ...]:
        return () if self.disabled else self.mcp_configs

    def holds(self, upstream: str) -> bool:
        return any(config.mcp_client_name == upstream and config.tools_to_execute for config in self.filter)


@dataclass(frozen=True, slots=True, kw_only=True)
class VirtualMcpChanges:
    """What is to be changed; None leaves a member as it is."""

    name: str | None = None
    description: str | None = None
    endpoint_slug: str | None = None
    mcp_configs: tuple[McpConfig, ...] | None = None
    disabled: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RateLimit:
    """So many tool calls in so much time, written like `1m` (governance/durations.py)."""

    request_max_limit: int
    request_reset_duration: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """So much money, in the unit of the tools' prices, in so much time."""

    max_limit: float
    reset_duration: str


@dataclass(frozen=True, slots=True, kw_only=True)
class VirtualKey:
    """A key as it is stored: never its value, only the beginning of it, to tell keys apart. Times in milliseconds."""

    id: str
    name: str
    description: str
    value_hint: str
    is_active: bool
    expires_at: int | None
    mcp_configs: tuple[McpConfig, ...]
    created_at: int
    updated_at: int
    rate_limit: RateLimit | None = None
    budgets: tuple[Budget, ...] = ()
    virtual_mcps: tuple[str, ...] = ()
    """Names of the virtual MCPs that are attached to it; with any, it reaches nothing outside of them."""

    def refusal(self, now: int) -> str | None:
        """Why the key may not be used now, in words for its owner; None when it may."""
        if not self.is_active:
            return "This virtual key is inactive."
        if self.expires_at is not None and self.expires_at <= now:
            return "This virtual key has expired."
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyChanges:
    """What is to be changed; None leaves a member as it is, but for those that a `sets_…` says are set."""

    name: str | None = None
    description: str | None = None
    is_active: bool | None = None
    sets_expiry: bool = False
    expires_at: int | None = None
    mcp_configs: tuple[McpConfig, ...] | None = None
    sets_rate_limit: bool = False
    rate_limit: RateLimit | None = None
    budgets: tuple[Budget, ...] | None = None
    virtual_mcps: tuple[str, ...] | None = None
