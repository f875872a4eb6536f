"""The upstreams' store in SQL."""

from dataclasses import asdict
from typing import Any

import msgspec

from bifrost.storage.database import Database, Row, queries
from bifrost.upstreams.errors import UpstreamInvalid
from bifrost.upstreams.models import StdioConfig, TlsConfig, Upstream

_IN_JSON: dict[str, Any] = {
    "tools_to_execute": tuple[str, ...],
    "stdio_config": StdioConfig,
    "per_user_header_keys": tuple[str, ...],
    "allowed_extra_headers": tuple[str, ...],
    "tls_config": TlsConfig,
}
_FLAGS = ("allow_on_all_virtual_keys", "is_ping_available", "disabled")
"""SQLite has no booleans."""


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
            row = _row(upstream, config_mac, now)
            owner = await self._queries.slug_owner(connection, **row)
            if owner is not None:
                raise UpstreamInvalid(
                    f"The endpoint_slug or oauth_config_id of {upstream.name!r} is still that of {owner!r}; "
                    "change one of them first.",
                    param="endpoint_slug",
                )
            return await self._queries.reconfigure_upstream(connection, **row) is not None

    async def upstreams(self) -> list[Upstream]:
        async with self._database.read() as connection:
            return [_upstream(row) async for row in self._queries.upstreams(connection)]


def _row(upstream: Upstream, config_mac: str, now: int) -> dict[str, Any]:
    plain = asdict(upstream)
    texts = {member: msgspec.json.encode(plain[member]).decode() for member in _IN_JSON}
    return plain | texts | {"config_mac": config_mac, "created_at": now, "updated_at": now}


def _upstream(row: Row) -> Upstream:
    values = dict(row)
    lists = {member: msgspec.json.decode(values[member], type=kind) for member, kind in _IN_JSON.items()}
    flags = {member: bool(values[member]) for member in _FLAGS}
    return Upstream(**{**values, **lists, **flags})
