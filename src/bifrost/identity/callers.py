"""The one authenticator of the MCP endpoints: a presented credential becomes a caller, or the request is refused.

Fails closed: a credential that does not verify can never become the anonymous identity (contract §7).
"""

from dataclasses import dataclass
from typing import Literal, Protocol

import msgspec

from bifrost.base import ids
from bifrost.base.clock import Clock
from bifrost.base.errors import Invalid, Unauthenticated
from bifrost.governance.errors import VirtualKeyRefused
from bifrost.governance.models import McpConfig
from bifrost.governance.virtual_keys import VirtualKeys, looks_like_virtual_key
from bifrost.identity.errors import TokenBound
from bifrost.identity.models import AccessTokenFacts, Identity
from bifrost.identity.proofs import Proofs, SentProofs
from bifrost.protocol import bearer, dpop, scope

AuthMode = Literal["headers", "both", "oauth"]
MIN_SESSION_ID_CHARACTERS = 22
_DPOP = dpop.SCHEME.lower()


class MissingCredentials(Unauthenticated):
    """No credential at all: the challenge carries no `error` (OAuth 2.1 §5.3.2)."""

    default_code = "missing_credentials"


class ConflictingCredentials(Invalid):
    default_code = "conflicting_credentials"


class Credentials(msgspec.Struct, frozen=True, kw_only=True):
    """What a request presents. `keys` are values of the key headers; `authorization` are whole header values.

    `proofs` is None once they were checked: whoever is asked about again later was proved when the request came.
    """

    authorization: tuple[str, ...] = ()
    keys: tuple[str, ...] = ()
    session_id: str | None = None
    proofs: SentProofs | None = None

    def __repr__(self) -> str:
        """How many there are, and not one of them."""
        return f"Credentials(authorization={len(self.authorization)}, keys={len(self.keys)}, proofs={self.proofs!r})"


class Caller(msgspec.Struct, frozen=True, kw_only=True):
    """Who calls, and what they may, like `Standing`. Without a virtual key there are no `key_configs`."""

    identity: Identity
    scope: str
    key_configs: tuple[McpConfig, ...] = ()
    within: tuple[tuple[McpConfig, ...], ...] = ()
    client_id: str | None = None
    expires_at: int | None = None
    """Of the credential that was presented."""

    def may_the_same_as(self, other: "Caller") -> bool:
        """Whether it is the same one, with the same rights; how long yet does not matter."""
        return self == msgspec.structs.replace(other, expires_at=self.expires_at)


class AccessTokenReader(Protocol):
    async def verify(self, token: str) -> AccessTokenFacts | None: ...


@dataclass(frozen=True, slots=True)
class Callers:
    virtual_keys: VirtualKeys
    access_tokens: AccessTokenReader
    proofs: Proofs
    clock: Clock
    mode: AuthMode
    allow_anonymous: bool

    async def authenticate(self, credentials: Credentials, resource: str) -> Caller:
        """`resource` is the path of the endpoint that was called: a token must be for it.

        Raises MissingCredentials, Unauthenticated (TokenBound, ProofRefused, NonceNeeded), ConflictingCredentials,
        VirtualKeyRefused, StorageUnavailable.
        """
        presented = {_parsed(value) for value in credentials.authorization}
        if credentials.keys:
            presented |= {("", key) for key in credentials.keys}
        if len(presented) + (credentials.session_id is not None) > 1:
            raise ConflictingCredentials("Send one credential: an access token, a virtual key, or a session id.")
        if credentials.session_id is not None:
            return self._session(credentials.session_id)
        if not presented:
            return self._nobody()
        scheme, value = presented.pop()
        if looks_like_virtual_key(value) and scheme != _DPOP:
            return await self._key(value)
        if credentials.keys:
            raise Unauthenticated("This header takes a virtual key.")
        facts = await self.access_tokens.verify(value) if self.mode != "headers" else None
        # RFC 8707 §2, RFC 9068 §4: a token for another endpoint of ours is no token for this one
        if facts is None or facts.resource != resource:
            raise Unauthenticated(
                "The access token is not valid here: unknown, expired, revoked, or for another address."
            )
        await self._check_key(facts, scheme, value, credentials.proofs)
        return Caller(
            identity=facts.identity,
            scope=facts.scope,
            key_configs=facts.standing.key_configs,
            within=facts.standing.within,
            client_id=facts.client_id,
            expires_at=facts.expires_at,
        )

    def expired(self, caller: Caller) -> bool:
        """Whether what they presented has come to the end that it always had."""
        return caller.expires_at is not None and caller.expires_at <= self.clock.now()

    async def _key(self, value: str) -> Caller:
        if self.mode == "oauth":
            raise Unauthenticated("This gateway takes access tokens only: sign in instead of sending a virtual key.")
        key = await self.virtual_keys.presented(value)
        if key is None:
            raise Unauthenticated("The virtual key is not known here.")
        refusal = key.refusal(self.clock.now())
        if refusal:
            raise VirtualKeyRefused(refusal)
        within = await self.virtual_keys.within(key)
        return Caller(
            identity=Identity("vk", key.id),
            scope=scope.DEFAULT,
            key_configs=key.mcp_configs,
            within=within,
            expires_at=key.expires_at,
        )

    async def _check_key(self, facts: AccessTokenFacts, scheme: str, value: str, proofs: SentProofs | None) -> None:
        """RFC 9449 §7: a token that is bound to a key needs a proof of it, and one that is not is no DPoP token."""
        if scheme != _DPOP:
            if facts.jkt:
                raise TokenBound
            return
        if not facts.jkt:
            raise Unauthenticated("This access token is not bound to a key: send it with the scheme Bearer.")
        if proofs is not None:
            await self.proofs.key_of(proofs, access_token=value, bound_to=facts.jkt)

    def _session(self, session_id: str) -> Caller:
        """Whoever knows the id is the session, so it must be long, and only its hash becomes the identity."""
        if not self.allow_anonymous or self.mode == "oauth" or len(session_id) < MIN_SESSION_ID_CHARACTERS:
            raise Unauthenticated("Anonymous sessions are not allowed here, or this session id is too short.")
        return Caller(identity=Identity("session", f"hdr_{ids.hash_secret(session_id)}"), scope=scope.DEFAULT)

    def _nobody(self) -> Caller:
        if self.mode == "headers" and self.allow_anonymous:
            return Caller(identity=Identity("session", "anonymous"), scope=scope.DEFAULT)
        raise MissingCredentials("Sign in, or send a virtual key.")


def _parsed(value: str) -> tuple[str, str]:
    """Scheme and token. Bearer is the empty one, like the headers that have none: twice the same is one credential.

    RFC 9110 §11.1: the scheme's name is case-insensitive. Any other scheme is no credential that could verify.
    """
    scheme, _, token = value.partition(" ")
    if scheme.lower() == bearer.BEARER.lower():
        return "", token.strip()
    return (_DPOP, token.strip()) if scheme.lower() == _DPOP else (scheme, f"{scheme}:")
