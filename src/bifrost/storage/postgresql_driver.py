"""How aiosql talks to PostgreSQL here: as its own adapter does, on a connection that is at hand already.

Its own looks at every statement whether it was given a pool, which takes longer than some statements.
"""

from collections.abc import AsyncIterator, Mapping
from typing import Any, cast

import aiosql
from aiosql.adapters.asyncpg import AsyncPGAdapter

DRIVER = "bifrost-asyncpg"


class _Adapter(AsyncPGAdapter):
    """The operations of aiosql that our queries use: `` (many), `^` (one row), `$` (one value), `!` (nothing)."""

    async def select(
        self, connection: Any, name: str, sql: str, parameters: Mapping[str, Any], _record: object = None
    ) -> AsyncIterator[Any]:
        for row in await connection.fetch(sql, *self._ordered(name, parameters)):
            yield row

    async def select_one(
        self, connection: Any, name: str, sql: str, parameters: Mapping[str, Any], _record: object = None
    ) -> Any:
        return await connection.fetchrow(sql, *self._ordered(name, parameters))

    async def select_value(self, connection: Any, name: str, sql: str, parameters: Mapping[str, Any]) -> Any:
        return await connection.fetchval(sql, *self._ordered(name, parameters))

    async def insert_update_delete(self, connection: Any, name: str, sql: str, parameters: Mapping[str, Any]) -> None:
        await connection.fetch(sql, *self._ordered(name, parameters))

    def _ordered(self, name: str, parameters: Mapping[str, Any]) -> list[Any]:
        return [parameters[parameter] for parameter in self.var_sorted[name]]


aiosql.register_adapter(DRIVER, cast("Any", _Adapter))
