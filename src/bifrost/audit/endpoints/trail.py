"""`GET /api/audit` (contract §9)."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Literal

from msgspec import Meta, Struct
from starlette.requests import Request

from bifrost.audit.models import AuditFilter, AuditRow
from bifrost.audit.trail import Trail
from bifrost.base.clock import SECOND
from bifrost.base.errors import Invalid
from bifrost.http.api import rfc3339
from bifrost.http.commands import Paging

LAST_MILLISECOND = 2**62
_Text = Annotated[str, Meta(max_length=500)]
_Time = Annotated[datetime, Meta(tz=True)]


class AuditQuery(Paging, frozen=True, kw_only=True):
    event: Annotated[_Text, Meta(description="Only this event, for example `consent_given`.")] = ""
    actor: Annotated[_Text, Meta(description="Only what this one did, for example `vk:vk-1`.")] = ""
    target: Annotated[_Text, Meta(description="Only what was done to this, for example a grant's id.")] = ""
    result: Annotated[Literal["", "success", "failure"], Meta(description="Only what came out so.")] = ""
    event_id: Annotated[_Text, Meta(description="Only what this request caused.")] = ""
    since: Annotated[_Time | None, Meta(description="RFC 3339, with an offset.")] = None
    until: Annotated[_Time | None, Meta(description="RFC 3339, not included.")] = None


class AuditEvent(Struct, frozen=True, kw_only=True):
    id: str
    at: str
    event: str
    actor: Annotated[str, Meta(description="`administrator:…`, `vk:…`, `session:…`, `client:…`, `command_line`.")]
    target: str
    result: Literal["success", "failure"]
    client_address: str
    event_id: Annotated[str, Meta(description="Of the request, as in X-Request-Id and in every log line.")]
    details: Mapping[str, str]


class AuditAnswer(Struct, frozen=True, kw_only=True):
    events: list[AuditEvent]
    count: int
    total_count: int
    limit: int
    offset: int


@dataclass(frozen=True, slots=True)
class AuditEndpoint:
    trail: Trail
    names: Callable[[], Collection[str]]
    """Of all events that there are."""

    async def __call__(self, _request: Request, wanted: AuditQuery) -> AuditAnswer:
        """Raises Invalid: an empty list would say that the event has never been."""
        if wanted.event and wanted.event not in (names := self.names()):
            known = ", ".join(sorted(names))
            raise Invalid(f"There is no event named {wanted.event[:100]}; there are {known}.", param="event")
        wishes = AuditFilter(
            event=wanted.event,
            actor=wanted.actor,
            target=wanted.target,
            result=wanted.result,
            event_id=wanted.event_id,
            since=_milliseconds(wanted.since, "since") if wanted.since else 0,
            until=_milliseconds(wanted.until, "until") if wanted.until else LAST_MILLISECOND,
        )
        rows, total = await self.trail.search(wishes, limit=wanted.limit, offset=wanted.offset)
        return AuditAnswer(
            events=[_event(row) for row in rows],
            count=len(rows),
            total_count=total,
            limit=wanted.limit,
            offset=wanted.offset,
        )


def _event(row: AuditRow) -> AuditEvent:
    return AuditEvent(
        id=row.id,
        at=rfc3339(row.at),
        event=row.event,
        actor=row.actor,
        target=row.target,
        result=row.result,
        client_address=row.client_address,
        event_id=row.event_id,
        details=row.details,
    )


def _milliseconds(time: datetime, param: str) -> int:
    """Raises Invalid."""
    try:
        return int(time.timestamp() * SECOND)
    except (OverflowError, ValueError) as error:
        raise Invalid(f"The parameter {param} is out of range.", param=param) from error
