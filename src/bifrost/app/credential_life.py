"""What becomes of people's credentials: one object for whoever ends or judges them."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from bifrost.app.foundation import Foundation
from bifrost.authserver.identities import Identities
from bifrost.storage.held import SqlHeldStore
from bifrost.upstreams.accounts import PERSONAL, Owner
from bifrost.upstreams.credential_life import CredentialLife
from bifrost.upstreams.models import Upstream


def credential_life(parts: Foundation) -> CredentialLife:
    return CredentialLife(
        SqlHeldStore(parts.database, parts.accounts),
        parts.upstreams,
        parts.token_client,
        _access(Identities(parts.virtual_keys, parts.store, parts.config, parts.clock)),
        parts.clock,
    )


@dataclass(frozen=True, slots=True)
class AccountsOfKeys:
    """What governance wants to be done with a key's accounts."""

    life: CredentialLife

    async def access_changed(self, key_id: str) -> None:
        await self.life.access_changed(Owner("vk", key_id))

    async def taken(self, key_id: str) -> Callable[[], Awaitable[None]]:
        return await self.life.taken_from(Owner("vk", key_id))


def _access(identities: Identities) -> Callable[[Owner, Upstream], Awaitable[bool]]:
    """Whether an owner of credentials may use an upstream now."""

    async def may_use(owner: Owner, upstream: Upstream) -> bool:
        identity = owner.identity
        if identity is None or upstream.auth_type not in PERSONAL:
            return False
        standing = await identities.standing(identity)
        if standing is None:
            return False
        return standing.policy.reaches(upstream.name, open_to_all_keys=upstream.allow_on_all_virtual_keys)

    return may_use
