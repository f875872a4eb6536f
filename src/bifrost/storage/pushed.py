"""Pushed authorization requests in SQL."""

from bifrost.storage import steps
from bifrost.storage.database import Database, queries


class SqlPushedStore:
    def __init__(self, database: Database) -> None:
        self._database = database
        self._queries = queries("pushed", database.driver)

    async def add_pushed_request(self, name_hash: str, client_id: str, query: str, now: int, expires_at: int) -> None:
        async with self._database.transaction() as connection:
            await self._queries.add_pushed_request(
                connection, name_hash=name_hash, client_id=client_id, query=query, created_at=now, expires_at=expires_at
            )

    async def take_pushed_request(self, name_hash: str, client_id: str, now: int) -> str | None:
        async with self._database.transaction() as connection:
            row = await self._queries.take_pushed_request(connection, name_hash=name_hash, client_id=client_id, now=now)
        return str(row["query"]) if row else None

    async def drop_pushed_requests(self, before: int) -> None:
        await steps.delete(self._database, self._queries.drop_pushed_requests, before)
