"""What governance needs remembered."""

from typing import Protocol

from bifrost.governance.models import KeyChanges, VirtualKey


class GovernanceStore(Protocol):
    async def add_virtual_key(self, key: VirtualKey, value_hash: str, config_mac: str) -> bool:
        """False when the id, the name or the value is taken, or the value was; then nothing was written."""
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


class KeyAdministrationStore(Protocol):
    async def virtual_key(self, key_id: str) -> VirtualKey | None: ...

    async def search_virtual_keys(self, text: str, *, limit: int, offset: int) -> tuple[list[VirtualKey], int]:
        """A page of those whose id, name or description holds the text, by name, and how many they are altogether."""
        ...

    async def change_virtual_key(self, key_id: str, changes: KeyChanges, now: int) -> VirtualKey | None:
        """The key as it is then. Raises VirtualKeyTaken when another has the name."""
        ...

    async def rotate_virtual_key(self, key_id: str, value_hash: str, value_hint: str, now: int) -> VirtualKey | None:
        """Put this value in the place of the last one, which is retired for ever."""
        ...

    async def delete_virtual_key(self, key_id: str, now: int) -> VirtualKey | None:
        """Delete it with its grants, upstream credentials, connect sessions and its part in pending flows, all or
        nothing, and retire its value. What was deleted; None when there is none.
        """
        ...
