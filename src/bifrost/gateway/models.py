"""Nouns of the gateway."""

from dataclasses import dataclass

from msgspec import Raw

from bifrost.governance.tool_policy import ToolPolicy
from bifrost.identity.callers import Caller
from bifrost.upstreams.models import Upstream


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool:
    """A tool as its upstream describes it: every member kept as its bytes, known or not."""

    name: str
    members: dict[str, Raw]
    read_only: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """`/mcp` (no `only`), where names carry their upstream's prefix, or `/mcp/{slug}` of one upstream, where not."""

    path: str
    only: Upstream | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One authenticated request: who, where, and through which filters."""

    caller: Caller
    endpoint: Endpoint
    policy: ToolPolicy
