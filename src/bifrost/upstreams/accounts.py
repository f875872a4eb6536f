"""Nouns of people's own accounts at upstreams. Times are milliseconds since the epoch."""

from dataclasses import dataclass, field
from typing import Literal

from bifrost.identity.models import Identity
from bifrost.protocol import oauth
from bifrost.protocol.upstream_metadata import AuthorizationServer, origin_of
from bifrost.upstreams.models import Upstream

SIGN_IN_SECONDS = 10 * 60
"""How long a person has at the upstream's own pages."""

CredentialState = Literal["active", "needs_reauth", "needs_update", "orphaned"]
CredentialKind = Literal["oauth", "headers"]
"""How a person proves themselves to the upstream: a sign-in there, or values that they gave us."""

KINDS: dict[str, CredentialKind] = {"oauth": "oauth", "per_user_oauth": "oauth", "per_user_headers": "headers"}
"""What an upstream of this auth_type wants of whoever connects it."""

PERSONAL = ("per_user_oauth", "per_user_headers")
"""Auth types with which everybody connects an account of their own."""


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

    @property
    def identity(self) -> Identity | None:
        """The person's, or None when it is nobody's (yet)."""
        match self.kind:
            case "vk" | "user" | "session" as kind:
                return Identity(kind, self.id)
            case _:
                return None


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
    expires_at: int | None = None
    """When its secret ends (RFC 7591 §3.2.1); most never do."""


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
    target: str = ""
    """The origin of the upstream when it began."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenSet:
    """What an upstream's authorization server gave. `expires_at` is None when it did not say."""

    access_token: str = field(repr=False)
    refresh_token: str = field(default="", repr=False)
    scope: str = ""
    issued_at: int = 0
    expires_at: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Basis:
    """What decides about a credential without opening it. `lasting` is its state but for what may pass by itself."""

    kind: CredentialKind = "oauth"
    header_names: tuple[str, ...] = ()
    target: str = ""
    """The origin that it was given for; empty for those of before this was kept."""
    lasting: Literal["active", "needs_reauth"] = "active"

    def state(self, upstream: Upstream | None, *, may_use: bool) -> CredentialState:
        """The one place that decides (contract §8). `may_use`: whether its owner reaches this upstream now."""
        if upstream is None or not may_use or upstream.auth_type not in KINDS:
            return "orphaned"
        if self.lasting != "active":
            return self.lasting
        if self.target and self.target != target_of(upstream):
            return "needs_reauth"
        if self.kind != KINDS[upstream.auth_type] or _folded(self.header_names) != _folded(_asked(upstream)):
            return "needs_update"
        return "active"


@dataclass(frozen=True, slots=True, kw_only=True)
class Credential:
    """A person's own access to one upstream, opened. What renews it is kept with it: one issuer, one client."""

    upstream_id: str
    owner: Owner
    tokens: TokenSet = TokenSet(access_token="")
    registration: Registration = Registration(issuer="", client_id="")
    token_endpoint: str = ""
    revocation_endpoint: str = ""
    resource: str = ""
    asked_scope: str = ""
    """What its sign-in asked for, whatever was granted of it."""
    headers: dict[str, str] = field(default_factory=dict, repr=False)
    """The values of auth_type per_user_headers, by the names that the upstream asked for."""
    target: str = ""
    state: CredentialState = "active"
    reason: str = ""
    more_scope: str = ""
    """What the upstream asked for besides; the next sign-in asks for it too."""
    version: int = 0
    basis: Basis = Basis()


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """What may be shown of a credential. `id` stays the same however often its owner connects again."""

    id: str
    upstream_id: str
    upstream_name: str
    owner: Owner
    owner_name: str
    """The name of a virtual key; others have none."""
    basis: Basis
    state: CredentialState
    reason: str
    version: int
    created_at: int
    updated_at: int


def target_of(upstream: Upstream) -> str:
    return origin_of(upstream.connection_string).lower() if upstream.connection_string else ""


def _asked(upstream: Upstream) -> tuple[str, ...]:
    return upstream.per_user_header_keys if upstream.auth_type == "per_user_headers" else ()


def _folded(names: tuple[str, ...]) -> frozenset[str]:
    return frozenset(name.lower() for name in names)
