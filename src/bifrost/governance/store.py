"""What governance needs remembered."""

from typing import Protocol

from bifrost.governance.models import KeyChanges, VirtualKey, VirtualMcp, VirtualMcpChanges


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

    async def virtual_mcps(self) -> tuple[VirtualMcp, ...]:
        """All of them, kept in memory while none has changed."""
        ...

    async def stored_virtual_mcps(self) -> tuple[VirtualMcp, ...]: ...

    async def deactivate_virtual_key(self, key_id: str, now: int) -> bool:
        """False when it was not active."""
        ...


class VirtualMcpStore(Protocol):
    async def virtual_mcps(self) -> tuple[VirtualMcp, ...]:
        """All of them, by name, kept in memory while none has changed."""
        ...

    async def stored_virtual_mcps(self) -> tuple[VirtualMcp, ...]:
        """The same, as the database has them now."""
        ...

    async def add_virtual_mcp(self, virtual_mcp: VirtualMcp, config_mac: str) -> None:
        """Raises VirtualMcpTaken when the id or name is another's, or the slug that of another endpoint."""
        ...

    async def reconfigure_virtual_mcp(self, virtual_mcp: VirtualMcp, config_mac: str) -> str | None:
        """Write it over the one of this name, unless that is as configured already or was changed otherwise.

        The id of the one that was changed, empty when it stays as it is; None when there is none of this name. At
        another address, the grants for the old one end.
        Raises VirtualMcpTaken.
        """
        ...

    async def change_virtual_mcp(self, virtual_mcp_id: str, changes: VirtualMcpChanges, now: int) -> VirtualMcp | None:
        """As it is then. Keys name what is attached to them, so one with keys keeps its name.

        At another address, the grants for the old one end. Raises VirtualMcpTaken, VirtualMcpAttached.
        """
        ...

    async def delete_virtual_mcp(self, virtual_mcp_id: str, now: int) -> VirtualMcp | None:
        """With the grants for its address. Raises VirtualMcpAttached while it is attached to keys."""
        ...

    async def attach(self, virtual_mcp_id: str, key_id: str, now: int) -> bool:
        """False when there is no such virtual MCP or no such key. The key no longer follows the configuration file."""
        ...

    async def detach(self, virtual_mcp_id: str, key_id: str, now: int) -> bool: ...


class KeyAdministrationStore(Protocol):
    async def stored_virtual_mcps(self) -> tuple[VirtualMcp, ...]: ...

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
