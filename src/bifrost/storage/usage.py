"""Windows of limits and budgets, in SQL."""

from bifrost.governance.usage import Take, Window, WindowFull
from bifrost.storage.database import Connection, Database, queries


class SqlUsageStore:
    def __init__(self, database: Database) -> None:
        self._database = database
        self._queries = queries("usage", database.driver)

    async def take(self, key_id: str, takes: tuple[Take, ...], now: int) -> tuple[Window, ...]:
        async with self._database.transaction() as connection:
            return tuple([await self._take(connection, key_id, take, now) for take in takes])

    async def _take(self, connection: Connection, key_id: str, take: Take, now: int) -> Window:
        row = await self._queries.take(
            connection,
            key_id=key_id,
            name=take.name,
            amount=take.amount,
            limit=take.limit,
            resets_at=take.resets_at,
            now=now,
        )
        if row is not None:
            return Window(name=take.name, used=row["used"], resets_at=row["resets_at"])
        full = await self._queries.window(connection, key_id=key_id, name=take.name, now=now)
        # a call that costs more than the whole limit is too much for a window that nobody has begun, too
        raise WindowFull(Window(**dict(full)) if full else Window(name=take.name, used=0, resets_at=take.resets_at))

    async def give_back(self, key_id: str, amount: int, window: Window) -> None:
        async with self._database.transaction() as connection:
            await self._queries.give_back(
                connection, key_id=key_id, name=window.name, amount=amount, resets_at=window.resets_at
            )

    async def windows(self, key_id: str, now: int) -> list[Window]:
        async with self._database.read() as connection:
            return [Window(**dict(row)) async for row in self._queries.windows(connection, key_id=key_id, now=now)]

    async def sweep(self, before: int) -> None:
        async with self._database.transaction() as connection:
            await self._queries.sweep(connection, before=before)
