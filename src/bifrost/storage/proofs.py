"""Used proofs of possession in SQL."""

import asyncio

from bifrost.storage.database import Database, queries

DROPPED_AT_ONCE = 500
"""Rows in one transaction; some milliseconds."""


class SqlProofStore:
    def __init__(self, database: Database) -> None:
        self._database = database
        self._queries = queries("proofs", database.driver)

    async def use_proof(self, proof_hash: str, expires_at: int) -> bool:
        async with self._database.transaction() as connection:
            used = await self._queries.use_proof(connection, proof_hash=proof_hash, expires_at=expires_at)
        return used is not None

    async def drop_proofs(self, before: int) -> None:
        while await self._dropped(before):
            pass

    async def _dropped(self, before: int) -> bool:
        """One step; whether there may be more."""
        await asyncio.sleep(0)  # it is everybody else's turn
        async with self._database.transaction() as connection:
            gone = self._queries.drop_proofs(connection, before=before, limit=DROPPED_AT_ONCE)
            return len([row async for row in gone]) == DROPPED_AT_ONCE
