"""The identities on offer at consent, and whether a chosen one may still be used."""

from dataclasses import dataclass

from bifrost.authserver.errors import KeyRefused, TooManyGuesses
from bifrost.authserver.models import AuthServerConfig
from bifrost.authserver.store import AuthServerStore
from bifrost.base import events, ids
from bifrost.base.clock import SECOND, Clock
from bifrost.base.errors import Denied
from bifrost.governance.tool_policy import ToolPolicy
from bifrost.governance.virtual_keys import VirtualKeys
from bifrost.http.addresses import subscriber
from bifrost.identity.models import Identity, Standing

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

        The verdict is told only when the buckets admit it, and only a wrong guess counts: parallel guesses cannot
        outrun the limit, and people behind one address who know their keys never lock each other out.
        """
        now = self.clock.now()
        key = await self.virtual_keys.presented(value)
        right = key is not None and key.refusal(now) is None
        buckets = (f"flow:{flow_id}", f"address:{subscriber(address)}")
        admitted = await self.store.admit_key_guess(
            buckets,
            right=right,
            limit=MAX_KEY_FAILURES,
            until=now + KEY_LOCK_SECONDS * SECOND,
            now=now,
        )
        if not admitted:
            raise TooManyGuesses(KEY_LOCK_SECONDS)
        if key is None or not right:
            await self._tell_of_a_lock(buckets, flow_id)
            raise KeyRefused("This virtual key is unknown, inactive or expired.", param="virtual_key")
        return Identity("vk", key.id)

    async def _tell_of_a_lock(self, buckets: tuple[str, ...], flow_id: str) -> None:
        """The guess that fills a bucket is the last one that is counted, so it is told of once."""
        now = self.clock.now()
        for bucket in buckets:
            if await self.store.key_guesses_locked(bucket, limit=MAX_KEY_FAILURES, now=now):
                events.tell(
                    events.Name.VIRTUAL_KEYS_GUESSED, target=flow_id, result="failure", by=bucket.partition(":")[0]
                )

    async def locked(self, flow_id: str) -> bool:
        return await self.store.key_guesses_locked(f"flow:{flow_id}", limit=MAX_KEY_FAILURES, now=self.clock.now())

    def anonymous(self) -> Identity:
        """A new identity that nobody else can name. Raises Denied unless the gateway allows it."""
        if not self.config.allow_anonymous:
            raise Denied("This gateway asks everybody for a virtual key.", code="anonymous_not_allowed")
        return Identity("session", ids.new_id("ses_"))

    async def standing(self, identity: Identity) -> Standing | None:
        """What the identity may use now; None when it may not be used any more. Asked again at every use."""
        if identity.kind == "session":
            return Standing() if self.config.allow_anonymous else None
        key = await self.virtual_keys.by_id(identity.id) if identity.kind == "vk" else None
        if key is None or key.refusal(self.clock.now()):
            return None
        return Standing(key_configs=key.mcp_configs, within=await self.virtual_keys.within(key))

    async def policy(self, identity: Identity) -> ToolPolicy:
        """What this identity reaches of the upstreams."""
        return (await self.standing(identity) or Standing()).policy

    async def proof(self, identity: Identity) -> str:
        """What changes when the identity has to be proven anew: of a virtual key, the beginning of its value."""
        key = await self.virtual_keys.by_id(identity.id) if identity.kind == "vk" else None
        return key.value_hint if key else ""

    async def label(self, identity: Identity) -> str:
        """The name of its key; an anonymous session has none."""
        key = await self.virtual_keys.by_id(identity.id) if identity.kind == "vk" else None
        return key.name if key else ""
