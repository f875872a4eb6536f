"""Nouns of the authorization server. Times are milliseconds since the epoch, lifetimes are in the unit they name."""

from dataclasses import dataclass, field
from typing import Any, Literal

import msgspec

from bifrost.audit.models import AuditRow
from bifrost.identity.models import Identity
from bifrost.protocol import oauth
from bifrost.protocol.jws import Jwk
from bifrost.protocol.redirect_uri import APP_SCHEMES

PENDING_FLOW_SECONDS = 15 * 60
AUTHORIZATION_CODE_SECONDS = 5 * 60
REMEMBERED_SECONDS = 180 * 24 * 3_600
"""How long a consent is remembered after it was last given."""
KNOWN_BROWSER_SECONDS = 30 * 24 * 3_600
"""How long a browser is known again after a consent that was finished in it."""
MAX_WAITING_FLOWS = 5_000
"""Authorization requests of one client that wait for somebody at a time. One more, and the oldest give way."""
GIVE_WAY_AT_ONCE = 100
"""This part of them: so that a flood does not look for the oldest at every request."""
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
    jwt_for: frozenset[str] = frozenset()
    """Ids of clients whose access tokens are JWTs; `*` for every client."""
    app_schemes: frozenset[str] = APP_SCHEMES


ClientOrigin = Literal["preregistered", "document", "self_registered"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """A registered client, as every endpoint sees it."""

    client_id: str
    client_name: str
    redirect_uris: tuple[str, ...]
    grant_types: tuple[str, ...]
    token_endpoint_auth_method: str
    origin: ClientOrigin = "self_registered"
    secret_hash: str = field(default="", repr=False)
    """Of the client secret; empty when it has none."""
    access_token_format: oauth.AccessTokenFormat = oauth.OPAQUE
    """A JWT (RFC 9068) can be checked by others without asking."""
    require_pushed_authorization_requests: bool = False
    """Whether its authorization requests are refused unless they were pushed before (RFC 9126 §6)."""
    dpop_bound_access_tokens: bool = False
    """Whether it gets tokens only with a proof of the key that they are then bound to (RFC 9449 §5.2)."""
    verified_host: str | None = None
    """The host that vouches for the name; None for a client that has no metadata document."""
    jwks: tuple[Jwk, ...] = ()
    jwks_uri: str = ""

    @property
    def is_public(self) -> bool:
        return self.token_endpoint_auth_method == oauth.NONE

    @property
    def is_verified(self) -> bool:
        """Whether somebody besides itself says who it is: the host of its document, or an administrator."""
        return self.origin != "self_registered"


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientRecord:
    """A client with a row: registered by an administrator, or allowed by somebody once.

    `fetched_at` and `fresh_until` are those of a metadata document.
    """

    client: Client
    id: str = ""
    label: str = ""
    """What an administrator calls it."""
    scope_limit: str = ""
    """The widest scope it may get; empty without a limit."""
    blocked_at: int | None = None
    fetched_at: int = 0
    fresh_until: int = 0
    consented_at: int | None = None
    """When somebody last allowed it."""
    created_at: int = 0
    updated_at: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientChange:
    """What an administrator changes; None leaves it as it is."""

    label: str | None = None
    scope_limit: str | None = None
    blocked: bool | None = None
    client_name: str | None = None
    redirect_uris: tuple[str, ...] | None = None
    access_token_format: oauth.AccessTokenFormat | None = None
    require_pushed_authorization_requests: bool | None = None
    dpop_bound_access_tokens: bool | None = None

    @property
    def definition(self) -> dict[str, Any]:
        """What changes of the client's own metadata, by the names that it has there."""
        members = ("client_name", "redirect_uris", "access_token_format") + (
            ("require_pushed_authorization_requests", "dpop_bound_access_tokens")
        )
        return {name: getattr(self, name) for name in members if getattr(self, name) is not None}


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientPage:
    """A part of the list, how many there are in all, and how many grants each of the part has, by client id."""

    clients: tuple[ClientRecord, ...]
    total: int
    grants: dict[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientStanding:
    """What an administrator has decided about a client that may be used."""

    label: str = ""
    scope_limit: str = ""


class PendingFlow(msgspec.Struct, frozen=True, kw_only=True):
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
    dpop_jkt: str = ""
    """The thumbprint of the key that the code's redeemer must hold (RFC 9449 §10); empty when any may."""
    identity: Identity | None = None
    finished_at: int | None = None


class Grant(msgspec.Struct, frozen=True, kw_only=True):
    """What a person allowed a client; every token hangs on one, and dies with it."""

    id: str
    client_id: str
    identity: Identity
    scope: str
    resource: str
    created_at: int
    expires_at: int


class IssuedGrant(Grant, frozen=True, kw_only=True):
    """A grant as an administrator sees it."""

    revoked_at: int | None
    revoked_reason: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class GrantFilter:
    """Which grants; an empty text, or 0, means any. With `living_at` only those that stand at that time."""

    client_id: str = ""
    identity_id: str = ""
    living_at: int = 0


class RememberedConsent(msgspec.Struct, frozen=True, kw_only=True):
    """What a person allowed a client, in terms of what was shown."""

    identity: Identity
    client_id: str
    scope: str
    resources: tuple[str, ...]
    redirect_hosts: tuple[str, ...]
    keys_hash: str
    """Of how the client proves itself."""
    id: str = ""
    created_at: int = 0
    updated_at: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsentPage:
    """A part of the list with the names of the clients, by client id, and how many there are in all."""

    consents: tuple[RememberedConsent, ...]
    names: dict[str, str]
    total: int


class Approval(msgspec.Struct, frozen=True, kw_only=True):
    """What is remembered of a consent besides its grant. `person_hash` is by what its browser is known again."""

    client: ClientRecord
    consent: RememberedConsent
    person_hash: str
    proof: str
    row: AuditRow
    """What the audit trail has of it; its `scope` is that of the grant."""


class AuthorizationCode(msgspec.Struct, frozen=True, kw_only=True):
    code_hash: str
    grant_id: str
    client_id: str
    redirect_uri: str
    code_challenge: str
    scope: str
    resource: str
    created_at: int
    expires_at: int
    dpop_jkt: str = ""
    used_at: int | None = None
    failed_attempts: int = 0


class StoredCode(AuthorizationCode, frozen=True, kw_only=True):
    """With whom its grant is from."""

    identity: Identity


class StoredToken(msgspec.Struct, frozen=True, kw_only=True):
    """A token to be written: access and refresh tokens look alike but for the scope."""

    token_hash: str
    grant_id: str
    created_at: int
    expires_at: int
    scope: str = ""
    jkt: str = ""
    """The thumbprint of the key that it is bound to (RFC 9449 §6); empty for a bearer's."""


class TokenRow(msgspec.Struct, frozen=True, kw_only=True):
    """A token as it was written, with what its grant says."""

    scope: str
    created_at: int
    expires_at: int
    grant_id: str
    client_id: str
    identity: Identity
    resource: str
    revoked_at: int | None
    jkt: str = ""

    def stands(self, now: int) -> bool:
        """Neither expired nor revoked; whether its person still may is another question."""
        return self.revoked_at is None and now < self.expires_at


class AccessTokenRow(TokenRow, frozen=True, kw_only=True):
    pass


class RefreshTokenRow(TokenRow, frozen=True, kw_only=True):
    token_hash: str
    used_at: int | None
    grant_expires_at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class NewTokens:
    """A pair as it is written (`access`, `refresh`) and the grant's new end."""

    access: StoredToken
    refresh: StoredToken | None
    grant_expires_at: int
    sealed: str = field(default="", repr=False)
    """The pair itself, for the one who presents its predecessor again; empty for the first pair of a grant."""


@dataclass(frozen=True, slots=True)
class Replay:
    """The sealed successors of a used refresh token, and how often they were given again, this time included."""

    sealed: str = field(repr=False)
    times: int


@dataclass(frozen=True, slots=True, kw_only=True)
class UsedAssertion:
    """What is remembered of a client's assertion until it has expired: hashes of one length."""

    assertion_hash: str
    client_hash: str
    expires_at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayRules:
    """When a used refresh token is answered with its successors again instead of ending the grant (contract §6)."""

    window_seconds: int = 30
    """After its use, whatever happened to its successors since: requests sent at once are answered alike."""
    cap_seconds: int = 86_400
    """After its use, as long as its successor was not used: a lost answer can be fetched again."""
    limit: int = 100
    """How often after the window. In it no number counts: many programs may share a token, and all get one pair."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenResponse:
    """RFC 6749 §5.1; the only place where token values exist in plain text."""

    access_token: str = field(repr=False)
    expires_in: int
    scope: str
    refresh_token: str | None = field(default=None, repr=False)
    jkt: str = ""
    """The thumbprint of the key that the access token is bound to (RFC 9449 §5)."""
