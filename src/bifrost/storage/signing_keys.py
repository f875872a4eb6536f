"""Signing keys in SQL."""

from dataclasses import asdict

from bifrost.authserver.signing_keys import Ends, SigningKey
from bifrost.storage.database import Database, queries
from bifrost.storage.remembered import Remembered


class SqlSigningKeyStore:
    def __init__(self, database: Database) -> None:
        self._database = database
        self._queries = queries("signing_keys", database.driver)
        self._remembered = Remembered[list[SigningKey]](database)

    async def signing_keys(self) -> list[SigningKey]:
        return await self._remembered.row("all", self._all) or []

    async def add_signing_keys(self, keys: tuple[SigningKey, ...]) -> None:
        async with self._database.transaction() as connection:
            for key in keys:
                await self._queries.add_signing_key(connection, **asdict(key))
        self._remembered.forget("all")

    async def rotate_signing_key(self, old: SigningKey, fresh: SigningKey, *, now: int, ends: Ends) -> bool:
        async with self._database.transaction() as connection:
            # in this order: an algorithm has one key that signs and one that is next
            if await self._queries.retire_signing_key(connection, kid=old.kid, **asdict(ends)) is None:
                return False
            await self._queries.activate_signing_key(connection, alg=old.alg, now=now)
            await self._queries.add_signing_key(connection, **asdict(fresh))
        return True

    async def end_signing_keys(self, alg: str, ends: Ends) -> None:
        async with self._database.transaction() as connection:
            await self._queries.retire_signing_keys_of(connection, alg=alg, **asdict(ends))
            await self._queries.drop_next_signing_key(connection, alg=alg)

    async def replace_signing_keys(self, keys: tuple[SigningKey, ...]) -> None:
        async with self._database.transaction() as connection:
            await self._queries.drop_all_signing_keys(connection)
            for key in keys:
                await self._queries.add_signing_key(connection, **asdict(key))

    async def drop_signing_keys(self, now: int) -> None:
        async with self._database.transaction() as connection:
            await self._queries.drop_signing_keys(connection, now=now)

    async def _all(self) -> list[SigningKey] | None:
        """None while there are none, so that this is not kept."""
        async with self._database.read() as connection:
            return [SigningKey(**dict(row)) async for row in self._queries.signing_keys(connection)] or None
