"""Identities and callers."""

from dataclasses import dataclass
from typing import Literal

IdentityKind = Literal["vk", "user", "session"]


@dataclass(frozen=True, slots=True)
class Identity:
    """The owner of upstream credentials: a virtual key, a signed-in user, or an anonymous session."""

    kind: IdentityKind
    id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessTokenFacts:
    """What a verified access token says. `resource` is the path of the MCP endpoint that it is for."""

    identity: Identity
    client_id: str
    grant_id: str
    scope: str
    resource: str
