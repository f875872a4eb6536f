"""Letters between processes, in SQL."""

from dataclasses import asdict

from bifrost.gateway.store import Envelope, Letter
from bifrost.storage.database import Database, queries


class SqlLetterStore:
    def __init__(self, database: Database) -> None:
        self._database = database
        self._queries = queries("letters", database.driver)

    async def add_letter(self, letter: Letter) -> None:
        async with self._database.transaction() as connection:
            await self._queries.add_letter(connection, **asdict(letter))

    async def letters(self, now: int) -> list[Letter]:
        async with self._database.read() as connection:
            return [Letter(**row) async for row in self._queries.letters(connection, now=now)]

    async def envelopes(self, since: int, now: int) -> list[Envelope]:
        async with self._database.read() as connection:
            return [Envelope(**row) async for row in self._queries.envelopes(connection, since=since, now=now)]

    async def opened(self, letter_ids: list[str]) -> list[Letter]:
        if not letter_ids:
            return []
        async with self._database.read() as connection:
            rows = [await self._queries.letter(connection, id=letter_id) for letter_id in letter_ids]
        return [Letter(**row) for row in rows if row is not None]

    async def sweep(self, before: int) -> None:
        async with self._database.transaction() as connection:
            await self._queries.sweep(connection, before=before)
