"""Structured logs on stderr, one JSON object a line, with secrets taken out before anything is written."""

import functools
import io
import json
import logging
import os
import re
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, TextIO, cast

import msgspec
import structlog
from structlog.types import EventDict, Processor, WrappedLogger

from bifrost.base import log_context

_SECRET_NAMES = re.compile(
    r"authorization|cookie|password|secret|verifier|assertion|^code$|^state$|^token$|[_-]token$|^key$|[_-]key$|^value$"
    r"|^x-bf-vk$|^x-bf-mcp-session-id$",
    re.IGNORECASE,
)
_SECRET_VALUES = re.compile(
    r"(?:sk-bf-|bf(?:at|rt|ac|cs|ad|as|su)_)[A-Za-z0-9_-]{6,}"
    r"|(?<![A-Za-z0-9_-])(?>[A-Za-z0-9_-]*?eyJ)[A-Za-z0-9_-]{8,}+\.[A-Za-z0-9_-]++\.[A-Za-z0-9_-]*"
    r"|(?i:bearer)\s+\S+|(?i:basic)\s+[A-Za-z0-9+/=]{8,}"
)
"""A JWT from the beginning of its word: looked for from each place that looks like one, a long one would take long."""

_IN_SECRETS = ("bf", "eyj", "bearer", "basic")
"""Of these, in lower case, every secret that is known by its form has one; most lines have none."""

_HIDDEN = "…"
MAX_CHARACTERS = 2_000
MAX_TRACEBACK_CHARACTERS = 8_000


def redact(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Hide members by name and secrets by form, wherever they stand; cut what is too long to be a log line."""
    return event if _is_harmless(event) else _redacted(event)


def _redacted(members: Mapping[Any, Any]) -> dict[str, Any]:
    return {str(name): _member(str(name), value) for name, value in members.items()}


def _is_harmless(event: EventDict) -> bool:
    """Whether there is nothing to hide or to cut, as far as that can be seen without taking it apart."""
    texts = []
    for name, value in event.items():
        if type(value) is str:
            texts.append(value)
        elif value is not None and type(value) not in (bool, int, float):
            return False
        if _names_a_secret(name):
            return False
    text = "\n".join(texts)
    if len(text) > MAX_CHARACTERS or not text.isascii():
        return False
    lowered = text.lower()
    return not any(part in lowered for part in _IN_SECRETS)


@functools.lru_cache(maxsize=1_024)
def _names_a_secret(name: str) -> bool:
    """Names of the product's own lines, of which there are so many."""
    return _SECRET_NAMES.search(name) is not None


def _member(name: str, value: Any) -> Any:
    if _SECRET_NAMES.search(name):
        return _HIDDEN
    if name == "exception" and isinstance(value, str):
        # the end of a traceback tells what happened
        return _SECRET_VALUES.sub(_HIDDEN, value)[-MAX_TRACEBACK_CHARACTERS:]
    return _cleaned(value)


def _cleaned(value: Any) -> Any:
    if value is None or isinstance(value, (bool, int, float)):
        return value
    if isinstance(value, dict):
        return _redacted(value)
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_cleaned(item) for item in value]
    return _SECRET_VALUES.sub(_HIDDEN, str(value))[:MAX_CHARACTERS]


class _Lines:
    """A stream for whole lines. One that cannot be written, for want of room for example, is lost.

    Nobody's request fails because of it, and nothing is kept back that would fail again when the process ends.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._has_descriptor = _has_descriptor(stream)

    def write(self, text: str) -> int:
        with suppress(OSError, ValueError):  # the latter says of a stream that it is closed
            if self._has_descriptor:
                _written(self._stream.fileno(), text.encode(errors="backslashreplace"))
            else:
                self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        """Nothing is held."""


def _has_descriptor(stream: TextIO) -> bool:
    try:
        return stream.fileno() >= 0
    except io.UnsupportedOperation:
        return False


def _written(fd: int, line: bytes) -> None:
    while line:
        line = line[os.write(fd, line) :]


def _stamped(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    seconds, microseconds = divmod(time.time_ns() // 1_000, 1_000_000)
    event["timestamp"] = f"{_second(seconds)}.{microseconds:06}Z"
    return event


@functools.lru_cache(maxsize=1)
def _second(seconds: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))


def _rendered(_logger: WrappedLogger, _method: str, event: EventDict) -> str:
    """JSON in ASCII: what some readers take for the end of a line is escaped."""
    with suppress(msgspec.MsgspecError, TypeError, ValueError):
        line = msgspec.json.encode(event)
        if line.isascii():
            return line.decode()
    return json.dumps(event, default=repr)


def hidden(text: str) -> str:
    """A text of somebody else's, without what looks like a secret."""
    return _SECRET_VALUES.sub(_HIDDEN, text)


def configure(level: str) -> None:
    """Ours and the libraries' records leave by the same processors."""
    lines = cast(TextIO, _Lines(sys.stderr))
    shared: list[Processor] = [
        log_context.merge,
        structlog.processors.add_log_level,
        _stamped,
    ]
    last: list[Processor] = [
        structlog.processors.format_exc_info,
        redact,
        _rendered,
    ]
    number = logging.getLevelNamesMapping()[level.upper()]
    structlog.configure(
        processors=[*shared, *last],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.WriteLoggerFactory(lines),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(lines)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(max(number, logging.WARNING))
