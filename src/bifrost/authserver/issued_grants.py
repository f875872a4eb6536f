"""Grants issued to clients, for an administrator: see them, and end one (contract §9)."""

from dataclasses import dataclass

import structlog

from bifrost.authserver.clients import Clients
from bifrost.authserver.errors import UnknownGrant
from bifrost.authserver.models import GrantFilter, IssuedGrant
from bifrost.authserver.store import AuthServerStore
from bifrost.base.clock import Clock

ENDED = "ended_by_administrator"

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class IssuedGrants:
    store: AuthServerStore
    clients: Clients
    clock: Clock

    async def listed(
        self, *, client_id: str, identity_id: str, living: bool, limit: int, offset: int
    ) -> tuple[list[IssuedGrant], int]:
        """The newest first, and how many there are altogether."""
        wanted = GrantFilter(client_id=client_id, identity_id=identity_id, living_at=self.clock.now() if living else 0)
        return await self.store.issued_grants(wanted, limit=limit, offset=offset)

    async def client_name(self, grant: IssuedGrant) -> str:
        """Empty when the client is not known any more."""
        return await self.clients.known_name(grant.client_id)

    async def end(self, grant_id: str) -> None:
        """All its tokens are refused from now on. Ending twice is no error. Raises UnknownGrant."""
        if await self.store.revoke_grant(grant_id, ENDED, self.clock.now()):
            log.info("grant_revoked", grant=grant_id, reason=ENDED)
        elif await self.store.grant(grant_id) is None:
            raise UnknownGrant("There is no session with this id.")
