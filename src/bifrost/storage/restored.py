"""Everything of a database that was put back which is good once or for a while, ended: first what could make more.

What there may be a million of goes in steps, each a transaction, because one statement for all of it takes longer than
a statement may. Stopped half-way, it is done again and goes on.
"""

from collections.abc import AsyncIterator, Callable

from bifrost.storage.database import Database, Row, queries

ROWS_AT_ONCE = 10_000
"""Some tenths of a second: fewer would look through those that are done too often."""


class SqlRestoredStore:
    def __init__(self, database: Database) -> None:
        self._database = database
        self._queries = queries("restored", database.driver)

    async def end_everything(self, reason: str, now: int) -> int:
        await self._end_what_is_under_way(now)
        ended = await self._in_steps(self._queries.end_grants, reason=reason, now=now)
        await self._in_steps(self._queries.forget_consents)
        await self._in_steps(self._queries.forget_browsers)
        return ended

    async def _end_what_is_under_way(self, now: int) -> None:
        """After this no sign-in of then leads to a grant any more."""
        async with self._database.transaction() as connection:
            await self._queries.finish_every_flow(connection, now=now)
            for forget in (
                self._queries.forget_pushed_requests,
                self._queries.forget_sign_ins,
                self._queries.forget_links,
                self._queries.end_every_session,
                self._queries.forget_set_up_links,
            ):
                await forget(connection)

    async def _in_steps(self, query: Callable[..., AsyncIterator[Row]], **parameters: object) -> int:
        """How many rows it were in all."""
        done = 0
        while step := await self._step(query, parameters):
            done += step
        return done

    async def _step(self, query: Callable[..., AsyncIterator[Row]], parameters: dict[str, object]) -> int:
        async with self._database.transaction() as connection:
            return len([row async for row in query(connection, limit=ROWS_AT_ONCE, **parameters)])
