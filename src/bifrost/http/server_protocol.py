"""HTTP/1.1 connections within limits: how large a head may be, how long a client may take, how many clients there are.

uvicorn's own class has none of them. Its parser keeps a target or a field for as long as it grows and copies what it
has with every part that arrives, so an endless one stops the process; a client that sends nothing stays for ever. What
is refused here never reaches the application, so it is said in plain text. Bodies are limited where they are read
(http/body.py).
"""

import asyncio
from collections.abc import Callable
from enum import Enum, auto
from http import HTTPStatus
from typing import Any, ClassVar, cast

from uvicorn._types import ASGI3Application, ASGIReceiveCallable, ASGISendCallable, Scope
from uvicorn.config import Config
from uvicorn.protocols.http.flow_control import service_unavailable
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

MAX_HEAD_BYTES = 32 * 1024
"""Of the request line and the fields of one message, its trailer included."""
MAX_FIELDS = 100

ON_STOPPING = "on_stopping"
"""Where a long stream leaves in its scope what ends it in good order."""

_FIELD_FRAME_BYTES = len(": \r\n")


class _Stage(Enum):
    BETWEEN = auto()
    HEAD = auto()
    BODY = auto()


class _HeadTooLarge(Exception):
    """Stops the parser where it is."""


class _Unhurried:
    """A connection that is not closed under a client that still sends: that could lose the answer (RFC 9112 §9.6)."""

    def __init__(self, transport: asyncio.Transport, close: Callable[[], None]) -> None:
        self._transport = transport
        self.close = close

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


class LimitedProtocol(HttpToolsProtocol):
    """One connection. `limit_concurrency` is the number of connections at which the next one is answered with 503."""

    head_seconds: ClassVar[float] = 10.0
    """From the connection, or from the first byte of a later request, to the end of the head."""
    rest_seconds: ClassVar[float] = 10.0
    """For what is left of a body when the request is answered already."""
    linger_seconds: ClassVar[float] = 2.0
    """How long the rest of a refused request is thrown away; closing at once could lose the refusal (RFC 9112 §9.6)."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._stage = _Stage.BETWEEN
        self._head_bytes = 0
        self._fields = 0
        self._parsed = False  # whether the bytes of this call completed a head or were part of a body
        self._unparsed_bytes = 0  # what has arrived since then
        self._fault = HTTPStatus.BAD_REQUEST
        self._refused = False
        self._timer: asyncio.TimerHandle | None = None

    # ---- the transport ----------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if self.limit_concurrency is not None and len(self.connections) >= self.limit_concurrency:
            self.connections.discard(self)  # or the others' requests would be refused as well
            self._refused = True
            transport.write(_answer(HTTPStatus.SERVICE_UNAVAILABLE))
            transport.close()
            return
        self._expect_within(self.head_seconds)

    def data_received(self, data: bytes) -> None:
        if self._refused:
            return
        self._parsed = False
        super().data_received(data)
        self._look_after(len(data))

    def _look_after(self, size: int) -> None:
        """What the parser does not see to: bytes of which it says nothing, and silence."""
        if self._refused:
            return
        self._unparsed_bytes = 0 if self._parsed else self._unparsed_bytes + size
        if self._unparsed_bytes > MAX_HEAD_BYTES:
            # an unfinished field, of the head or the trailer: the parser says nothing of it before its end
            self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
        elif self._stage is _Stage.BETWEEN and not self._answering and self.timeout_keep_alive_task is None:
            # uvicorn took the timer away for bytes that began no request
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )

    def shutdown(self) -> None:
        """The server stops: a stream that would go on for ever is told to end."""
        stop = cast("dict[str, Any]", self.cycle.scope).get(ON_STOPPING) if self._answering else None
        if stop:
            stop()
        super().shutdown()

    def connection_lost(self, exc: Exception | None) -> None:
        self._expect_nothing()
        super().connection_lost(exc)

    # ---- the parser -------------------------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        self._stage, self._head_bytes, self._fields = _Stage.HEAD, 0, 0
        if self._timer is None:
            self._expect_within(self.head_seconds)
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        self._count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._fields += 1
        self._count(len(name) + len(value) + _FIELD_FRAME_BYTES)
        if self._stage is _Stage.HEAD:  # a trailer must not become part of the head (RFC 9110 §6.5.1)
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._parsed, self._stage = True, _Stage.BODY
        self._expect_nothing()
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._parsed = True
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._stage = _Stage.BETWEEN
        self._expect_nothing()
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - the name and words of uvicorn, for every parser error
        self._refuse(self._fault)

    # ---- answers ----------------------------------------------------------------------------------------------------

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self._refused:
            if not self._answering:
                self._linger()
        elif self._stage is _Stage.HEAD:
            self._expect_within(self.head_seconds)  # it may have waited in our own buffer
        elif self._stage is _Stage.BODY and not self._answering:
            self._expect_within(self.rest_seconds)

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        """Uvicorn cancels a request that outlives the grace time of a stopping server: no fault, so no traceback."""

        async def stoppable(scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
            try:
                await app(scope, receive, send)
            except asyncio.CancelledError:
                if not cycle.response_started:
                    await service_unavailable(scope, receive, send)
                else:
                    cycle.disconnected = True
                    cycle.transport.close()

        cycle.transport = cast("asyncio.Transport", _Unhurried(cycle.transport, self._close_when_read))
        super()._start_asgi_task(cycle, stoppable)

    def _close_when_read(self) -> None:
        """After the last answer; a body that nobody wanted is still on its way then, and is thrown away for a while."""
        if self._stage is _Stage.BODY and not self.transport.is_closing():
            self._refused = True  # nothing more is read from this connection
        else:
            self.transport.close()

    @property
    def _answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    # ---- limits -----------------------------------------------------------------------------------------------------

    def _count(self, size: int) -> None:
        self._head_bytes += size
        if self._head_bytes > MAX_HEAD_BYTES or self._fields > MAX_FIELDS:
            self._fault = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
            raise _HeadTooLarge

    def _refuse(self, status: HTTPStatus) -> None:
        """Say why and close; what is being answered is finished first, and nothing is written between its bytes."""
        self._refused = True
        self._expect_nothing()
        if self.transport.is_closing() or (self._answering and self._stage is not _Stage.BODY):
            return
        if self._answering and (self.cycle.response_started or self.pipeline):
            self.transport.close()
            return
        self._give_up_the_request()
        self.transport.write(_answer(status))
        self._linger()

    def _linger(self) -> None:
        self._expect_nothing()
        self._unset_keepalive_if_required()
        if self.transport.is_closing():
            return
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self.flow.resume_reading()
        self._timer = self.loop.call_later(self.linger_seconds, self.transport.close)

    def _give_up_the_request(self) -> None:
        """Whatever the application still says to a request whose body broke goes nowhere."""
        if self._answering:
            self.cycle.disconnected = True
            self.cycle.message_event.set()

    def _expect_within(self, seconds: float) -> None:
        self._expect_nothing()
        self._timer = self.loop.call_later(seconds, self._overdue)

    def _expect_nothing(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _overdue(self) -> None:
        if self._answering:
            self._expect_within(self.head_seconds)  # now it is the client who waits
        elif self._stage is _Stage.HEAD:
            self._refuse(HTTPStatus.REQUEST_TIMEOUT)
        else:
            self.transport.close()


def _answer(status: HTTPStatus) -> bytes:
    text = f"{status.phrase}\n".encode()
    head = (
        f"HTTP/1.1 {status.value} {status.phrase}\r\nContent-Type: text/plain; charset=utf-8\r\n"
        f"Content-Length: {len(text)}\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + text
