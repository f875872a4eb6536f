"""The outermost layer: every request gets an id, and what it caused is kept before its answer is on the way."""

import time
from collections.abc import Awaitable, Callable

from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bifrost.base import events, log_context
from bifrost.base.events import Event
from bifrost.base.ids import new_id

QUIET = frozenset(("/health", "/ready", "/metrics"))

Record = Callable[[tuple[Event, ...], Scope], Awaitable[None]]


class RequestContext:
    """Plain ASGI. The id is in the answer, the errors and every log line.

    The path is logged without its query, where codes and flow ids travel.
    """

    def __init__(self, app: ASGIApp, *, record: Record, hsts: bool) -> None:
        self._app = app
        self._record = record
        self._log = log_context.bound_logger()
        self._hsts = [(b"strict-transport-security", b"max-age=31536000")] if hsts else []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        event_id = scope["event_id"] = new_id("evt_")
        started = time.perf_counter()
        with events.heard() as told, log_context.about(event_id=event_id):
            answer = _Answer(scope, send, told, self._record, [(b"x-request-id", event_id.encode()), *self._hsts])
            try:
                await self._app(scope, receive, answer)
            except Exception:
                if not answer.status:  # a surface has a form for every error; this is for a fault in one
                    await PlainTextResponse("Internal Server Error", 500)(scope, receive, answer)
                raise
            finally:
                if told:
                    await answer.record()
                if scope["path"] not in QUIET:
                    elapsed = round((time.perf_counter() - started) * 10_000) / 10
                    self._log.info(
                        "request",
                        method=scope["method"],
                        path=scope["path"],
                        status=answer.status,
                        milliseconds=elapsed,
                    )


class _Answer:
    """What is sent of it, after what happened was kept. `status` is 0 until it begins."""

    __slots__ = ("_headers", "_keep", "_scope", "_send", "_told", "status")

    def __init__(
        self, scope: Scope, send: Send, told: list[Event], keep: Record, headers: list[tuple[bytes, bytes]]
    ) -> None:
        self._scope, self._send, self._told, self._keep, self._headers = scope, send, told, keep, headers
        self.status = 0

    def __call__(self, message: Message) -> Awaitable[None]:
        if self._told:
            return self._after_recording(message)
        if message["type"] == "http.response.start":
            self.status = message["status"]
            message["headers"] = [*message["headers"], *self._headers]
        return self._send(message)

    async def _after_recording(self, message: Message) -> None:
        await self.record()
        await self(message)

    async def record(self) -> None:
        told = tuple(self._told)
        self._told.clear()
        await self._keep(told, self._scope)
