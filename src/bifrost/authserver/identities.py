"""The identities on offer at consent, and whether a chosen one may still be used."""

from dataclasses import dataclass

from bifrost.authserver.errors import KeyRefused, TooManyGuesses
from bifrost.authserver.models import AuthServerConfig
from bifrost.authserver.store import AuthServerStore
from bifrost.base import ids
from bifrost.base.clock import SECOND, Clock
from bifrost.base.errors import Denied
from bifrost.governance.tool_policy import ToolPolicy
from bifrost.governance.virtual_keys import VirtualKeys
from bifrost.identity.models import Identity

MAX_KEY_FAILURES = 5
KEY_LOCK_SECONDS = 5 * 60


@dataclass(frozen=True, slots=True)
class Identities:
    virtual_keys: VirtualKeys
    store: AuthServerStore
    config: AuthServerConfig
    clock: Clock

    async def by_key(self, value: str, *, flow_id: str, address: str) -> Identity:
        """The identity of a pasted key. Raises TooManyGuesses, KeyRefused.

        The guess is counted before it is judged, so that parallel guesses cannot outrun the limit.
        """
        now = self.clock.now()
        buckets = (f"flow:{flow_id}", f"address:{address}")
        until = now + KEY_LOCK_SECONDS * SECOND
        if not await self.store.reserve_key_guess(buckets, limit=MAX_KEY_FAILURES, until=until, now=now):
            raise TooManyGuesses(KEY_LOCK_SECONDS)
        key = await self.virtual_keys.presented(value)
        if key is None or key.refusal(now):
            raise KeyRefused("This virtual key is unknown, inactive or expired.", param="virtual_key")
        await self.store.release_key_guess(buckets)
        return Identity("vk", key.id)

    async def locked(self, flow_id: str) -> bool:
        return await self.store.key_guesses_locked(f"flow:{flow_id}", limit=MAX_KEY_FAILURES, now=self.clock.now())

    def anonymous(self) -> Identity:
        """A new identity that nobody else can name. Raises Denied unless the gateway allows it."""
        if not self.config.allow_anonymous:
            raise Denied("This gateway asks everybody for a virtual key.", code="anonymous_not_allowed")
        return Identity("session", ids.new_id("ses_"))

    async def refusal(self, identity: Identity) -> str | None:
        """Why the identity may not be used now; None when it may. Asked again at every use, tokens included."""
        if identity.kind == "session":
            return None if self.config.allow_anonymous else "Anonymous sessions are no longer allowed."
        if identity.kind == "vk":
            key = await self.virtual_keys.by_id(identity.id)
            return key.refusal(self.clock.now()) if key else "This virtual key no longer exists."
        return "This kind of identity is not offered."

    async def policy(self, identity: Identity) -> ToolPolicy:
        """What this identity reaches of the upstreams."""
        key = await self.virtual_keys.by_id(identity.id) if identity.kind == "vk" else None
        return ToolPolicy(key_configs=key.mcp_configs if key else () if identity.kind == "vk" else None)

    async def label(self, identity: Identity) -> str:
        """The name of its key; an anonymous session has none."""
        key = await self.virtual_keys.by_id(identity.id) if identity.kind == "vk" else None
        return key.name if key else ""
