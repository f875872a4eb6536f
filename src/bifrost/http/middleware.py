"""The outermost layer: every request gets an id, and what it caused is kept before its answer is on the way."""

import time
from collections.abc import Awaitable, Callable

import structlog
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bifrost.base import events
from bifrost.base.events import Event
from bifrost.base.ids import new_id

QUIET = frozenset(("/health", "/ready", "/metrics"))

Record = Callable[[tuple[Event, ...], Scope], Awaitable[None]]

log = structlog.get_logger()


class RequestContext:
    """Plain ASGI. The id is in the answer, the errors and every log line.

    The path is logged without its query, where codes and flow ids travel.
    """

    def __init__(self, app: ASGIApp, *, record: Record, hsts: bool) -> None:
        self._app = app
        self._record = record
        self._hsts = [(b"strict-transport-security", b"max-age=31536000")] if hsts else []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        event_id = scope["event_id"] = new_id("evt_")
        structlog.contextvars.bind_contextvars(event_id=event_id)
        started, status = time.perf_counter(), 0
        with events.heard() as told:

            async def send_after_recording(message: Message) -> None:
                nonlocal status
                if told:
                    await self._keep(told, scope)
                if message["type"] == "http.response.start":
                    status = message["status"]
                    message["headers"] = [*message["headers"], (b"x-request-id", event_id.encode()), *self._hsts]
                await send(message)

            try:
                await self._app(scope, receive, send_after_recording)
            except Exception:
                if not status:  # a surface has a form for every error; this is for a fault in one
                    await PlainTextResponse("Internal Server Error", 500)(scope, receive, send_after_recording)
                raise
            finally:
                if told:
                    await self._keep(told, scope)
                if scope["path"] not in QUIET:
                    elapsed = round((time.perf_counter() - started) * 1_000, 1)
                    log.info("request", method=scope["method"], path=scope["path"], status=status, milliseconds=elapsed)
                structlog.contextvars.clear_contextvars()

    async def _keep(self, told: list[Event], scope: Scope) -> None:
        kept = tuple(told)
        told.clear()
        await self._record(kept, scope)
