"""Nouns of administering upstreams: what an administrator sees, and a sign-in that is under way for one."""

import hashlib
from dataclasses import dataclass, field
from typing import Literal

from bifrost.upstreams.models import Upstream, UpstreamState

SetUpState = Literal["pending", "authorized", "failed", "completed"]
SET_UP_SECONDS = 15 * 60
"""How long an administrator has to sign in, and then again to complete."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SetUp:
    """An administrator's sign-in for an upstream. `attempt` tells it from an earlier one for the same upstream."""

    oauth_config_id: str
    upstream_id: str
    attempt: str
    created_at: int
    expires_at: int
    state: SetUpState = "pending"
    reason: str = ""
    browser_hash: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool:
    """A tool as an upstream described it: `definition` is its JSON, `hash` that of the canonical form."""

    name: str
    definition: str
    hash: str


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownTool:
    """A tool with its history. `gone_at` is when it was first missing from the list. Times in milliseconds."""

    tool: Tool
    discovered_at: int
    changed_at: int
    gone_at: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Drift:
    """How a list of tools differs from the one before, by name."""

    added: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()

    @property
    def any(self) -> bool:
        return bool(self.added or self.changed or self.removed)


@dataclass(frozen=True, slots=True, kw_only=True)
class Discovery:
    """The tools found in one look at an upstream, with the state that this look says it is in."""

    tools: tuple[Tool, ...]
    state: UpstreamState = "connected"
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ManagedUpstream:
    """An upstream as administrators see it. `revision` goes up with every change of its configuration."""

    upstream: Upstream
    pending: bool
    """Whether it waits for its administrator's sign-in and is nobody's yet."""
    revision: int
    from_file: bool
    """Whether it still follows the configuration file."""
    created_at: int
    updated_at: int
    tools_seen_at: int | None = None
    tools_hash: str = ""
    check_due_at: int = 0


def list_hash(tools: tuple[Tool, ...]) -> str:
    """Of the list as a whole, whatever its order."""
    return hashlib.sha256("\n".join(sorted(tool.hash for tool in tools)).encode()).hexdigest()
