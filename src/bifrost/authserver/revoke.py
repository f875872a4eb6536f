"""Revocation (RFC 7009): a client gives a token back."""

from dataclasses import dataclass

import structlog

from bifrost.authserver.models import Client
from bifrost.authserver.store import AuthServerStore
from bifrost.base import events, ids
from bifrost.base.clock import Clock

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Revoke:
    store: AuthServerStore
    clock: Clock

    async def revoke(self, client: Client, token: str) -> None:
        """An unknown token, or another client's, changes nothing and is no error (RFC 7009 §2.2).

        A refresh token takes its grant and all its access tokens along (§2.1); an access token goes alone.
        """
        token_hash = ids.hash_secret(token)
        if token.startswith(ids.REFRESH_TOKEN):
            row = await self.store.refresh_token(token_hash)
            if row is not None and row.client_id == client.client_id:
                await self._revoke_grant(client, row.grant_id)
            return
        access = await self.store.access_token(token_hash)
        if access is None or access.client_id != client.client_id:
            return
        if await self.store.end_access_token(token_hash, self.clock.now()):
            events.tell(events.Name.ACCESS_TOKEN_REVOKED, actor=f"client:{client.client_id}", target=access.grant_id)
            log.info("access_token_revoked", grant=access.grant_id, client=client.client_name)

    async def _revoke_grant(self, client: Client, grant_id: str) -> None:
        """Told once, however often the token is given back."""
        if await self.store.revoke_grant(grant_id, "revoked_by_client", self.clock.now()):
            events.tell(events.Name.GRANT_REVOKED, actor=f"client:{client.client_id}", target=grant_id)
            log.info("grant_revoked", grant=grant_id, client=client.client_name)
