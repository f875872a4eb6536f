"""The upstreams' store in SQL."""

from dataclasses import asdict
from typing import Any

import msgspec

from bifrost.http.tls import Trust
from bifrost.storage.database import Connection, Database, Queries, Row, queries
from bifrost.upstreams.errors import UpstreamInvalid
from bifrost.upstreams.models import Change, StdioConfig, Upstream, UpstreamState

_IN_JSON: dict[str, Any] = {
    "tools_to_execute": tuple[str, ...],
    "stdio_config": StdioConfig,
    "per_user_header_keys": tuple[str, ...],
    "allowed_extra_headers": tuple[str, ...],
    "tls_config": Trust,
    "tool_pricing": dict[str, float],
}
_FLAGS = ("allow_on_all_virtual_keys", "is_ping_available", "disabled", "vetted")
"""SQLite has no booleans."""

MOVED = "The service is at another place now, or its sign-in was set up anew. Connect it again."


class SqlUpstreamStore:
    def __init__(self, database: Database) -> None:
        self._database = database
        self._queries = queries("upstreams", database.driver)

    async def named(self, name: str) -> Upstream | None:
        async with self._database.read() as connection:
            row = await self._queries.upstream_named(connection, name=name)
        return upstream_of(row) if row else None

    async def add_upstream(self, upstream: Upstream, config_mac: str, now: int) -> bool:
        async with self._database.transaction() as connection:
            return await insert(self._queries, connection, upstream, config_mac, now, pending=False)

    async def reconfigure_upstream(self, upstream: Upstream, config_mac: str, change: Change, now: int) -> bool:
        async with self._database.transaction() as connection:
            row = row_of(upstream, config_mac, now)
            await self._queries.drop_pending(connection, **row)
            owner = await self._queries.slug_owner(connection, **row)
            if owner is not None:
                raise UpstreamInvalid(
                    f"The endpoint_slug or oauth_config_id of {upstream.name!r} is still that of {owner!r}; "
                    "change one of them first.",
                    param="endpoint_slug",
                )
            if await self._queries.reconfigure_upstream(connection, **row) is None:
                return False
            if not await claim_slug(self._queries, connection, upstream, now):
                raise UpstreamInvalid(
                    f"The endpoint_slug of {upstream.name!r} is that of a virtual MCP; change one of them first.",
                    param="endpoint_slug",
                )
            await follow(self._queries, connection, upstream, change, now)
        return True

    async def upstreams(self) -> list[Upstream]:
        async with self._database.read() as connection:
            return [upstream_of(row) async for row in self._queries.upstreams(connection)]

    async def note_state(self, upstream: Upstream, state: UpstreamState, reason: str, now: int) -> bool:  # noqa: ARG002 - the interface
        async with self._database.transaction() as connection:
            noted = await self._queries.note_state(
                connection,
                id=upstream.id,
                connection_string=upstream.connection_string,
                state=state,
                reason=reason,
            )
        return noted is not None


async def insert(
    named: Queries, connection: Connection, upstream: Upstream, config_mac: str, now: int, *, pending: bool
) -> bool:
    """Inside a transaction. Others of this name or address that nobody has completed make room."""
    row = row_of(upstream, config_mac, now) | {"pending": pending}
    await named.drop_pending(connection, **row)
    if await named.add_upstream(connection, **row) is None:
        return False
    if await claim_slug(named, connection, upstream, now):
        return True
    await named.take_back(connection, id=upstream.id)  # a virtual MCP has its address
    return False


async def claim_slug(named: Queries, connection: Connection, upstream: Upstream, now: int) -> bool:
    """Inside a transaction: whether /mcp/{slug} is this upstream's now, and no virtual MCP's.

    What was granted for an address that it leaves ends.
    """
    wanted = {"id": upstream.id, "endpoint_slug": upstream.endpoint_slug}
    await named.end_grants_of_left_slugs(connection, **wanted, now=now)
    await named.leave_slug(connection, **wanted)
    return await named.claim_slug(connection, **wanted) is not None


async def follow(named: Queries, connection: Connection, upstream: Upstream, change: Change, now: int) -> None:
    """Inside the transaction that changes it: what was meant for the old place is of no use at the new one."""
    if change == "settings":
        return
    facts = {"id": upstream.id, "state": "needs_reauth", "reason": MOVED, "now": now}
    credentials = named.drop_credentials if change == "auth_type" else named.invalidate_credentials
    steps = (named.drop_registrations, named.drop_sign_ins, named.drop_set_up_of, credentials)
    for step in steps:
        await step(connection, **facts)


def row_of(upstream: Upstream, config_mac: str, now: int) -> dict[str, Any]:
    plain = asdict(upstream)
    texts = {member: msgspec.json.encode(plain[member]).decode() for member in _IN_JSON}
    return plain | texts | {"config_mac": config_mac, "created_at": now, "updated_at": now}


def upstream_of(row: Row) -> Upstream:
    """The other columns of the row are left alone."""
    values = {member: row[member] for member in Upstream.__dataclass_fields__}
    lists = {member: msgspec.json.decode(values[member], type=kind) for member, kind in _IN_JSON.items()}
    flags = {member: bool(values[member]) for member in _FLAGS}
    return Upstream(**{**values, **lists, **flags})
