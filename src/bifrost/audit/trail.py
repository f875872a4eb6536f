"""Events become rows."""

from collections.abc import Sequence
from dataclasses import dataclass

import structlog

from bifrost.audit.models import AuditFilter, AuditRow, Origin
from bifrost.audit.store import AuditStore
from bifrost.base import ids
from bifrost.base.clock import Clock
from bifrost.base.errors import StorageFault
from bifrost.base.events import Event

COMMAND_LINE = Origin(event_id="", client_address="", actor="command_line")
CONFIGURATION = Origin(event_id="", client_address="", actor="configuration")
MAX_CHARACTERS = 500
"""Of any text: names that clients give themselves end up here."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Trail:
    store: AuditStore
    clock: Clock

    async def record(self, events: Sequence[Event], origin: Origin) -> None:
        """Keep them. What happened cannot be undone any more, so storage that fails just now is told to the log."""
        if not events:
            return
        rows = tuple(row_of(event, origin, self.clock.now()) for event in events)
        try:
            await self.store.add_rows(rows)
        except StorageFault:
            log.exception(
                "audit_not_written", events=[event.name for event in events], targets=[row.target for row in rows]
            )

    async def search(self, wanted: AuditFilter, *, limit: int, offset: int) -> tuple[list[AuditRow], int]:
        """A page, the newest first, and how many there are altogether."""
        return await self.store.audit_rows(wanted, limit=limit, offset=offset)


def row_of(event: Event, origin: Origin, at: int) -> AuditRow:
    """For whoever writes it in the transaction of what it tells of; `Trail.record` is for after that."""
    return AuditRow(
        id=ids.new_id("aud_"),
        at=at,
        event=event.name,
        actor=_cut(event.actor or origin.actor),
        target=_cut(event.target),
        result=event.result,
        client_address=_cut(origin.client_address),
        event_id=origin.event_id,
        details={name: _cut(value) for name, value in event.details.items()},
    )


def _cut(text: str) -> str:
    return text[:MAX_CHARACTERS]
