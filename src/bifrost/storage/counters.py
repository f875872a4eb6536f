"""Counters that all processes share, in SQL."""

from bifrost.storage.database import Connection, Database, queries


class SqlCounterStore:
    def __init__(self, database: Database) -> None:
        self._database = database
        self._queries = queries("counters", database.driver)

    async def count(self, bucket: str, add: int, expires_at: int) -> int:
        async with self._database.transaction() as connection:
            total: int = await self._queries.count_up(connection, bucket=bucket, add=add, expires_at=expires_at)
        return total

    async def sweep(self, connection: Connection, before: int) -> None:
        await self._queries.sweep_counters(connection, before=before)
