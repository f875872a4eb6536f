"""What an administrator does with virtual keys after they were made: find, change, rotate, delete."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Protocol

import structlog

from bifrost.base import ids
from bifrost.base.clock import Clock
from bifrost.governance import limits
from bifrost.governance.errors import UnknownVirtualKey
from bifrost.governance.models import KeyChanges, VirtualKey
from bifrost.governance.named_upstreams import NamedUpstreams
from bifrost.governance.store import KeyAdministrationStore
from bifrost.governance.virtual_keys import check_upstreams, check_virtual_mcps, hint

log = structlog.get_logger()


class KeyAccounts(Protocol):
    """The accounts at upstreams that were connected for a key."""

    async def access_changed(self, key_id: str) -> None:
        """Some may have been lost or won with the access to their upstreams."""

    async def taken(self, key_id: str) -> Callable[[], Awaitable[None]]:
        """They are deleted; what is given back tells their services, which may take seconds."""
        ...


@dataclass(frozen=True, slots=True)
class KeyAdministration:
    store: KeyAdministrationStore
    accounts: KeyAccounts
    clock: Clock
    named: NamedUpstreams = field(default_factory=NamedUpstreams)

    async def search(self, text: str, *, limit: int, offset: int) -> tuple[list[VirtualKey], int]:
        """A page of the keys whose id, name or description holds this text, and how many they are altogether."""
        return await self.store.search_virtual_keys(text, limit=limit, offset=offset)

    async def get(self, key_id: str) -> VirtualKey:
        """Raises UnknownVirtualKey."""
        return _known(await self.store.virtual_key(key_id), key_id)

    async def change(self, key_id: str, changes: KeyChanges) -> VirtualKey:
        """The key as it is then; from now on the configuration file does not change it any more.

        Raises UnknownVirtualKey, VirtualKeyTaken, InvalidLimit, UnknownVirtualMcp, UnknownUpstreams.
        """
        if changes.mcp_configs:
            await check_upstreams(self.named, changes.mcp_configs, (await self.get(key_id)).mcp_configs)
        limits.check(changes.rate_limit, changes.budgets or ())
        if changes.virtual_mcps:
            check_virtual_mcps(changes.virtual_mcps, await self.store.stored_virtual_mcps())
        key = _known(await self.store.change_virtual_key(key_id, changes, self.clock.now()), key_id)
        log.info("virtual_key_changed", virtual_key_id=key.id, name=key.name)
        await self.accounts.access_changed(key.id)
        return key

    async def rotate(self, key_id: str) -> tuple[VirtualKey, str]:
        """The key with a new value, told this once. What hangs on the key stays; the old value is never taken again.

        Raises UnknownVirtualKey.
        """
        value = ids.new_virtual_key()
        rotated = await self.store.rotate_virtual_key(key_id, ids.hash_secret(value), hint(value), self.clock.now())
        key = _known(rotated, key_id)
        log.info("virtual_key_rotated", virtual_key_id=key.id, name=key.name)
        return key, value

    async def delete(self, key_id: str) -> None:
        """Delete the key and everything that hangs on it; its value is never taken again. Raises UnknownVirtualKey.

        Where its accounts can be revoked (RFC 7009), the services are told, once the key is gone.
        """
        await self.get(key_id)
        tell_services = await self.accounts.taken(key_id)
        key = _known(await self.store.delete_virtual_key(key_id, self.clock.now()), key_id)
        log.info("virtual_key_deleted", virtual_key_id=key.id, name=key.name)
        await tell_services()


def _known(key: VirtualKey | None, key_id: str) -> VirtualKey:
    if key is None:
        raise UnknownVirtualKey(f"There is no virtual key with the id {key_id[:100]}.", param="id")
    return key
