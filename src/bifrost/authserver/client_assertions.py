"""Clients that prove themselves with a signed JWT (RFC 7523 §2.2 and §3, `private_key_jwt`)."""

import math
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

import structlog

from bifrost.authserver.client_documents import (
    MAX_FRESH_SECONDS,
    MIN_FRESH_SECONDS,
    RETRY_SECONDS,
    fresh_seconds,
)
from bifrost.authserver.client_store import ClientStore
from bifrost.authserver.errors import AssertionsTooMany, ClientUnreachable
from bifrost.authserver.fetching import Fetching
from bifrost.authserver.models import Client, UsedAssertion
from bifrost.base.clock import SECOND, SLACK_SECONDS, Clock
from bifrost.base.errors import Invalid, TooMany
from bifrost.base.ids import hash_secret
from bifrost.base.singleflight import SingleFlight
from bifrost.http import strict_json
from bifrost.http.client import OutsideUnreachable, OutsideUrlRefused
from bifrost.protocol import jws, oauth
from bifrost.protocol.jws import Jwk, JwsError, Unverified
from bifrost.protocol.oauth import OAuthError

MAX_LIFETIME_SECONDS = 3_600
"""How far in the future an assertion may end: so long its id has to be remembered."""
MAX_REMEMBERED = 10_000
"""Assertions of one client that have not expired: about three a second of the longest ones, thirty of those of five
minutes. Anybody may publish a client with keys, and each of its assertions is a row."""
LEEWAY_SECONDS = 60
"""How much the client's clock may differ from ours."""
MAX_JWKS_BYTES = 64 * 1_024
MAX_ID_CHARACTERS = 512
MAX_SETS = 1_000
"""Key sets in memory at a time; the one that was used least lately goes first. Anybody may publish some."""
REFETCH_SECONDS = 30
"""How soon a key set is asked for again because of a key id that it did not have."""
HTTP_OK = 200

log = structlog.get_logger()


class _KeySet:
    def __init__(self, keys: tuple[Jwk, ...], asked_at: int, fresh_until: int) -> None:
        self.keys, self.asked_at, self.fresh_until = keys, asked_at, fresh_until

    def not_answered(self, now: int, *, allowed: bool) -> None:
        """They go on for a while: nobody waits at every request for a host that does not answer.

        That a stranger was not answered, which may have reasons of its own, keeps nobody who is allowed from asking
        for a new key.
        """
        self.fresh_until = max(self.fresh_until, now + RETRY_SECONDS * SECOND)
        if allowed:
            self.asked_at = now


