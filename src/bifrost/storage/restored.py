"""Everything of a database that was put back which is good once or for a while, ended in one transaction."""

from bifrost.storage.database import Database, queries


class SqlRestoredStore:
    def __init__(self, database: Database) -> None:
        self._database = database
        self._queries = queries("restored", database.driver)

    async def end_everything(self, reason: str, now: int) -> int:
        async with self._database.transaction() as connection:
            ended = [row async for row in self._queries.end_every_grant(connection, reason=reason, now=now)]
            await self._queries.finish_every_flow(connection, now=now)
            for forget in (
                self._queries.forget_pushed_requests,
                self._queries.forget_sign_ins,
                self._queries.forget_links,
                self._queries.forget_consents,
                self._queries.forget_browsers,
                self._queries.end_every_session,
                self._queries.forget_set_up_links,
            ):
                await forget(connection)
        return len(ended)
