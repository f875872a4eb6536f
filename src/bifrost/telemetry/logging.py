"""Structured logs on stderr, one JSON object a line, with secrets taken out before anything is written."""

import io
import logging
import os
import re
import sys
from contextlib import suppress
from typing import Any, TextIO, cast

import structlog
from structlog.types import EventDict, Processor, WrappedLogger

from bifrost.base import log_context

_SECRET_NAMES = re.compile(
    r"authorization|cookie|password|secret|verifier|assertion|^code$|^state$|^token$|[_-]token$|^key$|[_-]key$|^value$"
    r"|^x-bf-vk$|^x-bf-mcp-session-id$",
    re.IGNORECASE,
)
_SECRET_VALUES = re.compile(
    r"(?:sk-bf-|bf(?:at|rt|ac|cs|ad|as|su)_)[A-Za-z0-9_-]{6,}|eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*"
    r"|(?i:bearer)\s+\S+|(?i:basic)\s+[A-Za-z0-9+/=]{8,}"
)
_HIDDEN = "…"
MAX_CHARACTERS = 2_000
MAX_TRACEBACK_CHARACTERS = 8_000


def redact(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Hide members by name and secrets by form, wherever they stand; cut what is too long to be a log line."""
    return {str(name): _member(str(name), value) for name, value in event.items()}


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
        return redact(None, "", value)
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


def hidden(text: str) -> str:
    """A text of somebody else's, without what looks like a secret."""
    return _SECRET_VALUES.sub(_HIDDEN, text)


def configure(level: str) -> None:
    """Ours and the libraries' records leave by the same processors."""
    lines = cast(TextIO, _Lines(sys.stderr))
    shared: list[Processor] = [
        log_context.merge,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    last: list[Processor] = [
        structlog.processors.format_exc_info,
        redact,
        structlog.processors.JSONRenderer(ensure_ascii=True),
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
