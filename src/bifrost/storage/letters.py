"""Letters between processes, in SQL."""

from dataclasses import asdict

from bifrost.gateway.store import Letter
from bifrost.storage.database import Database, queries


class SqlLetterStore:
    def __init__(self, database: Database) -> None:
        self._database = database
        self._queries = queries("letters", database.driver)

    async def add_letter(self, letter: Letter) -> None:
        async with self._database.transaction() as connection:
            await self._queries.add_letter(connection, **asdict(letter))

    async def letters(self, since: int, now: int) -> list[Letter]:
        async with self._database.read() as connection:
            return [Letter(**row) async for row in self._queries.letters(connection, since=since, now=now)]

    async def sweep(self, before: int) -> None:
        async with self._database.transaction() as connection:
            await self._queries.sweep(connection, before=before)
