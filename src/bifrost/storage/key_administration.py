"""What an administrator does with virtual keys, in SQL."""

import re
from dataclasses import asdict

from bifrost.governance.errors import VirtualKeyTaken
from bifrost.governance.models import KeyChanges, VirtualKey, VirtualMcp
from bifrost.storage.database import Connection, Database, is_taken, queries
from bifrost.storage.governance import SqlGovernanceStore, encoded, forget_key, forget_proofs, virtual_key_of
from bifrost.storage.virtual_mcps import SqlVirtualMcpStore

_IN_JSON = ("mcp_configs", "virtual_mcps", "rate_limit", "budgets")


class SqlKeyAdministrationStore:
    def __init__(self, database: Database) -> None:
        self._database = database
        self._queries = queries("governance", database.driver)

    async def stored_virtual_mcps(self) -> tuple[VirtualMcp, ...]:
        return await SqlVirtualMcpStore(self._database).stored_virtual_mcps()

    async def virtual_key(self, key_id: str) -> VirtualKey | None:
        return await SqlGovernanceStore(self._database).virtual_key(key_id)

    async def search_virtual_keys(self, text: str, *, limit: int, offset: int) -> tuple[list[VirtualKey], int]:
        pattern = f"%{_literal(text.lower())}%"
        async with self._database.read() as connection:
            found = self._queries.search_virtual_keys(connection, pattern=pattern, limit=limit, offset=offset)
            keys = [virtual_key_of(row) async for row in found]
            return keys, await self._queries.count_virtual_keys(connection, pattern=pattern)

    async def change_virtual_key(self, key_id: str, changes: KeyChanges, now: int) -> VirtualKey | None:
        members = {name: encoded(getattr(changes, name)) for name in _IN_JSON}
        try:
            async with self._database.transaction() as connection:
                row = await self._queries.change_virtual_key(
                    connection, id=key_id, now=now, **(asdict(changes) | members)
                )
        except Exception as error:
            if not is_taken(error):
                raise
            raise VirtualKeyTaken("There is a virtual key of this name already.", param="name") from error
        return virtual_key_of(row) if row else None

    async def rotate_virtual_key(self, key_id: str, value_hash: str, value_hint: str, now: int) -> VirtualKey | None:
        async with self._database.transaction() as connection:
            if not await self._retired(connection, key_id, now):
                return None
            row = await self._queries.rotate_virtual_key(
                connection, id=key_id, value_hash=value_hash, value_hint=value_hint, now=now
            )
            await forget_proofs(self._queries, connection, key_id)
        return virtual_key_of(row)

    async def delete_virtual_key(self, key_id: str, now: int) -> VirtualKey | None:
        async with self._database.transaction() as connection:
            if not await self._retired(connection, key_id, now):
                return None
            # the flows first: for a submit that is under way this waits, and deletes its grant next
            await self._queries.leave_pending_flows(connection, id=key_id)
            row = await self._queries.delete_virtual_key(connection, id=key_id)
            await forget_key(self._queries, connection, key_id)
        return virtual_key_of(row)

    async def _retired(self, connection: Connection, key_id: str, now: int) -> bool:
        """Whether there is such a key, whose row is now held and whose value is retired."""
        value_hash = await self._queries.lock_virtual_key(connection, id=key_id, now=now)
        if value_hash is not None:
            await self._queries.retire_value(connection, value_hash=value_hash, now=now)
        return value_hash is not None


def _literal(text: str) -> str:
    """For LIKE, where the two wildcards stand for themselves."""
    return re.sub(r"([!%_])", r"!\1", text)