class ClientAssertions:
    def __init__(self, fetching: Fetching, store: ClientStore, audiences: tuple[str, ...], clock: Clock) -> None:
        """`audiences`: any one of these an assertion may be for: the issuer, the token endpoint, and that for pushed
        requests (RFC 7523 §3, RFC 9126 §2).
        """
        self._fetching = fetching
        self._store = store
        self._audiences = audiences
        self._clock = clock
        self._sets: OrderedDict[str, _KeySet] = OrderedDict()
        self._flights: SingleFlight[_KeySet] = SingleFlight()

    async def check(self, client: Client, assertion: str) -> None:
        """That this client made the assertion, for us, now, and never used it before.

        Raises OAuthError invalid_client; ClientUnreachable when its keys cannot be fetched; AssertionsTooMany.
        """
        try:
            token = jws.split(assertion)
            header, claims = _object(token.header), _object(token.payload)
            jws.check(token, header, await self._keys(client, header))
            self._check_claims(client, claims)
        except JwsError as error:
            log.info("client_assertion_refused", client=client.client_id, reason=str(error))
            raise OAuthError(
                oauth.INVALID_CLIENT, f"The client assertion is refused: {error}.", param="client_assertion"
            ) from error
        if not await self._first_use(client, claims):
            raise OAuthError(oauth.INVALID_CLIENT, "The client assertion was used before.", param="client_assertion")

    async def _first_use(self, client: Client, claims: Mapping[str, Any]) -> bool:
        """None is forgotten before it expires, or it could be used again: a client without end has to wait.

        Raises AssertionsTooMany.
        """
        used = UsedAssertion(
            assertion_hash=hash_secret(f"{client.client_id} {claims['jti']}"),
            client_hash=hash_secret(client.client_id),
            expires_at=(math.ceil(claims["exp"]) + LEEWAY_SECONDS) * SECOND,
        )
        try:
            return await self._store.use_assertion(used, MAX_REMEMBERED, self._clock.now())
        except AssertionsTooMany:
            log.warning("client_assertions_full", client=client.client_id)
            raise

    async def sweep(self, _before: int) -> None:
        """Called every minute: one that cannot be used again need not be remembered. Raises StorageUnavailable."""
        await self._store.drop_assertions(self._clock.now() - SLACK_SECONDS * SECOND)

    def _check_claims(self, client: Client, claims: Mapping[str, Any]) -> None:
        """RFC 7523 §3. Raises JwsError."""
        now = self._clock.now() // SECOND
        if claims.get("iss") != client.client_id or claims.get("sub") != client.client_id:
            raise JwsError("iss and sub must both be the client_id")
        audience = claims.get("aud")
        if (audience[0] if isinstance(audience, list) and len(audience) == 1 else audience) not in self._audiences:
            raise JwsError("aud must be this server's issuer or its token endpoint, and nothing else")
        expires, begins, issued = (claims.get(name, now) for name in ("exp", "nbf", "iat"))
        if "exp" not in claims or not all(_is_time(value) for value in (expires, begins, issued)):
            raise JwsError("exp is missing, or a time is not a number")
        if expires <= now - LEEWAY_SECONDS or expires > now + MAX_LIFETIME_SECONDS + LEEWAY_SECONDS:
            raise JwsError(f"exp must be in the future, by at most {MAX_LIFETIME_SECONDS} seconds")
        if max(begins, issued) > now + LEEWAY_SECONDS:
            raise JwsError("it is not valid yet")
        jti = claims.get("jti")
        if not isinstance(jti, str) or not 0 < len(jti) <= MAX_ID_CHARACTERS:
            raise JwsError("jti is missing")

    async def _keys(self, client: Client, header: Mapping[str, Any]) -> tuple[Jwk, ...]:
        if not client.jwks_uri:
            return client.jwks
        known = self._sets.get(client.jwks_uri)
        now = self._clock.now()
        stale = known is None or known.fresh_until <= now
        # a client that has changed its key signs with an id that we have not seen
        unseen = known and not jws.candidates(header, known.keys) and known.asked_at + REFETCH_SECONDS * SECOND <= now
        if known and not stale and not unseen:
            self._sets.move_to_end(client.jwks_uri)
            return known.keys
        # a stranger may name the keys of anybody: nobody who is allowed waits with it, or fails with it
        uri, allowed = client.jwks_uri, await self._store.client(client.client_id) is not None
        fetched = await self._flights.do((uri, allowed), lambda: self._fetched_or(uri, known, allowed=allowed))
        return fetched.keys

    async def _fetched_or(self, uri: str, known: _KeySet | None, *, allowed: bool) -> _KeySet:
        """The set as it is now, or the last good one while its host does not answer."""
        try:
            answer = await self._fetching.fetch(
                uri,
                allowed=allowed,
                headers={"Accept": "application/jwk-set+json, application/json"},
                max_bytes=MAX_JWKS_BYTES,
            )
            if answer.status != HTTP_OK:
                raise OutsideUnreachable("The keys could not be fetched.")
            keys = jws.public_keys(strict_json.loads(answer.body))
        except (OutsideUnreachable, OutsideUrlRefused, JwsError, Invalid, TooMany) as error:
            log.warning("client_keys_unreachable", jwks_uri=uri, reason=str(error))
            if known is None:
                raise ClientUnreachable from error
            known.not_answered(self._clock.now(), allowed=allowed)
            return known
        now = self._clock.now()
        fresh = min(MAX_FRESH_SECONDS, max(MIN_FRESH_SECONDS, fresh_seconds(answer.headers)))
        fetched = self._sets[uri] = _KeySet(keys, now, now + fresh * SECOND)
        self._sets.move_to_end(uri)
        if len(self._sets) > MAX_SETS:
            self._sets.popitem(last=False)
        return fetched


def subject(assertion: str) -> str | None:
    """Whom the assertion claims to be from, before anything of it is checked (RFC 7521 §4.2)."""
    try:
        token: Unverified = jws.split(assertion)
        claimed = _object(token.payload).get("sub")
    except JwsError:
        return None
    return claimed if isinstance(claimed, str) and claimed else None


def _object(raw: bytes) -> dict[str, Any]:
    """Raises JwsError."""
    try:
        value = strict_json.loads(raw)
    except Invalid as error:
        raise JwsError("its parts are not JSON objects") from error
    if not isinstance(value, dict):
        raise JwsError("its parts are not JSON objects")
    return value


def _is_time(value: object) -> bool:
    """RFC 7519 §2, NumericDate."""
    return isinstance(value, int | float) and not isinstance(value, bool)
