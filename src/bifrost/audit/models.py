"""Rows of the audit trail."""

from collections.abc import Mapping
from dataclasses import dataclass

import msgspec

from bifrost.base.events import Result


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where an event came from. `event_id` is that of the request, as in the answer and in every log line."""

    event_id: str
    client_address: str
    actor: str


class AuditRow(msgspec.Struct, frozen=True, kw_only=True):
    """`at` in milliseconds."""

    id: str
    at: int
    event: str
    actor: str
    target: str
    result: Result
    client_address: str
    event_id: str
    details: Mapping[str, str] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditFilter:
    """None of it set: everything. Times in milliseconds, `until` itself is not included."""

    event: str = ""
    actor: str = ""
    target: str = ""
    result: str = ""
    event_id: str = ""
    since: int = 0
    until: int = 2**62
