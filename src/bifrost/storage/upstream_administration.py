"""Administering upstreams, in SQL: changes, sign-ins of administrators, and the tools that were seen."""

from typing import Any

from bifrost.base.clock import SECOND
from bifrost.storage.database import Connection, Database, Row, queries
from bifrost.storage.upstream_oauth import SqlUpstreamOAuthStore
from bifrost.storage.upstreams import claim_slug, follow, insert, row_of, upstream_of
from bifrost.upstreams.accounts import Owner, setup_owner
from bifrost.upstreams.administration import (
    Discovery,
    Drift,
    KnownTool,
    ManagedUpstream,
    SetUp,
    SetUpState,
    Tool,
    list_hash,
)
from bifrost.upstreams.models import Change, Upstream

GONE_TOOLS_MILLISECONDS = 30 * 86_400 * SECOND
"""How long a tool that is gone is still shown to administrators."""


class _OverError(Exception):
    """Nothing of a transaction is kept: what it was for is over."""


class SqlUpstreamAdministrationStore:
    def __init__(self, database: Database, accounts: SqlUpstreamOAuthStore) -> None:
        self._database = database
        self._accounts = accounts
        self._of_upstreams = queries("upstreams", database.driver)
        self._queries = queries("upstream_administration", database.driver)

    async def managed(self) -> list[ManagedUpstream]:
        async with self._database.read() as connection:
            return [_managed(row) async for row in self._of_upstreams.managed(connection)]

    async def managed_one(self, *, upstream_id: str = "", oauth_config_id: str = "") -> ManagedUpstream | None:
        async with self._database.read() as connection:
            row = await self._of_upstreams.managed_one(connection, id=upstream_id, oauth_config_id=oauth_config_id)
        return _managed(row) if row else None

    async def add(self, upstream: Upstream, now: int, set_up: SetUp | None = None) -> str:
        async with self._database.transaction() as connection:
            if not await insert(self._of_upstreams, connection, upstream, "", now, pending=set_up is not None):
                return await self._taken(connection, upstream) or "client_id"
            if set_up:
                await self._begin(connection, set_up)
        return ""

    async def change(self, upstream: Upstream, revision: int, change: Change, now: int) -> str | None:
        row = row_of(upstream, "", now) | {"revision": revision}
        try:
            async with self._database.transaction() as connection:
                await self._of_upstreams.drop_pending(connection, **row)
                taken = await self._taken(connection, upstream)
                if taken:
                    return taken
                if await self._of_upstreams.change_upstream(connection, **row) is None:
                    return None
                if not await claim_slug(self._of_upstreams, connection, upstream, now):
                    raise _OverError
                await follow(self._of_upstreams, connection, upstream, change, now)
        except _OverError:
            return "endpoint_slug"  # a virtual MCP was faster
        return ""

    async def delete(self, upstream_id: str, now: int) -> bool:
        async with self._database.transaction() as connection:
            await self._of_upstreams.end_grants_of_left_slugs(connection, id=upstream_id, endpoint_slug="", now=now)
            return await self._of_upstreams.delete_upstream(connection, id=upstream_id) is not None

    async def forget_place(self, upstream: Upstream, now: int) -> None:
        async with self._database.transaction() as connection:
            await follow(self._of_upstreams, connection, upstream, "place", now)

    # sign-ins of administrators

    async def begin_set_up(self, set_up: SetUp) -> None:
        async with self._database.transaction() as connection:
            await self._begin(connection, set_up)

    async def set_up(self, oauth_config_id: str) -> SetUp | None:
        async with self._database.read() as connection:
            row = await self._queries.set_up(connection, oauth_config_id=oauth_config_id)
        return SetUp(**dict(row)) if row else None

    async def bind_set_up(self, attempt: str, browser_hash: str, now: int) -> bool:
        async with self._database.transaction() as connection:
            bound = await self._queries.bind_set_up(connection, attempt=attempt, browser_hash=browser_hash, now=now)
        return bound is not None

    async def end_set_up(self, attempt: str, state: SetUpState, reason: str, expires_at: int) -> bool:
        async with self._database.transaction() as connection:
            ended = await self._queries.end_set_up(
                connection, attempt=attempt, state=state, reason=reason, expires_at=expires_at
            )
        return ended is not None

    async def complete_set_up(
        self, set_up: SetUp, upstream: Upstream, owner: Owner, found: Discovery, now: int
    ) -> bool:
        try:
            async with self._database.transaction() as connection:
                # the upstream's row first, as everywhere: whoever changes or deletes it waits, or has been faster
                if await self._queries.go_live(connection, **_place(upstream)) is None:
                    raise _OverError
                if await self._queries.complete_set_up(connection, attempt=set_up.attempt, now=now) is None:
                    raise _OverError
                await self._forget(connection, upstream.id, owner)
                await self._accounts.move_credentials(connection, setup_owner(set_up.attempt), owner, now)
                await self._keep_tools(connection, upstream, found.tools, now)
                await self._of_upstreams.note_state(
                    connection, **_place(upstream), state=found.state, reason=found.reason
                )
        except _OverError:
            return False
        return True

    async def cancel_set_up(self, upstream_id: str, owner: Owner) -> None:
        async with self._database.transaction() as connection:
            if await self._queries.drop_pending_upstream(connection, id=upstream_id) is None:
                await self._queries.drop_set_up(connection, upstream_id=upstream_id)
                await self._forget(connection, upstream_id, owner)

    # tools and checks

    async def known_tools(self, upstream_id: str) -> list[KnownTool]:
        async with self._database.read() as connection:
            return await self._known(connection, upstream_id)

    async def keep_tools(self, upstream: Upstream, tools: tuple[Tool, ...], now: int) -> Drift:
        async with self._database.transaction() as connection:
            return await self._keep_tools(connection, upstream, tools, now)

    async def claim_check(self, upstream_id: str, until: int, now: int) -> bool:
        async with self._database.transaction() as connection:
            return await self._queries.claim_check(connection, id=upstream_id, until=until, now=now) is not None

    async def check_done(self, upstream_id: str, until: int, due: int) -> None:
        async with self._database.transaction() as connection:
            await self._queries.check_done(connection, id=upstream_id, until=until, due=due)

    async def sweep(self, before: int) -> None:
        """Pending upstreams go as soon as their sign-in has expired, the rest when it is old."""
        async with self._database.transaction() as connection:
            for step in (
                self._queries.sweep_pending,
                self._queries.sweep_set_ups,
                self._queries.sweep_set_up_credentials,
            ):
                await step(connection, before=before)
            await self._queries.forget_gone_tools(connection, before=before - GONE_TOOLS_MILLISECONDS)

    async def _begin(self, connection: Connection, set_up: SetUp) -> None:
        await self._queries.begin_set_up(
            connection,
            oauth_config_id=set_up.oauth_config_id,
            upstream_id=set_up.upstream_id,
            attempt=set_up.attempt,
            created_at=set_up.created_at,
            expires_at=set_up.expires_at,
        )

    async def _forget(self, connection: Connection, upstream_id: str, owner: Owner) -> None:
        await self._queries.forget_credential(
            connection, upstream_id=upstream_id, owner_kind=owner.kind, owner_id=owner.id
        )

    async def _taken(self, connection: Connection, upstream: Upstream) -> str:
        """The member in which another upstream stands in the way; empty when none does."""
        row = row_of(upstream, "", 0)
        other = await self._of_upstreams.taken(connection, **row)
        if other is None:
            return "endpoint_slug" if await self._of_upstreams.slug_of_virtual_mcp(connection, **row) else ""
        return next(member for member in ("name", "endpoint_slug", "oauth_config_id") if other[member] == row[member])

    async def _known(self, connection: Connection, upstream_id: str) -> list[KnownTool]:
        found = self._queries.known_tools(connection, upstream_id=upstream_id)
        return [_known_tool(row) async for row in found]

    async def _keep_tools(self, connection: Connection, upstream: Upstream, tools: tuple[Tool, ...], now: int) -> Drift:
        """Nothing is kept of an upstream that has moved meanwhile, or is gone."""
        hashed = list_hash(tools)
        if await self._queries.tools_seen(connection, **_place(upstream), hash=hashed, now=now) is None:
            return Drift()
        before = {known.tool.name: known for known in await self._known(connection, upstream.id)}
        present = {name: known for name, known in before.items() if known.gone_at is None}
        for position, tool in enumerate(tools):
            await self._queries.keep_tool(
                connection,
                upstream_id=upstream.id,
                name=tool.name,
                position=position,
                definition=tool.definition,
                hash=tool.hash,
                now=now,
            )
        drift = _drift({name: known.tool for name, known in present.items()}, {tool.name: tool for tool in tools})
        for name in drift.removed:
            await self._queries.tool_gone(connection, upstream_id=upstream.id, name=name, now=now)
        return drift


def _drift(before: dict[str, Tool], after: dict[str, Tool]) -> Drift:
    return Drift(
        added=tuple(name for name in after if name not in before),
        changed=tuple(name for name in after if name in before and before[name].hash != after[name].hash),
        removed=tuple(name for name in before if name not in after),
    )


def _place(upstream: Upstream) -> dict[str, Any]:
    return {"id": upstream.id, "upstream_id": upstream.id, "connection_string": upstream.connection_string}


def _managed(row: Row) -> ManagedUpstream:
    return ManagedUpstream(
        upstream=upstream_of(row),
        pending=bool(row["pending"]),
        revision=row["revision"],
        from_file=bool(row["config_mac"]),
        created_at=row["created_at"],
        updated_at=row["updated_at"],
        tools_seen_at=row["tools_seen_at"],
        tools_hash=row["tools_hash"],
        check_due_at=row["check_due_at"],
    )


def _known_tool(row: Row) -> KnownTool:
    return KnownTool(
        tool=Tool(name=row["name"], definition=row["definition"], hash=row["hash"]),
        discovered_at=row["discovered_at"],
        changed_at=row["changed_at"],
        gone_at=row["gone_at"],
    )
