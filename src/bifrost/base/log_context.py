"""What every log line of a request says beside its own words: under which id, and by whose hand."""

from collections.abc import Mapping, MutableMapping
from contextvars import ContextVar
from typing import Any

import structlog

_NOTHING: dict[str, str] = {}
_facts: ContextVar[dict[str, str]] = ContextVar("bifrost_log_context", default=_NOTHING)


class about:  # noqa: N801 - read as a word after `with`
    """The facts of what happens inside, and in the tasks that begin there; nothing of what is around it."""

    def __init__(self, **facts: str) -> None:
        self._facts = facts

    def __enter__(self) -> None:
        self._before = _facts.set(self._facts)

    def __exit__(self, *_error: object) -> None:
        _facts.reset(self._before)


def add(**facts: str) -> None:
    """What turned out meanwhile. Outside of a request there is nobody whom it could be about."""
    kept = _facts.get()
    if kept is not _NOTHING:
        kept.update(facts)


def facts() -> Mapping[str, str]:
    return _facts.get()


def bound_logger() -> Any:
    """For what says something at every request: the usual ones look their class up anew with every line.

    It is as logging is set up now, so it is for objects that are made after that.
    """
    return structlog.get_logger().bind()


def merge(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """A processor of structlog. What a line says itself wins."""
    return {**_facts.get(), **event}
