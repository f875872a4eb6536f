"""People's credentials as they are listed, judged and ended, in SQL."""

from collections.abc import Sequence

from bifrost.storage.database import Connection, Database, Row, queries
from bifrost.storage.upstream_oauth import SqlUpstreamOAuthStore, basis
from bifrost.upstreams.accounts import Credential, CredentialState, Held, Owner
from bifrost.upstreams.credential_life import HeldQuery


class SqlHeldStore:
    def __init__(self, database: Database, accounts: SqlUpstreamOAuthStore) -> None:
        self._database = database
        self._accounts = accounts
        self._queries = queries("held", database.driver)

    async def held(self, query: HeldQuery) -> tuple[list[Held], int]:
        wanted = {
            "state": query.state,
            "upstream": query.upstream,
            "owner_kind": query.owner_kind,
            "owner_id": query.owner_id,
            "pattern": _pattern(query.search),
        }
        async with self._database.read() as connection:
            total: int = await self._queries.count_held(connection, **wanted)
            found = self._queries.held(connection, **wanted, limit=query.limit, offset=query.offset)
            return [_held(row) async for row in found], total

    async def held_by_id(self, credential_id: str) -> Held | None:
        async with self._database.read() as connection:
            row = await self._queries.held_by_id(connection, id=credential_id)
        return _held(row) if row else None

    async def settle_held(self, held: Held, state: CredentialState, now: int) -> bool:
        async with self._database.transaction() as connection:
            settled = await self._queries.settle_held(
                connection, id=held.id, version=held.version, was=held.state, state=state, now=now
            )
        return settled is not None

    async def take(self, *, upstream_id: str = "", owner: Owner | None = None) -> list[Credential]:
        if not upstream_id and owner is None:
            raise ValueError("of an upstream, of an owner, or of both")
        async with self._database.transaction() as connection:
            return await self._take(connection, upstream_id, owner)

    async def take_first(self, upstream_id: str, owners: Sequence[Owner]) -> Credential | None:
        async with self._database.transaction() as connection:
            for owner in owners:
                if taken := await self._take(connection, upstream_id, owner):
                    return taken[0]
        return None

    async def _take(self, connection: Connection, upstream_id: str, owner: Owner | None) -> list[Credential]:
        taken = self._queries.take(
            connection,
            upstream_id=upstream_id,
            owner_kind=owner.kind if owner else "",
            owner_id=owner.id if owner else "",
        )
        return [self._accounts.opened(row) async for row in taken]

    async def take_ended(self, now: int) -> list[Credential]:
        async with self._database.transaction() as connection:
            taken = self._queries.take_ended(connection, now=now)
            return [self._accounts.opened(row) async for row in taken]


def _pattern(search: str) -> str:
    """Anywhere in a name; the wildcards of LIKE are letters like any other."""
    escaped = search.lower()
    for wildcard in "\\%_":
        escaped = escaped.replace(wildcard, f"\\{wildcard}")
    return f"%{escaped}%"


def _held(row: Row) -> Held:
    return Held(
        id=row["id"],
        upstream_id=row["upstream_id"],
        upstream_name=row["upstream_name"],
        owner=Owner(row["owner_kind"], row["owner_id"]),
        owner_name=row["owner_name"],
        basis=basis(row),
        state=row["state"],
        reason=row["reason"],
        version=row["version"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
    )
