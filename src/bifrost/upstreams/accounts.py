"""Nouns of people's own accounts at upstreams. Times are milliseconds since the epoch."""

from dataclasses import dataclass, field
from typing import Literal

from bifrost.protocol import oauth
from bifrost.protocol.upstream_metadata import AuthorizationServer
from bifrost.upstreams.models import Upstream

SIGN_IN_SECONDS = 10 * 60
"""How long a person has at the upstream's own pages."""

CredentialState = Literal["active", "needs_reauth", "needs_update", "orphaned"]


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose credential it is: an identity, or a consent flow until its person has chosen to finish.

    An administrator's account is nobody's: with `shared` everybody's calls are made, with `discovery` only tools are
    listed, and `setup` is one that the administrator has yet to confirm.
    """

    kind: Literal["vk", "user", "session", "flow", "shared", "discovery", "setup"]
    id: str

    def __str__(self) -> str:
        return f"{self.kind}:{self.id}"


def shared_owner(upstream_id: str) -> Owner:
    return Owner("shared", upstream_id)


def discovery_owner(upstream_id: str) -> Owner:
    return Owner("discovery", upstream_id)


def account_of(upstream: Upstream) -> Owner:
    """Whose an administrator's account there is: everybody's, or nobody's."""
    return shared_owner(upstream.id) if upstream.auth_type == "oauth" else discovery_owner(upstream.id)


def setup_owner(attempt: str) -> Owner:
    return Owner("setup", attempt)


@dataclass(frozen=True, slots=True, kw_only=True)
class Discovered:
    """What an upstream says about who guards it."""

    server: AuthorizationServer
    resource: str
    scopes: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Registration:
    """Our client at one authorization server, for one upstream. Never used at another issuer."""

    issuer: str
    client_id: str
    client_secret: str = field(default="", repr=False)
    auth_method: str = oauth.NONE


@dataclass(frozen=True, slots=True, kw_only=True)
class SignIn:
    """A sign-in under way. Everything the callback needs was fixed when it began, so that nothing can be swapped."""

    upstream_id: str
    owner: Owner
    browser_hash: str
    return_to: str
    """Where the browser goes afterwards: `flow:ID`, `session:ID` or `setup:ID`."""
    discovered: Discovered
    registration: Registration
    code_verifier: str = field(repr=False)
    scope: str
    expires_at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenSet:
    """What an upstream's authorization server gave. `expires_at` is None when it did not say."""

    access_token: str = field(repr=False)
    refresh_token: str = field(default="", repr=False)
    scope: str = ""
    issued_at: int = 0
    expires_at: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Credential:
    """A person's own access to one upstream, opened. What renews it is kept with it: one issuer, one client."""

    upstream_id: str
    owner: Owner
    tokens: TokenSet
    registration: Registration
    token_endpoint: str
    resource: str
    state: CredentialState = "active"
    reason: str = ""
    more_scope: str = ""
    """What the upstream asked for besides; the next sign-in asks for it too."""
    version: int = 0
