"""The outermost layer: every request gets an id, which is in the answer, the errors and every log line."""

import time

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bifrost.base.ids import new_id

QUIET = frozenset(("/health", "/ready", "/metrics"))

log = structlog.get_logger()


class RequestContext:
    """Plain ASGI. The path is logged without its query, where codes and flow ids travel."""

    def __init__(self, app: ASGIApp, *, hsts: bool) -> None:
        self._app = app
        self._hsts = [(b"strict-transport-security", b"max-age=31536000")] if hsts else []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        event_id = scope["event_id"] = new_id("evt_")
        structlog.contextvars.bind_contextvars(event_id=event_id)
        started, status = time.perf_counter(), 0

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], (b"x-request-id", event_id.encode()), *self._hsts]
            await send(message)

        try:
            await self._app(scope, receive, send_with_id)
        finally:
            if scope["path"] not in QUIET:
                elapsed = round((time.perf_counter() - started) * 1_000, 1)
                log.info("request", method=scope["method"], path=scope["path"], status=status, milliseconds=elapsed)
            structlog.contextvars.clear_contextvars()
