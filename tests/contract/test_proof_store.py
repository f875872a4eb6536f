"""Used DPoP proofs: the same on both databases, and for all processes."""

import asyncio

import pytest

from bifrost.storage.proofs import SqlProofStore
from bifrost.storage.steps import ROWS_AT_ONCE
from tests.contract._stores import NOW, opened

pytestmark = pytest.mark.anyio


async def test_of_processes_that_are_shown_one_proof_one_takes_it(database_url: str) -> None:
    """RFC 9449 §11.1: over all replicas exactly one."""
    async with opened(database_url) as mine, opened(database_url) as other:
        stores = [SqlProofStore(mine), SqlProofStore(other)]
        took = await asyncio.gather(*(store.use_proof("proof", NOW) for store in stores for _ in range(10)))
        assert sorted(took) == [False] * 19 + [True]
        assert await stores[0].use_proof("another", NOW)


async def test_only_what_has_expired_is_dropped(database_url: str) -> None:
    """docs/storage.md: a proof is remembered for as long as it could be used."""
    async with opened(database_url) as database:
        store = SqlProofStore(database)
        async with database.transaction() as connection:
            for number in range(ROWS_AT_ONCE + 7):
                await store._queries.use_proof(connection, proof_hash=f"old-{number}", expires_at=NOW)
        await store.use_proof("young", NOW + 1)
        await store.drop_proofs(NOW)
        assert not await store.use_proof("young", NOW + 1)
        assert await store.use_proof("old-0", NOW)
