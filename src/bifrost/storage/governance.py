"""Governance's store in SQL."""

from collections.abc import Coroutine
from dataclasses import asdict
from functools import partial
from typing import Any

import msgspec

from bifrost.governance.errors import VirtualKeyTaken
from bifrost.governance.models import Budget, McpConfig, RateLimit, VirtualKey, VirtualMcp
from bifrost.storage.database import Connection, Database, Queries, Row, queries
from bifrost.storage.remembered import Remembered
from bifrost.storage.virtual_mcps import SqlVirtualMcpStore, names_of

Found = Coroutine[Any, Any, VirtualKey | None]
"""What only passes it on is no step of its own: these are asked for at every request."""


class SqlGovernanceStore:
    def __init__(self, database: Database) -> None:
        self._database = database
        self._queries = queries("governance", database.driver)
        self._remembered = Remembered[VirtualKey](database)
        self._virtual_mcps = SqlVirtualMcpStore(database)

    async def add_virtual_key(self, key: VirtualKey, value_hash: str, config_mac: str) -> bool:
        try:
            async with self._database.transaction() as connection:
                if await self._queries.add_virtual_key(connection, **_row(key, value_hash, config_mac)) is None:
                    return False
                if await self._queries.retired(connection, value_hash=value_hash):
                    raise _RetiredError
                # what a request that overlapped the deletion of an earlier key of this id left behind
                await forget_key(self._queries, connection, key.id)
        except _RetiredError:
            return False
        return True

    async def reconfigure_virtual_key(self, key: VirtualKey, value_hash: str, config_mac: str) -> bool:
        async with self._database.transaction() as connection:
            owner = await self._queries.value_owner(
                connection, value_hash=value_hash, name=key.name, config_mac=config_mac
            )
            if owner is not None:
                raise VirtualKeyTaken(f"The value of the virtual key {key.name!r} is still that of {owner!r}.")
            before = await self._queries.value_before(connection, name=key.name, value_hash=value_hash)
            # nothing is written to a key that was changed otherwise, so its old value in the file is no mistake
            changed = await self._queries.reconfigure_virtual_key(connection, **_row(key, value_hash, config_mac))
            if changed is not None and await self._queries.retired(connection, value_hash=value_hash):
                raise VirtualKeyTaken(f"The value of the virtual key {key.name!r} was retired; give it another.")
            if changed is not None and before != value_hash:
                await forget_proofs(self._queries, connection, changed["id"])
        return changed is not None

    def virtual_key_by_hash(self, value_hash: str) -> Found:
        read = partial(self._one, "virtual_key_by_hash", value_hash=value_hash)
        return self._remembered.row(("hash", value_hash), read)

    def virtual_key(self, key_id: str) -> Found:
        return self._remembered.row(("id", key_id), partial(self._one, "virtual_key", id=key_id))

    async def find_virtual_key(self, id_or_name: str) -> VirtualKey | None:
        return await self._one("virtual_key_by_id_or_name", wanted=id_or_name)

    async def virtual_keys(self) -> list[VirtualKey]:
        async with self._database.read() as connection:
            return [virtual_key_of(row) async for row in self._queries.virtual_keys(connection)]

    async def virtual_mcps(self) -> tuple[VirtualMcp, ...]:
        return await self._virtual_mcps.virtual_mcps()

    async def stored_virtual_mcps(self) -> tuple[VirtualMcp, ...]:
        return await self._virtual_mcps.stored_virtual_mcps()

    async def deactivate_virtual_key(self, key_id: str, now: int) -> bool:
        async with self._database.transaction() as connection:
            return await self._queries.deactivate_virtual_key(connection, id=key_id, now=now) is not None

    async def _one(self, name: str, **values: str) -> VirtualKey | None:
        async with self._database.read() as connection:
            row = await getattr(self._queries, name)(connection, **values)
        return virtual_key_of(row) if row else None


class _RetiredError(Exception):
    """The insertion waited for a deletion of this value, which it did not see when it began."""


def encoded(value: Any) -> str | None:
    return None if value is None else msgspec.json.encode(value).decode()


def _row(key: VirtualKey, value_hash: str, config_mac: str) -> dict[str, Any]:
    return asdict(key) | {
        "value_hash": value_hash,
        "mcp_configs": encoded(key.mcp_configs),
        "virtual_mcps": encoded(key.virtual_mcps),
        "rate_limit": encoded(key.rate_limit),
        "budgets": encoded(key.budgets),
        "config_mac": config_mac,
    }


def virtual_key_of(row: Row) -> VirtualKey:
    values: dict[str, Any] = dict(row)
    decoded: dict[str, Any] = {
        "is_active": bool(values["is_active"]),
        "mcp_configs": msgspec.json.decode(values["mcp_configs"], type=tuple[McpConfig, ...]),
        "virtual_mcps": names_of(values["virtual_mcps"]),
        "rate_limit": msgspec.json.decode(values["rate_limit"] or "null", type=RateLimit | None),
        "budgets": msgspec.json.decode(values["budgets"], type=tuple[Budget, ...]),
    }
    return VirtualKey(**(values | decoded))


async def forget_proofs(named: Queries, connection: Connection, key_id: str) -> None:
    """Whoever showed a value that the key has no more has to show the new one: in a consent, at a link, in a browser.

    The flows first: for a submit that is under way this waits, and forgets its browser next.
    """
    await named.leave_pending_flows(connection, id=key_id)
    await named.delete_connect_sessions_of_key(connection, id=key_id)
    await named.delete_browsers_of_key(connection, id=key_id)


async def forget_key(named: Queries, connection: Connection, key_id: str) -> None:
    """Delete everything that hangs on a key."""
    await named.delete_grants_of_key(connection, id=key_id)
    await named.delete_credentials_of_key(connection, id=key_id)
    await named.delete_connect_sessions_of_key(connection, id=key_id)
    await named.delete_usage_of_key(connection, id=key_id)
    await named.delete_consents_of_key(connection, id=key_id)
    await named.delete_browsers_of_key(connection, id=key_id)
