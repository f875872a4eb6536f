"""Identities, callers and administrators."""

from dataclasses import dataclass
from typing import Literal

import msgspec

from bifrost.governance.models import McpConfig
from bifrost.governance.tool_policy import ToolPolicy

IdentityKind = Literal["vk", "user", "session"]


class Identity(msgspec.Struct, frozen=True):
    """The owner of upstream credentials: a virtual key, a signed-in user, or an anonymous session."""

    kind: IdentityKind
    id: str


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """What an identity that may still be used reaches.

    Without a virtual key there are no `key_configs`: such an identity reaches only what is open to every key, so that
    leaving a key out never gives more than presenting one.
    """

    key_configs: tuple[McpConfig, ...] = ()
    within: tuple[tuple[McpConfig, ...], ...] = ()
    """What narrows it further: the virtual MCPs that are attached to the key."""

    @property
    def policy(self) -> ToolPolicy:
        return ToolPolicy(key_configs=self.key_configs, within=self.within)


class AccessTokenFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What a verified access token says. `resource` is the path of the MCP endpoint that it is for."""

    standing: Standing

    identity: Identity
    client_id: str
    grant_id: str
    scope: str
    resource: str
    jkt: str = ""
    """The thumbprint of the key that it is bound to (RFC 9449 §6); empty for a bearer's."""

    expires_at: int | None = None


@dataclass(frozen=True, slots=True)
class Administrator:
    """Who administrates: the id of a made token, or `configured`; `name` is for people."""

    id: str
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AdminToken:
    """An administrator's token as it is stored: never its value. Times in milliseconds."""

    id: str
    name: str
    created_at: int

    @property
    def administrator(self) -> Administrator:
        return Administrator(self.id, self.name)


@dataclass(frozen=True, slots=True, kw_only=True)
class AdminSession:
    """A browser that signed in with a token. Times in milliseconds.

    `token_id` is that of a made token and ends with it. A session of the configured token has `configured_mac`
    instead, by which it ends when another token is configured.
    """

    token_id: str | None
    token_name: str
    configured_mac: str
    created_at: int
    seen_at: int
    expires_at: int
