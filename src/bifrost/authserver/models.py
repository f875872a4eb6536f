"""Nouns of the authorization server. Times are milliseconds since the epoch, lifetimes are in the unit they name."""

from dataclasses import dataclass, field

from bifrost.identity.models import Identity
from bifrost.protocol import oauth
from bifrost.protocol.redirect_uri import APP_SCHEMES

PENDING_FLOW_SECONDS = 15 * 60
AUTHORIZATION_CODE_SECONDS = 5 * 60
MAX_FAILED_ATTEMPTS = 5
"""Failed attempts to redeem one authorization code, after which it is burnt (contract §6)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthServerConfig:
    issuer: str
    allow_anonymous: bool
    """Whether the consent page offers to go on without a key."""
    access_token_seconds: int
    refresh_token_idle_seconds: int
    refresh_token_absolute_seconds: int
    app_schemes: frozenset[str] = APP_SCHEMES


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """A registered client, as every endpoint sees it."""

    client_id: str
    client_name: str
    redirect_uris: tuple[str, ...]
    grant_types: tuple[str, ...]
    token_endpoint_auth_method: str
    client_secret: str = field(default="", repr=False)
    verified_host: str | None = None
    """The host that vouches for the name; None for a client that registered itself."""

    @property
    def is_public(self) -> bool:
        return self.token_endpoint_auth_method == oauth.NONE


@dataclass(frozen=True, slots=True, kw_only=True)
class PendingFlow:
    """A checked authorization request that waits for a person. Bound to the browser by the hash of its secret."""

    id: str
    browser_hash: str
    client_id: str
    redirect_uri: str
    state: str | None
    code_challenge: str
    scope: str
    resource: str
    created_at: int
    expires_at: int
    identity: Identity | None = None
    finished_at: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """What a person allowed a client; every token hangs on one, and dies with it."""

    id: str
    client_id: str
    identity: Identity
    scope: str
    resource: str
    created_at: int
    expires_at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class IssuedGrant(Grant):
    """A grant as an administrator sees it."""

    revoked_at: int | None
    revoked_reason: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class GrantFilter:
    """Which grants; an empty text, or 0, means any. With `living_at` only those that stand at that time."""

    client_id: str = ""
    identity_id: str = ""
    living_at: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthorizationCode:
    code_hash: str
    grant_id: str
    client_id: str
    redirect_uri: str
    code_challenge: str
    scope: str
    resource: str
    created_at: int
    expires_at: int
    used_at: int | None = None
    failed_attempts: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredToken:
    """A token to be written: access and refresh tokens look alike but for the scope."""

    token_hash: str
    grant_id: str
    created_at: int
    expires_at: int
    scope: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessTokenRow:
    scope: str
    created_at: int
    expires_at: int
    grant_id: str
    client_id: str
    identity: Identity
    resource: str
    revoked_at: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RefreshTokenRow:
    token_hash: str
    created_at: int
    expires_at: int
    used_at: int | None
    grant_id: str
    client_id: str
    identity: Identity
    scope: str
    resource: str
    revoked_at: int | None
    grant_expires_at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class NewTokens:
    """A pair as it is written (`access`, `refresh`) and the grant's new end."""

    access: StoredToken
    refresh: StoredToken | None
    grant_expires_at: int
    sealed: str = field(default="", repr=False)
    """The pair itself, for the one who presents its predecessor again; empty for the first pair of a grant."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayRules:
    """When a used refresh token is answered with its successors again instead of ending the grant (contract §6)."""

    window_seconds: int = 30
    """After its use, whatever happened to its successors since: requests sent at once are answered alike."""
    cap_seconds: int = 86_400
    """After its use, as long as its successor was not used: a lost answer can be fetched again."""
    limit: int = 100
    """How often altogether."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenResponse:
    """RFC 6749 §5.1; the only place where token values exist in plain text."""

    access_token: str = field(repr=False)
    expires_in: int
    scope: str
    refresh_token: str | None = field(default=None, repr=False)
