"""Who may administrate: by a token, configured or made, or by a browser's session that began with one."""

from dataclasses import dataclass, field

import structlog

from bifrost.base import events, ids
from bifrost.base.clock import SECOND, Clock
from bifrost.base.sealing import KeyRing
from bifrost.http.addresses import subscriber
from bifrost.identity.errors import AdministratorNeeded, TooManyAdministratorGuesses
from bifrost.identity.models import Administrator, AdminSession
from bifrost.identity.store import AdministratorStore

CONFIGURED = Administrator("configured", "BIFROST_ADMIN_TOKEN")
SESSION_SECONDS = 12 * 3_600
SESSION_IDLE_SECONDS = 3_600
SEEN_EVERY_SECONDS = 60
"""A session's use is written down this often, not at every request."""

MAX_WRONG_TOKENS = 10
LOCK_SECONDS = 5 * 60
KNOWN_SECONDS = 30 * 24 * 3_600
"""An address that the configured token came from stays known for this long after, and up to twice that."""
_USE = "admin_session"
_KNOWN_USE = "administrator_address"

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Administrators:
    store: AdministratorStore
    ring: KeyRing
    clock: Clock
    configured: str = field(repr=False)
    """The token of the configuration; empty when there is none."""

    async def by_token(self, value: str, *, address: str) -> Administrator:
        """Raises AdministratorNeeded, TooManyAdministratorGuesses.

        A made token cannot be guessed, so a lock never keeps it out. A configured one is as strong as it was chosen:
        while an address is locked nobody there learns whether it was right, unless it came from there before. So
        strangers get few guesses, and nobody who shares an address with the administrator can lock the administrator
        out by guessing.
        """
        made = await self.store.token_by_hash(ids.hash_secret(value)) if _looks_made(value) else None
        if made:
            return made.administrator
        bucket, now = f"administrator:{subscriber(address)}", self.clock.now()
        if self.configured and ids.same(value, self.configured):
            await self._come_from(address, bucket, now)
            return CONFIGURED
        until = now + LOCK_SECONDS * SECOND
        told = await self.store.count_guess(bucket, limit=MAX_WRONG_TOKENS, until=until, now=now)
        log.warning("administrator_refused", client_address=address)
        if told:  # a full bucket says it once: an address that goes on must not fill the trail
            events.tell(events.Name.ADMINISTRATOR_REFUSED, result="failure")
        else:
            raise TooManyAdministratorGuesses(LOCK_SECONDS)
        raise AdministratorNeeded("This is not an administrator's token.")

    async def _come_from(self, address: str, bucket: str, now: int) -> None:
        """The configured token, from here. Raises TooManyAdministratorGuesses when the address is locked and unknown.

        What is known is kept in periods, so that an address in use is written down once in each.
        """
        period = now // (KNOWN_SECONDS * SECOND)
        this, last = (f"administrator at:{self._known(address, number)}" for number in (period, period - 1))
        if await self.store.guesses_locked(this, limit=1, now=now):
            return
        known = await self.store.guesses_locked(last, limit=1, now=now)
        if not known and await self.store.guesses_locked(bucket, limit=MAX_WRONG_TOKENS, now=now):
            raise TooManyAdministratorGuesses(LOCK_SECONDS)
        await self.store.count_guess(this, limit=1, until=(period + 2) * KNOWN_SECONDS * SECOND, now=now)

    def _known(self, address: str, period: int) -> str:
        """Another configured token knows no address yet."""
        return self.ring.mac(f"{period} {subscriber(address)} {self.configured}", use=_KNOWN_USE)

    async def by_session(self, secrets: list[str]) -> Administrator | None:
        """The administrator of the first of these secrets that is a session; None when none of them is."""
        for secret in secrets:
            hashed = ids.hash_secret(secret)
            session = await self.store.session(hashed)
            if session and self._is_open(session):
                await self._seen(hashed, session)
                return Administrator(session.token_id, session.token_name) if session.token_id else CONFIGURED
        return None

    async def login(self, value: str, *, address: str) -> tuple[Administrator, str, int]:
        """The administrator, the secret of a new session, and when it ends. Raises as `by_token` does."""
        administrator = await self.by_token(value, address=address)
        secret, expires_at = await self.begin_session(administrator)
        events.tell(
            events.Name.ADMINISTRATOR_SIGNED_IN, actor=f"administrator:{administrator.id}", target=administrator.id
        )
        log.info("administrator_signed_in", administrator=administrator.id, client_address=address)
        return administrator, secret, expires_at

    async def begin_session(self, administrator: Administrator) -> tuple[str, int]:
        """Its secret, and when it ends. Raises AdministratorNeeded when the token was revoked meanwhile."""
        secret, now = ids.new_secret(ids.ADMIN_SESSION), self.clock.now()
        configured = administrator == CONFIGURED
        session = AdminSession(
            token_id=None if configured else administrator.id,
            token_name=administrator.name,
            configured_mac=self.ring.mac(self.configured, use=_USE) if configured else "",
            created_at=now,
            seen_at=now,
            expires_at=now + SESSION_SECONDS * SECOND,
        )
        if not await self.store.add_session(ids.hash_secret(secret), session):
            raise AdministratorNeeded("This token was revoked.")
        return secret, session.expires_at

    async def logout(self, secrets: list[str]) -> None:
        await self.store.end_sessions(tuple(map(ids.hash_secret, secrets)))
        log.info("administrator_signed_out")

    def _is_open(self, session: AdminSession) -> bool:
        now = self.clock.now()
        if session.expires_at <= now or session.seen_at + SESSION_IDLE_SECONDS * SECOND <= now:
            return False
        if session.token_id:
            return True
        return bool(self.configured) and self.ring.made(self.configured, session.configured_mac, use=_USE)

    async def _seen(self, session_hash: str, session: AdminSession) -> None:
        if session.seen_at + SEEN_EVERY_SECONDS * SECOND <= self.clock.now():
            await self.store.session_seen(session_hash, self.clock.now())


def _looks_made(value: str) -> bool:
    return value.startswith(ids.ADMIN_TOKEN)
