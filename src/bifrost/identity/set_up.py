"""The way to the first administrator, and back when every token is lost: a link that works once (contract §9)."""

from dataclasses import dataclass

import structlog

from bifrost.base import events, ids
from bifrost.base.clock import SECOND, Clock
from bifrost.identity.administrators import Administrators
from bifrost.identity.errors import SetUpLinkOver
from bifrost.identity.models import AdminToken
from bifrost.identity.store import AdministratorStore

PAGE = "/setup"
FIRST_TOKEN_NAME = "set-up"  # noqa: S105 - a name
LINK_SECONDS = 24 * 3_600

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class SetUp:
    administrators: Administrators
    store: AdministratorStore
    clock: Clock

    async def first_link(self) -> str | None:
        """The secret of the one link that the first start prints; None when it is not needed, or printed already.

        A gateway that has a configured token now also forgets the one that an earlier start printed.
        """
        if self.administrators.configured:
            await self.store.end_first_link()
            return None
        secret, now = ids.new_secret(ids.SETUP_LINK), self.clock.now()
        expires_at = now + LINK_SECONDS * SECOND
        return secret if await self.store.first_link(ids.hash_secret(secret), expires_at, now) else None

    async def is_needed(self) -> bool:
        """Whether nobody can administrate yet."""
        return not self.administrators.configured and not await self.store.tokens()

    async def new_link(self) -> str:
        """The secret of a new link, which replaces any other."""
        secret, now = ids.new_secret(ids.SETUP_LINK), self.clock.now()
        await self.store.new_link(ids.hash_secret(secret), now + LINK_SECONDS * SECOND, now)
        events.tell(events.Name.ADMINISTRATOR_SETUP_LINK)
        return secret

    async def check(self, secret: str) -> None:
        """Raises SetUpLinkOver."""
        if not await self.store.link_is_open(ids.hash_secret(secret), self.clock.now()):
            raise SetUpLinkOver

    async def use(self, secret: str) -> tuple[AdminToken, str, str]:
        """Consume the link: a new token, its value this once, and a session's secret.

        Raises SetUpLinkOver, AdministratorTokenTaken.
        """
        now = self.clock.now()
        token_id, value = ids.new_id("adm_"), ids.new_secret(ids.ADMIN_TOKEN)
        # every link makes a token, so its name must not be taken: the part of the id tells several apart
        token = AdminToken(id=token_id, name=f"{FIRST_TOKEN_NAME}-{token_id[4:10]}", created_at=now)
        if not await self.store.use_link(ids.hash_secret(secret), token, ids.hash_secret(value), now):
            raise SetUpLinkOver
        events.tell(events.Name.ADMINISTRATOR_SET_UP, actor=f"administrator:{token.id}", target=token.id)
        log.info("administrator_set_up", administrator=token.id, name=token.name)
        session, _ = await self.administrators.begin_session(token.administrator)
        return token, value, session
