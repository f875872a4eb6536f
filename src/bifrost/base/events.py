"""What happened, for whoever has to know later: use-cases say it here, and a recorder around the request keeps it.

Outside of a recorder nothing is kept, so that a use-case can say what it does wherever it runs.
"""

from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Literal

Result = Literal["success", "failure"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """`name` is stable snake_case. `actor` and `target` are ids, like `vk:vk-1` or `grant_x`; never a secret."""

    name: str
    actor: str = ""
    """Empty: whoever the request turned out to be from."""
    target: str = ""
    result: Result = "success"
    details: Mapping[str, str] = field(default_factory=dict)


_kept: ContextVar[list[Event] | None] = ContextVar("bifrost_events", default=None)


def tell(name: str, *, actor: str = "", target: str = "", result: Result = "success", **details: str) -> None:
    """Hand an event to the recorder, if there is one."""
    kept = _kept.get()
    if kept is not None:
        kept.append(Event(name=name, actor=actor, target=target, result=result, details=details))


class heard:  # noqa: N801 - read as a word after `with`
    """The events that are told inside, in their order."""

    def __enter__(self) -> list[Event]:
        events: list[Event] = []
        self._before = _kept.set(events)
        return events

    def __exit__(self, *_error: object) -> None:
        _kept.reset(self._before)
