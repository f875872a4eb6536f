"""The upstreams' store in SQL."""

from dataclasses import asdict

import msgspec

from bifrost.storage.database import Database, Row, queries
from bifrost.upstreams.models import Upstream


class SqlUpstreamStore:
    def __init__(self, database: Database) -> None:
        self._database = database
        self._queries = queries("upstreams", database.driver)

    async def add_upstream(self, upstream: Upstream, now: int) -> bool:
        tools = msgspec.json.encode(upstream.tools_to_execute).decode()
        row = asdict(upstream) | {"tools_to_execute": tools, "created_at": now, "updated_at": now}
        async with self._database.transaction() as connection:
            return await self._queries.add_upstream(connection, **row) is not None

    async def upstreams(self) -> list[Upstream]:
        async with self._database.read() as connection:
            return [_upstream(row) async for row in self._queries.upstreams(connection)]


def _upstream(row: Row) -> Upstream:
    values = dict(row)
    return Upstream(
        **{
            **values,
            "tools_to_execute": msgspec.json.decode(values["tools_to_execute"], type=tuple[str, ...]),
            "allow_on_all_virtual_keys": bool(values["allow_on_all_virtual_keys"]),
            "disabled": bool(values["disabled"]),
        }
    )
