"""Virtual MCPs in SQL. Who has an address below /mcp/ is decided by one table, for upstreams too."""

from dataclasses import asdict
from typing import Any

import msgspec

from bifrost.governance.errors import VirtualMcpAttached, VirtualMcpTaken
from bifrost.governance.models import McpConfig, VirtualMcp, VirtualMcpChanges
from bifrost.storage.database import Connection, Database, Row, is_taken, queries
from bifrost.storage.remembered import Remembered

_NAME_TAKEN = "There is a virtual MCP of this name or id already."
_SLUG_TAKEN = "An MCP client or another virtual MCP has this endpoint_slug. Choose another."


class SqlVirtualMcpStore:
    def __init__(self, database: Database) -> None:
        self._database = database
        self._queries = queries("virtual_mcps", database.driver)
        self._remembered = Remembered[tuple[VirtualMcp, ...]](database)

    async def virtual_mcps(self) -> tuple[VirtualMcp, ...]:
        return await self._remembered.row("all", self.stored_virtual_mcps) or ()

    async def stored_virtual_mcps(self) -> tuple[VirtualMcp, ...]:
        async with self._database.read() as connection:
            return tuple([virtual_mcp_of(row) async for row in self._queries.virtual_mcps(connection)])

    async def add_virtual_mcp(self, virtual_mcp: VirtualMcp, config_mac: str) -> None:
        async with self._database.transaction() as connection:
            if await self._queries.add_virtual_mcp(connection, **_row(virtual_mcp), config_mac=config_mac) is None:
                named = await self._queries.id_or_name_owner(connection, id=virtual_mcp.id, name=virtual_mcp.name)
                raise _taken("name" if named else "endpoint_slug")
            await self._claim(connection, virtual_mcp.id, virtual_mcp.endpoint_slug)

    async def reconfigure_virtual_mcp(self, virtual_mcp: VirtualMcp, config_mac: str) -> str | None:
        async with self._database.transaction() as connection:
            known = await self._queries.named(connection, name=virtual_mcp.name)
            if known is None:
                return None
            before = dict(known)
            try:
                changed = await self._queries.reconfigure_virtual_mcp(
                    connection, **_row(virtual_mcp), config_mac=config_mac
                )
            except Exception as error:
                raise _taken("endpoint_slug") if is_taken(error) else error from error
            if changed is not None:
                await self._moved(connection, before, virtual_mcp.endpoint_slug, virtual_mcp.updated_at)
        return str(changed or "")

    async def change_virtual_mcp(self, virtual_mcp_id: str, changes: VirtualMcpChanges, now: int) -> VirtualMcp | None:
        members = asdict(changes)
        if changes.mcp_configs is not None:
            members["mcp_configs"] = _encoded(changes.mcp_configs)
        async with self._database.transaction() as connection:
            row = await self._queries.lock_virtual_mcp(connection, id=virtual_mcp_id, now=now)
            if row is None:
                return None
            before = {"id": virtual_mcp_id, **dict(row)}
            if changes.name not in (None, before["name"]):
                await self._refuse_attached(connection, before["name"], "give it another name")
            await self._moved(connection, before, changes.endpoint_slug or before["endpoint_slug"], now)
            try:
                changed = await self._queries.change_virtual_mcp(connection, id=virtual_mcp_id, now=now, **members)
            except Exception as error:
                if not is_taken(error):
                    raise
                raise _taken("name") from error
        return virtual_mcp_of(changed)

    async def delete_virtual_mcp(self, virtual_mcp_id: str, now: int) -> VirtualMcp | None:
        async with self._database.transaction() as connection:
            row = await self._queries.lock_virtual_mcp(connection, id=virtual_mcp_id, now=now)
            if row is None:
                return None
            await self._refuse_attached(connection, row["name"], "delete it")
            deleted = await self._queries.delete_virtual_mcp(connection, id=virtual_mcp_id)
            await self._end_grants(connection, row["endpoint_slug"], now)
        return virtual_mcp_of(deleted)

    async def attach(self, virtual_mcp_id: str, key_id: str, now: int) -> bool:
        async with self._database.transaction() as connection:
            # the virtual MCP's row is held, so nobody renames or deletes it meanwhile
            row = await self._queries.lock_virtual_mcp(connection, id=virtual_mcp_id, now=now)
            if row is None:
                return False
            return await self._write(connection, key_id, now, add=row["name"])

    async def detach(self, virtual_mcp_id: str, key_id: str, now: int) -> bool:
        async with self._database.transaction() as connection:
            row = await self._queries.lock_virtual_mcp(connection, id=virtual_mcp_id, now=now)
            if row is None:
                return False
            return await self._write(connection, key_id, now, remove=row["name"])

    async def _write(self, connection: Connection, key_id: str, now: int, *, add: str = "", remove: str = "") -> bool:
        text = await self._queries.lock_key(connection, id=key_id, now=now)
        if text is None:
            return False
        before = names_of(text)
        after = [name for name in before if name != remove] + ([add] if add and add not in before else [])
        if tuple(after) != before:
            await self._queries.write_attachments(connection, id=key_id, virtual_mcps=_encoded(after))
        return True

    async def _refuse_attached(self, connection: Connection, name: str, what: str) -> None:
        attached = [names_of(row["virtual_mcps"]) async for row in self._queries.attachments(connection)]
        keys = sum(name in names for names in attached)
        if keys:
            raise VirtualMcpAttached(f"{keys} virtual key(s) are confined to it. Detach them first, then {what}.")

    async def _moved(self, connection: Connection, before: Row, slug: str, now: int) -> None:
        if slug != before["endpoint_slug"]:
            await self._claim(connection, before["id"], slug)
            await self._end_grants(connection, before["endpoint_slug"], now)

    async def _claim(self, connection: Connection, virtual_mcp_id: str, slug: str) -> None:
        await self._queries.leave_slug(connection, id=virtual_mcp_id, endpoint_slug=slug)
        if await self._queries.claim_slug(connection, id=virtual_mcp_id, endpoint_slug=slug) is None:
            raise _taken("endpoint_slug")

    async def _end_grants(self, connection: Connection, slug: str, now: int) -> None:
        """Whatever gets this address next is something else than what people allowed."""
        await self._queries.end_grants(connection, path=f"/mcp/{slug}", now=now)


def names_of(text: str) -> tuple[str, ...]:
    return msgspec.json.decode(text, type=tuple[str, ...])


def virtual_mcp_of(row: Row) -> VirtualMcp:
    configs = msgspec.json.decode(row["mcp_configs"], type=tuple[McpConfig, ...])
    return VirtualMcp(**{**dict(row), "mcp_configs": configs, "disabled": bool(row["disabled"])})


def _row(virtual_mcp: VirtualMcp) -> dict[str, Any]:
    return asdict(virtual_mcp) | {"mcp_configs": _encoded(virtual_mcp.mcp_configs)}


def _encoded(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def _taken(param: str) -> VirtualMcpTaken:
    return VirtualMcpTaken(_NAME_TAKEN if param == "name" else _SLUG_TAKEN, param=param)
