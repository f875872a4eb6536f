"""Identities and callers."""

from dataclasses import dataclass
from typing import Literal

from bifrost.governance.models import McpConfig

IdentityKind = Literal["vk", "user", "session"]


@dataclass(frozen=True, slots=True)
class Identity:
    """The owner of upstream credentials: a virtual key, a signed-in user, or an anonymous session."""

    kind: IdentityKind
    id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What an identity that may still be used reaches; `key_configs` is None for one without a virtual key."""

    key_configs: tuple[McpConfig, ...] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessTokenFacts:
    """What a verified access token says. `resource` is the path of the MCP endpoint that it is for."""

    standing: Standing

    identity: Identity
    client_id: str
    grant_id: str
    scope: str
    resource: str
