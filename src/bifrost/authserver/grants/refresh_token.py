"""grant_type=refresh_token (OAuth 2.1 §4.3): every use rotates the token.

A used token is answered with its successors again while that can be a race or a lost answer; after that, or from
another client, it shows that two hold it, and the grant ends (contract §6, RFC 9700 §4.14.2).
"""

from dataclasses import dataclass, replace

import structlog

from bifrost.authserver.grants.backoff import Backoff
from bifrost.authserver.grants.base import EndpointOf, TokenParameters, resource_matches
from bifrost.authserver.identities import Identities
from bifrost.authserver.models import Client, RefreshTokenRow, ReplayRules, TokenResponse
from bifrost.authserver.request_key import RequestKey
from bifrost.authserver.store import AuthServerStore
from bifrost.authserver.tokens import Tokens
from bifrost.base import events, ids
from bifrost.base.clock import Clock
from bifrost.protocol import oauth, scope
from bifrost.protocol.oauth import OAuthError

_ANOTHER_CLIENT, _ANOTHER_KEY = "another_client", "another_key"
_REUSED_BY = {
    _ANOTHER_CLIENT: events.Name.REFRESH_TOKEN_REUSED_BY_ANOTHER_CLIENT,
    _ANOTHER_KEY: events.Name.REFRESH_TOKEN_REUSED_BY_ANOTHER_KEY,
}
_NOT_VALID = "The refresh token is not valid: unknown, expired, revoked or not yours."

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class RefreshTokenGrant:
    store: AuthServerStore
    tokens: Tokens
    identities: Identities
    clock: Clock
    endpoint_of: EndpointOf
    rules: ReplayRules
    backoff: Backoff

    async def redeem(self, client: Client, parameters: TokenParameters, key: RequestKey) -> TokenResponse:
        """Raises OAuthError. A dead token stays `invalid_grant` however often it is presented (contract §6).

        A client that is told anything else, a 429 above all, takes it for a passing trouble and never asks its person
        to sign in again. So who hammers is told how long to wait besides, and costs no more than a look into memory.
        """
        presented = parameters.get("refresh_token")
        if presented is None:
            raise OAuthError(oauth.INVALID_REQUEST, "The parameter refresh_token is missing.", param="refresh_token")
        token_hash = ids.hash_secret(presented)
        wait = self.backoff.wait(client.client_id, token_hash)
        if wait:
            raise _DeadTokenError(retry_after=wait)
        try:
            return await self._redeem(client, parameters, presented, token_hash, key)
        except _DeadTokenError:
            self.backoff.refused(client.client_id, token_hash)
            raise

    async def _redeem(
        self, client: Client, parameters: TokenParameters, presented: str, token_hash: str, key: RequestKey
    ) -> TokenResponse:
        row, jkt = await self._living(token_hash), key.jkt
        await key.spend()
        if row.client_id != client.client_id:
            raise await self._foreign(row, _ANOTHER_CLIENT)
        if row.jkt not in ("", jkt):
            raise await self._foreign(row, _ANOTHER_KEY)
        granted = scope.narrowed(parameters.get("scope"), row.scope)
        if granted is None:
            raise OAuthError(oauth.INVALID_SCOPE, "The scope is wider than what was granted.", param="scope")
        if not await resource_matches(parameters, self.endpoint_of, row.resource):
            raise OAuthError(oauth.INVALID_TARGET, "The token was granted for another resource.", param="resource")
        rotated = await self._rotated(client, row, presented, granted, jkt) if row.used_at is None else None
        # whoever lost the race for a rotation finds what the winner was given
        return rotated or await self._replayed(token_hash, presented, jkt)

    async def _living(self, token_hash: str) -> RefreshTokenRow:
        """The token, used or not, of a grant that stands. Raises OAuthError."""
        row = await self.store.refresh_token(token_hash)
        if row is None or not row.stands(self.clock.now()):
            raise _DeadTokenError
        if await self.identities.standing(row.identity) is None:
            raise _invalid_grant()  # a key may be switched on again
        return row

    async def _rotated(
        self, client: Client, row: RefreshTokenRow, presented: str, granted: str, jkt: str
    ) -> TokenResponse | None:
        """None when somebody was faster."""
        response, new = await self.tokens.mint(
            client, row.grant_id, granted, jkt, with_refresh=True, grant_expires_at=row.grant_expires_at
        )
        sealed = replace(new, sealed=self.tokens.seal(presented, response))
        if not await self.store.rotate_refresh_token(row.token_hash, sealed, self.clock.now()):
            return None
        log.info("refresh_token_rotated", grant=row.grant_id)
        return response

    async def _replayed(self, token_hash: str, presented: str, jkt: str) -> TokenResponse:
        """The successors of a used token once more, or the end of its grant. Raises OAuthError."""
        row = await self._living(token_hash)
        again = await self.store.replay_refresh_token(token_hash, self.rules, self.clock.now())
        if again is None:
            raise await self._reused(row, events.Name.REFRESH_TOKEN_REUSED)
        response = self.tokens.unseal(presented, again.sealed)
        if response.jkt != jkt:
            raise await self._reused(row, events.Name.REFRESH_TOKEN_REUSED_BY_ANOTHER_KEY)
        if _is_told(again.times):
            actor, times = f"client:{row.client_id}", str(again.times)
            events.tell(events.Name.REFRESH_TOKEN_REPLAYED, actor=actor, target=row.grant_id, times=times)
        log.info("refresh_token_replayed", grant=row.grant_id)
        return response

    async def _foreign(self, row: RefreshTokenRow, whose: str) -> OAuthError:
        """A token of another client, or of another key of the same one (RFC 9449 §5).

        One that was used is in two hands; one that was not has harmed nobody yet.
        """
        if row.used_at is None:
            times = await self.store.count_presented_by_others(row.token_hash)
            if _is_told(times):
                events.tell(
                    events.Name.REFRESH_TOKEN_OF_ANOTHER,
                    target=row.grant_id,
                    result="failure",
                    whose=whose,
                    times=str(times),
                )
            log.warning("refresh_token_of_another", whose=whose, grant=row.grant_id)
            return _DeadTokenError() if whose == _ANOTHER_CLIENT else _invalid_grant()
        return await self._reused(row, _REUSED_BY[whose])

    async def _reused(self, row: RefreshTokenRow, reason: events.Name) -> OAuthError:
        if await self.store.revoke_grant(row.grant_id, reason.value, self.clock.now()):
            events.tell(reason, target=row.grant_id, result="failure")
            log.warning(reason.value, grant=row.grant_id)
        return _DeadTokenError()


def _is_told(times: int) -> bool:
    """The first time, the tenth, the hundredth: a client that hammers must not fill a trail that nobody can shorten."""
    return str(times).rstrip("0") == "1"


class _DeadTokenError(OAuthError):
    """A token that will never be good again for this client."""

    def __init__(self, *, retry_after: int = 0) -> None:
        super().__init__(oauth.INVALID_GRANT, _NOT_VALID, retry_after=retry_after)


def _invalid_grant() -> OAuthError:
    return OAuthError(oauth.INVALID_GRANT, _NOT_VALID)
