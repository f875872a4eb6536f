"""The audit trail in SQL. The database itself refuses to change or delete a row."""

from dataclasses import asdict
from typing import Any

import msgspec

from bifrost.audit.models import AuditFilter, AuditRow
from bifrost.storage.database import Connection, Database, Row, queries


class SqlAuditStore:
    def __init__(self, database: Database) -> None:
        self._database = database
        self._queries = queries("audit", database.driver)

    async def add_rows(self, rows: tuple[AuditRow, ...]) -> None:
        async with self._database.transaction(unmarked=True) as connection:
            for row in rows:
                await self.add(connection, row)

    async def add(self, connection: Connection, row: AuditRow) -> None:
        """Inside the transaction of what it tells of."""
        await self._queries.add_row(connection, **_columns(row))

    async def audit_rows(self, wanted: AuditFilter, *, limit: int, offset: int) -> tuple[list[AuditRow], int]:
        async with self._database.read() as connection:
            found = self._queries.audit_rows(connection, **asdict(wanted), limit=limit, offset=offset)
            rows = [_row(row) async for row in found]
            return rows, await self._queries.count_rows(connection, **asdict(wanted))


def _columns(row: AuditRow) -> dict[str, Any]:
    return {
        "id": row.id,
        "at": row.at,
        "event": row.event,
        "actor": row.actor,
        "target": row.target,
        "result": row.result,
        "client_address": row.client_address,
        "event_id": row.event_id,
        "details": msgspec.json.encode(row.details).decode(),
    }


def _row(row: Row) -> AuditRow:
    values = dict(row)
    return AuditRow(**(values | {"details": msgspec.json.decode(values["details"], type=dict[str, str])}))
