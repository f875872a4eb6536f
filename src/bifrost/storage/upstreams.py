"""The upstreams' store in SQL."""

from dataclasses import asdict
from typing import Any

import msgspec

from bifrost.storage.database import Database, Row, queries
from bifrost.upstreams.errors import UpstreamInvalid
from bifrost.upstreams.models import Upstream


class SqlUpstreamStore:
    def __init__(self, database: Database) -> None:
        self._database = database
        self._queries = queries("upstreams", database.driver)

    async def upstream_id(self, name: str) -> str | None:
        async with self._database.read() as connection:
            found: str | None = await self._queries.upstream_id(connection, name=name)
        return found

    async def add_upstream(self, upstream: Upstream, config_mac: str, now: int) -> bool:
        async with self._database.transaction() as connection:
            return await self._queries.add_upstream(connection, **_row(upstream, config_mac, now)) is not None

    async def reconfigure_upstream(self, upstream: Upstream, config_mac: str, now: int) -> bool:
        async with self._database.transaction() as connection:
            owner = await self._queries.slug_owner(
                connection, endpoint_slug=upstream.endpoint_slug, id=upstream.id, config_mac=config_mac
            )
            if owner is not None:
                raise UpstreamInvalid(
                    f"The endpoint_slug of {upstream.name!r} is still that of {owner!r}; change one of them first.",
                    param="endpoint_slug",
                )
            return await self._queries.reconfigure_upstream(connection, **_row(upstream, config_mac, now)) is not None

    async def upstreams(self) -> list[Upstream]:
        async with self._database.read() as connection:
            return [_upstream(row) async for row in self._queries.upstreams(connection)]


def _row(upstream: Upstream, config_mac: str, now: int) -> dict[str, Any]:
    tools = msgspec.json.encode(upstream.tools_to_execute).decode()
    return asdict(upstream) | {
        "tools_to_execute": tools,
        "config_mac": config_mac,
        "created_at": now,
        "updated_at": now,
    }


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
