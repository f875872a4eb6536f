"""grant_type=authorization_code (OAuth 2.1 §4.1.3): everything is checked before the code is claimed."""

from dataclasses import dataclass

import structlog

from bifrost.authserver.grants.base import EndpointOf, TokenParameters, resource_matches
from bifrost.authserver.identities import Identities
from bifrost.authserver.models import MAX_FAILED_ATTEMPTS, AuthorizationCode, Client, TokenResponse
from bifrost.authserver.request_key import RequestKey
from bifrost.authserver.store import AuthServerStore
from bifrost.authserver.tokens import Tokens
from bifrost.base import events, ids
from bifrost.base.clock import Clock
from bifrost.protocol import oauth, pkce
from bifrost.protocol.oauth import OAuthError

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class AuthorizationCodeGrant:
    store: AuthServerStore
    tokens: Tokens
    identities: Identities
    clock: Clock
    endpoint_of: EndpointOf

    async def redeem(self, client: Client, parameters: TokenParameters, key: RequestKey) -> TokenResponse:
        presented = parameters.get("code")
        if presented is None:
            raise OAuthError(oauth.INVALID_REQUEST, "The parameter code is missing.", param="code")
        code = await self.store.authorization_code(ids.hash_secret(presented))
        if code is None or (code.used_at is None and code.expires_at <= self.clock.now()):
            raise _invalid_grant()
        await self._check(code, client, parameters, key.jkt)
        await key.spend()
        if code.used_at is not None:
            raise await self._replayed(code)
        if await self.identities.standing(code.identity) is None:
            # the person's key was switched off since; it may be switched on again, so the code is as it was
            raise _invalid_grant()
        return await self._claim(code, client, key.jkt)

    async def _check(self, code: AuthorizationCode, client: Client, parameters: TokenParameters, jkt: str) -> None:
        """A failure counts against the code and changes nothing else: a seen code cannot end anybody's session."""
        try:
            if code.failed_attempts >= MAX_FAILED_ATTEMPTS or code.client_id != client.client_id:
                raise _invalid_grant()
            _check_redirect_uri(code, parameters)
            _check_verifier(code, parameters)
            if code.dpop_jkt not in ("", jkt):
                raise OAuthError(oauth.INVALID_GRANT, "The code is bound to a key, of which there is no DPoP proof.")
            if not await resource_matches(parameters, self.endpoint_of, code.resource):
                raise OAuthError(oauth.INVALID_TARGET, "The code was issued for another resource.", param="resource")
        except OAuthError:
            if await self.store.count_failed_attempt(code.code_hash) == MAX_FAILED_ATTEMPTS:
                events.tell(events.Name.AUTHORIZATION_CODE_GUESSED, target=code.grant_id, result="failure")
                log.warning("authorization_code_guessed", grant=code.grant_id)
            raise

    async def _claim(self, code: AuthorizationCode, client: Client, jkt: str) -> TokenResponse:
        response, new = await self.tokens.mint(
            client, code.grant_id, code.scope, jkt, with_refresh=oauth.REFRESH_TOKEN in client.grant_types
        )
        if not await self.store.redeem_code(code.code_hash, new, self.clock.now()):
            # somebody with the same client and verifier was faster: the code is in two hands
            raise await self._replayed(code)
        log.info("authorization_code_redeemed", grant=code.grant_id, client=client.client_name)
        return response

    async def _replayed(self, code: AuthorizationCode) -> OAuthError:
        """OAuth 2.1 §7.5.2: a valid second use means that the code leaked, so everything it gave is taken back."""
        if await self.store.revoke_grant(code.grant_id, "authorization_code_replayed", self.clock.now()):
            events.tell(events.Name.AUTHORIZATION_CODE_REPLAYED, target=code.grant_id, result="failure")
            log.warning("authorization_code_replayed", grant=code.grant_id)
        return _invalid_grant()


def _check_redirect_uri(code: AuthorizationCode, parameters: TokenParameters) -> None:
    """OAuth 2.1 §10.2: not needed any more, but when it is sent it is the one of the request, byte for byte."""
    sent = parameters.get("redirect_uri")
    if sent is not None and sent != code.redirect_uri:
        raise OAuthError(oauth.INVALID_GRANT, "The redirect_uri is not the one of the authorization request.")


def _check_verifier(code: AuthorizationCode, parameters: TokenParameters) -> None:
    verifier = parameters.get("code_verifier")
    if verifier is None:
        raise OAuthError(oauth.INVALID_GRANT, "The parameter code_verifier is missing.", param="code_verifier")
    if not pkce.verifies(verifier, code.code_challenge):
        raise OAuthError(oauth.INVALID_GRANT, "The code_verifier does not match.", param="code_verifier")


def _invalid_grant() -> OAuthError:
    return OAuthError(oauth.INVALID_GRANT, "The authorization code is not valid: unknown, expired, used or not yours.")
