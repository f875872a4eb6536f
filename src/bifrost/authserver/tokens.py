"""Access and refresh tokens: minted in pairs, stored as hashes, verified against the grant they hang on."""

from dataclasses import dataclass

import msgspec

from bifrost.authserver.identities import Identities
from bifrost.authserver.models import AuthServerConfig, Client, NewTokens, StoredToken, TokenResponse
from bifrost.authserver.signing_keys import SigningKeys
from bifrost.authserver.store import AuthServerStore
from bifrost.base import ids
from bifrost.base.clock import SECOND, Clock
from bifrost.base.sealing import open_with, seal_with
from bifrost.identity.models import AccessTokenFacts
from bifrost.protocol import oauth

MAX_TOKEN_CHARACTERS = 8_192
_SUCCESSORS = "refresh_successors"
_JWT = "eyJ"
"""How the base64url of a JSON object with a member begins."""


class _Kept(msgspec.Struct, array_like=True):
    access_token: str
    expires_at: int
    scope: str
    refresh_token: str | None
    jkt: str = ""


@dataclass(frozen=True, slots=True)
class Tokens:
    store: AuthServerStore
    identities: Identities
    config: AuthServerConfig
    clock: Clock
    signing_keys: SigningKeys

    async def mint(
        self,
        client: Client,
        grant_id: str,
        scope: str,
        jkt: str,
        *,
        with_refresh: bool,
        grant_expires_at: int | None = None,
    ) -> tuple[TokenResponse, NewTokens]:
        """What the client gets and what is stored. Neither token outlives the grant.

        With a `jkt` the access token is bound to that key. The refresh token is, too, when nothing else shows whose it
        is: one of a confidential client is bound to the client, which may change its key (RFC 9449 §5).
        """
        now = self.clock.now()
        grant_ends = grant_expires_at or self._new_grant_ends(now, with_refresh=with_refresh)
        access_ends = min(now + self.config.access_token_seconds * SECOND, grant_ends)
        access = await self._access_token(client, grant_id, scope, jkt, now, access_ends)
        refresh = ids.new_secret(ids.REFRESH_TOKEN)
        idle_ends = min(now + self.config.refresh_token_idle_seconds * SECOND, grant_ends)
        new = NewTokens(
            access=StoredToken(
                token_hash=ids.hash_secret(access),
                grant_id=grant_id,
                created_at=now,
                expires_at=access_ends,
                scope=scope,
                jkt=jkt,
            ),
            refresh=StoredToken(
                token_hash=ids.hash_secret(refresh),
                grant_id=grant_id,
                created_at=now,
                expires_at=idle_ends,
                jkt=jkt if client.is_public else "",
            )
            if with_refresh
            else None,
            grant_expires_at=grant_ends,
        )
        response = TokenResponse(
            access_token=access,
            expires_in=(access_ends - now) // SECOND,
            scope=scope,
            refresh_token=refresh if with_refresh else None,
            jkt=jkt,
        )
        return response, new

    def _new_grant_ends(self, now: int, *, with_refresh: bool) -> int:
        """With nothing to renew it, it is over when its one token is."""
        longest, access = self.config.refresh_token_absolute_seconds, self.config.access_token_seconds
        return now + (longest if with_refresh else min(longest, access)) * SECOND

    async def _access_token(self, client: Client, grant_id: str, scope: str, jkt: str, now: int, ends: int) -> str:
        """Opaque, or a JWT (RFC 9068 §2.2). Both are stored as a hash and looked up at every request."""
        chosen = not self.config.jwt_for.isdisjoint((client.client_id, "*"))
        wants_jwt = chosen or client.access_token_format == oauth.JWT
        grant = await self.store.grant(grant_id) if wants_jwt else None
        if grant is None:
            return ids.new_secret(ids.ACCESS_TOKEN)
        return await self.signing_keys.sign(
            {
                "iss": self.config.issuer,
                "sub": f"{grant.identity.kind}:{grant.identity.id}",
                "aud": self.config.issuer + grant.resource,
                "client_id": client.client_id,
                "scope": scope,
                "iat": now // SECOND,
                "exp": ends // SECOND,
                "jti": ids.new_id(""),
                **({"cnf": {"jkt": jkt}} if jkt else {}),
            }
        )

    def seal(self, predecessor: str, response: TokenResponse) -> str:
        """A response that whoever presents its predecessor again may be given again, and nobody else can read."""
        kept = _Kept(
            response.access_token,
            self.clock.now() + response.expires_in * SECOND,
            response.scope,
            response.refresh_token,
            response.jkt,
        )
        return seal_with(predecessor, msgspec.json.encode(kept), use=_SUCCESSORS)

    def unseal(self, predecessor: str, sealed: str) -> TokenResponse:
        """The same tokens; only the time that is left has become shorter."""
        kept = msgspec.json.decode(open_with(predecessor, sealed, use=_SUCCESSORS), type=_Kept)
        return TokenResponse(
            access_token=kept.access_token,
            expires_in=max(0, kept.expires_at - self.clock.now()) // SECOND,
            scope=kept.scope,
            refresh_token=kept.refresh_token,
            jkt=kept.jkt,
        )

    async def verify(self, token: str) -> AccessTokenFacts | None:
        """The facts of a token that is valid now, or None.

        A JWT is looked up like any other token: what was not issued here, byte for byte, is no token, whatever it says
        of itself. So neither an algorithm nor a key that it names is ever followed.
        """
        if not token.startswith((ids.ACCESS_TOKEN, _JWT)) or len(token) > MAX_TOKEN_CHARACTERS:
            return None
        row = await self.store.access_token(ids.hash_secret(token))
        if row is None or not row.stands(self.clock.now()):
            return None
        standing = await self.identities.standing(row.identity)
        if standing is None:
            return None
        return AccessTokenFacts(
            standing=standing,
            identity=row.identity,
            client_id=row.client_id,
            grant_id=row.grant_id,
            scope=row.scope,
            resource=row.resource,
            jkt=row.jkt,
            expires_at=row.expires_at,
        )
