"""grant_type=refresh_token (OAuth 2.1 §4.3): every use rotates the token."""

from dataclasses import dataclass

import structlog

from bifrost.authserver.grants.base import EndpointOf, TokenParameters, resource_matches
from bifrost.authserver.identities import Identities
from bifrost.authserver.models import Client, RefreshTokenRow, TokenResponse
from bifrost.authserver.store import AuthServerStore
from bifrost.authserver.tokens import Tokens
from bifrost.base import ids
from bifrost.base.clock import Clock
from bifrost.protocol import oauth, scope
from bifrost.protocol.oauth import OAuthError

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class RefreshTokenGrant:
    store: AuthServerStore
    tokens: Tokens
    identities: Identities
    clock: Clock
    endpoint_of: EndpointOf

    async def redeem(self, client: Client, parameters: TokenParameters) -> TokenResponse:
        presented = parameters.get("refresh_token")
        if presented is None:
            raise OAuthError(oauth.INVALID_REQUEST, "The parameter refresh_token is missing.", param="refresh_token")
        row = await self.store.refresh_token(ids.hash_secret(presented))
        if row is None or row.client_id != client.client_id or await self._dead(row):
            raise _invalid_grant()
        if row.used_at is not None:
            raise await self._reused(row)
        granted = scope.narrowed(parameters.get("scope"), row.scope)
        if granted is None:
            raise OAuthError(oauth.INVALID_SCOPE, "The scope is wider than what was granted.", param="scope")
        if not await resource_matches(parameters, self.endpoint_of, row.resource):
            raise OAuthError(oauth.INVALID_TARGET, "The token was granted for another resource.", param="resource")
        return await self._rotate(row, granted)

    async def _rotate(self, row: RefreshTokenRow, granted: str) -> TokenResponse:
        response, new = self.tokens.mint(
            row.grant_id, granted, with_refresh=True, grant_expires_at=row.grant_expires_at
        )
        if not await self.store.rotate_refresh_token(row.token_hash, new, self.clock.now()):
            raise _invalid_grant()
        log.info("refresh_token_rotated", grant=row.grant_id)
        return response

    async def _dead(self, row: RefreshTokenRow) -> bool:
        expired = row.expires_at <= self.clock.now()
        if expired or row.revoked_at is not None:
            return True
        return await self.identities.standing(row.identity) is None

    async def _reused(self, row: RefreshTokenRow) -> OAuthError:
        """RFC 9700 §4.14.2: a token used twice is in two hands; the grant ends."""
        if await self.store.revoke_grant(row.grant_id, "refresh_token_reused", self.clock.now()):
            log.warning("refresh_token_reused", grant=row.grant_id)
        return _invalid_grant()


def _invalid_grant() -> OAuthError:
    return OAuthError(oauth.INVALID_GRANT, "The refresh token is not valid: unknown, expired, revoked or not yours.")
