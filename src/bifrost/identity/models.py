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
    """What an identity that may still be used reaches.

    Without a virtual key there are no `key_configs`: such an identity reaches only what is open to every key, so that
    leaving a key out never gives more than presenting one.
    """

    key_configs: tuple[McpConfig, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessTokenFacts:
    """What a verified access token says. `resource` is the path of the MCP endpoint that it is for."""

    standing: Standing

    identity: Identity
    client_id: str
    grant_id: str
    scope: str
    resource: str
