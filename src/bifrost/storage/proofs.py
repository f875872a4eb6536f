"""Used proofs of possession in SQL."""

from bifrost.storage import steps
from bifrost.storage.database import Database, queries


class SqlProofStore:
    def __init__(self, database: Database) -> None:
        self._database = database
        self._queries = queries("proofs", database.driver)

    async def use_proof(self, proof_hash: str, expires_at: int) -> bool:
        async with self._database.transaction() as connection:
            used = await self._queries.use_proof(connection, proof_hash=proof_hash, expires_at=expires_at)
        return used is not None

    async def drop_proofs(self, before: int) -> None:
        await steps.delete(self._database, self._queries.drop_proofs, before)
