"""Administrators' tokens: made once, shown once, stored as a hash."""

from dataclasses import dataclass

import structlog

from bifrost.base import events, ids
from bifrost.base.clock import Clock
from bifrost.identity.errors import AdministratorTokenTaken, UnknownAdministratorToken
from bifrost.identity.models import AdminToken
from bifrost.identity.store import AdministratorStore

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class AdminTokens:
    store: AdministratorStore
    clock: Clock

    async def create(self, name: str) -> tuple[AdminToken, str]:
        """The token and, this once, its value. Raises AdministratorTokenTaken."""
        value = ids.new_secret(ids.ADMIN_TOKEN)
        token = AdminToken(id=ids.new_id("adm_"), name=name, created_at=self.clock.now())
        if not await self.store.add_token(token, ids.hash_secret(value)):
            raise AdministratorTokenTaken(f"There is an administrator's token of this name already: {name}")
        events.tell(events.Name.ADMINISTRATOR_TOKEN_CREATE, target=token.id, name_of_token=name)
        log.info("administrator_token_created", administrator=token.id, name=name)
        return token, value

    async def all(self) -> list[AdminToken]:
        return await self.store.tokens()

    async def revoke(self, id_or_name: str) -> AdminToken:
        """Remove a token; it and its sessions end at once. Raises UnknownAdministratorToken."""
        token = await self.store.remove_token(id_or_name)
        if token is None:
            raise UnknownAdministratorToken(f"There is no administrator's token with the id or name {id_or_name}.")
        events.tell(events.Name.ADMINISTRATOR_TOKEN_REVOKE, target=token.id, name_of_token=token.name)
        log.info("administrator_token_revoked", administrator=token.id, name=token.name)
        return token
