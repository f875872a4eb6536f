"""What governance needs remembered."""

from typing import Protocol

from bifrost.governance.models import VirtualKey


class GovernanceStore(Protocol):
    async def add_virtual_key(self, key: VirtualKey, value_hash: str, config_mac: str) -> bool:
        """False when the id, the name or the value is already taken; then nothing was written."""
        ...

    async def reconfigure_virtual_key(self, key: VirtualKey, value_hash: str, config_mac: str) -> bool:
        """Write it over the key of this name, unless that is as configured already or was changed otherwise."""
        ...

    async def virtual_key_by_hash(self, value_hash: str) -> VirtualKey | None: ...

    async def virtual_key(self, key_id: str) -> VirtualKey | None: ...

    async def find_virtual_key(self, id_or_name: str) -> VirtualKey | None: ...

    async def virtual_keys(self) -> list[VirtualKey]: ...

    async def deactivate_virtual_key(self, key_id: str, now: int) -> bool:
        """False when it was not active."""
        ...
