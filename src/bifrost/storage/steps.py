"""Deleting much: in small steps, each a transaction, so that nobody waits long for the one before."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

from bifrost.storage.database import Database, Row

ROWS_AT_ONCE = 500
"""Some milliseconds."""


async def delete(database: Database, query: Callable[..., AsyncIterator[Row]], before: int) -> None:
    """Everything of before; the query deletes at most `limit` rows and returns them. Raises StorageUnavailable."""
    while await _step(database, query, before):
        pass


async def _step(database: Database, query: Callable[..., Any], before: int) -> bool:
    """Whether there may be more."""
    await asyncio.sleep(0)  # it is everybody else's turn
    async with database.transaction() as connection:
        gone = query(connection, before=before, limit=ROWS_AT_ONCE)
        return len([row async for row in gone]) == ROWS_AT_ONCE
