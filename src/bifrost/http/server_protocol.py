"""HTTP/1.1 connections within limits: how large a head may be, how long a client may take, how many clients there are.

uvicorn's own class has none of them. Its parser keeps a target or a field for as long as it grows and copies what it
has with every part that arrives, so an endless one stops the process; a client that sends nothing stays for ever. What
is refused here never reaches the application, so it is said in plain text. Bodies are limited where they are read
(http/body.py).
"""

import asyncio
from enum import Enum, auto
from http import HTTPStatus
from typing import Any, ClassVar, cast
from urllib.parse import unquote

import httptools
from uvicorn._types import ASGI3Application
from uvicorn.config import Config
from uvicorn.protocols.http.flow_control import service_unavailable
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from bifrost.http.server_exchange import Exchange

MAX_HEAD_BYTES = 32 * 1024
"""Of the request line and the fields of one message, its trailer included."""
MAX_FIELDS = 100

ON_STOPPING = "on_stopping"
"""Where a long stream leaves in its scope what ends it in good order."""

OUTLIVED = "Task cancelled, timeout graceful shutdown exceeded"
"""What uvicorn cancels a request with that has outlived the grace time of a stopping server."""

_FIELD_FRAME_BYTES = len(": \r\n")


class _Stage(Enum):
    BETWEEN = auto()
    HEAD = auto()
    BODY = auto()


class _HeadTooLarge(Exception):
    """Stops the parser where it is."""


class LimitedProtocol(HttpToolsProtocol):
    """One connection. `limit_concurrency` is the number of connections at which the next one is answered with 503."""

    head_seconds: ClassVar[float] = 10.0
    """From the connection, or from the first byte of a later request, to the end of the head."""
    rest_seconds: ClassVar[float] = 10.0
    """For what is left of a body when the request is answered already."""
    linger_seconds: ClassVar[float] = 2.0
    """How long the rest of a refused request is thrown away; closing at once could lose the refusal (RFC 9112 §9.6)."""
    stalled_seconds: ClassVar[float] = 120.0
    """How long a client may take nothing at all of what waits for it. A slow one takes something: its system lets it
    be seen in pieces of half its buffer, usually 64 KiB."""

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
        self._due: float | None = None  # until when something must happen
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0  # a timer that comes before its time looks again
        self._resting = False
        self._stall: asyncio.TimerHandle | None = None

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
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserError:
            self._refuse(self._fault)
        except httptools.HttpParserUpgrade:
            self._unsupported_upgrade_warning()  # what it asks instead is nothing that is served (RFC 9110 §7.8)
        self._look_after(len(data))

    def _look_after(self, size: int) -> None:
        """What the parser does not see to: bytes of which it says nothing, and silence."""
        if self._refused:
            return
        self._unparsed_bytes = 0 if self._parsed else self._unparsed_bytes + size
        if self._unparsed_bytes > MAX_HEAD_BYTES:
            # an unfinished field, of the head or the trailer: the parser says nothing of it before its end
            self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
        elif self._due is not None:
            return  # parts of a head do not lengthen its time, nor bytes that begin no request that of the rest
        elif self._stage is _Stage.HEAD:
            self._expect_within(self.head_seconds)
        elif self._stage is _Stage.BETWEEN and not self._answering:
            self._rest()  # after a body of which nobody needed the end

    def shutdown(self) -> None:
        """The server stops: a stream that would go on for ever is told to end."""
        stop = cast("dict[str, Any]", self.cycle.scope).get(ON_STOPPING) if self._answering else None
        if stop:
            stop()
        super().shutdown()

    def connection_lost(self, exc: Exception | None) -> None:
        self._due = None
        if self._timer is not None:
            self._timer.cancel()
        self._flows()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._watch_for_a_stall()

    def resume_writing(self) -> None:
        self._flows()
        super().resume_writing()
        if self.transport.is_closing():
            self._watch_for_a_stall()  # of what is left

    def _end(self) -> None:
        """What waits is sent before; a client that does not take it keeps nothing open."""
        self.transport.close()
        if self.transport.get_write_buffer_size():
            self._watch_for_a_stall()

    def _watch_for_a_stall(self) -> None:
        self._flows()
        waits = self.transport.get_write_buffer_size()
        self._stall = self.loop.call_later(self.stalled_seconds, self._look_for_a_stall, waits)

    def _look_for_a_stall(self, waited: int) -> None:
        """What waits is not added to meanwhile, so that it is as much as before when nothing was taken."""
        if self.transport.get_write_buffer_size() < waited:
            self._watch_for_a_stall()
        else:
            self.transport.abort()

    def _flows(self) -> None:
        if self._stall is not None:
            self._stall.cancel()
            self._stall = None

    # ---- the parser -------------------------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        self._stage, self._head_bytes, self._fields = _Stage.HEAD, 0, 0
        if self._resting:  # the time of the first head began with the connection
            self._resting, self._due = False, None
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        self._head_bytes += len(url)
        if self._head_bytes > MAX_HEAD_BYTES:
            raise self._too_large()
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        fields = self._fields = self._fields + 1
        size = self._head_bytes = self._head_bytes + len(name) + len(value) + _FIELD_FRAME_BYTES
        if size > MAX_HEAD_BYTES or fields > MAX_FIELDS:
            raise self._too_large()
        if self._stage is not _Stage.HEAD:
            return  # a trailer must not become part of the head (RFC 9110 §6.5.1)
        name = name.lower()
        if name == b"expect" and value.lower() == b"100-continue":
            self.expect_100_continue = True
        self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        self._parsed, self._stage, self._due = True, _Stage.BODY, None
        version = self.parser.get_http_version()
        url = httptools.parse_url(self.url)
        path = url.path.decode("ascii")
        scope = self.scope
        scope["http_version"] = version
        scope["method"] = self.parser.get_method().decode("ascii")
        scope["path"] = unquote(path) if "%" in path else path
        scope["raw_path"] = url.path
        scope["query_string"] = url.query or b""
        before, self.cycle = self.cycle, self._exchange(version)
        full = self.limit_concurrency is not None and len(self.tasks) >= self.limit_concurrency
        app = service_unavailable if full else self.app
        if before is None or before.response_complete:
            self._start_asgi_task(self.cycle, app)
        else:
            self.flow.pause_reading()
            self.pipeline.appendleft((self.cycle, app))

    def _exchange(self, version: str) -> Exchange:
        return Exchange(
            self.scope,
            self.transport,
            self.flow,
            self.server_state.default_headers,
            expect_100_continue=self.expect_100_continue,
            keep_alive=version != "1.0" and self.parser.should_keep_alive(),
            on_response=self.on_response_complete,
            close=self._close_when_read,
        )

    def on_body(self, body: bytes) -> None:
        self._parsed = True
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._stage, self._due = _Stage.BETWEEN, None
        super().on_message_complete()

    # ---- answers ----------------------------------------------------------------------------------------------------

    def on_response_complete(self) -> None:
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
        if self._refused:
            if not self._answering:
                self._linger()
        elif self._stage is _Stage.HEAD:
            self._expect_within(self.head_seconds)  # it may have waited in our own buffer
        elif not self._answering:
            self._rest() if self._stage is _Stage.BETWEEN else self._expect_within(self.rest_seconds)

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        task = self.loop.create_task(cycle.run_asgi(app))
        task.add_done_callback(self.tasks.discard)
        self.tasks.add(task)

    def _close_when_read(self) -> None:
        """After the last answer; a body that nobody wanted is still on its way then, and is thrown away for a while.

        Closing under a client that still sends could lose the answer (RFC 9112 §9.6).
        """
        if self._stage is _Stage.BODY and not self.transport.is_closing():
            self._refused = True  # nothing more is read from this connection
        else:
            self._end()

    @property
    def _answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    # ---- limits -----------------------------------------------------------------------------------------------------

    def _too_large(self) -> _HeadTooLarge:
        self._fault = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
        return _HeadTooLarge()

    def _refuse(self, status: HTTPStatus) -> None:
        """Say why and close; what is being answered is finished first, and nothing is written between its bytes."""
        self._refused, self._due = True, None
        if self.transport.is_closing() or (self._answering and self._stage is not _Stage.BODY):
            return
        if self._answering and (self.cycle.response_started or self.pipeline):
            self.transport.close()
            return
        self._give_up_the_request()
        self.transport.write(_answer(status))
        self._linger()

    def _linger(self) -> None:
        self._due = None
        if self.transport.is_closing():
            return
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self.flow.resume_reading()
        self._expect_within(self.linger_seconds)

    def _give_up_the_request(self) -> None:
        """Whatever the application still says to a request whose body broke goes nowhere."""
        if self._answering:
            self.cycle.disconnected = True
            self.cycle.message_event.set()

    def _rest(self) -> None:
        """Between two requests a client may take its time."""
        self._resting = True
        self._expect_within(self.timeout_keep_alive)

    def _expect_within(self, seconds: float) -> None:
        """Most of what is expected comes, so a timer is only moved when it would be late."""
        self._due = self.loop.time() + seconds
        if self._timer is None or self._due < self._timer_at:
            self._set_timer(self._due)

    def _set_timer(self, when: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer, self._timer_at = self.loop.call_at(when, self._look_at_the_clock), when

    def _look_at_the_clock(self) -> None:
        self._timer = None
        if self._due is not None and self._due > self._timer_at:
            self._set_timer(self._due)
        elif self._due is not None:
            self._due = None
            self._overdue()

    def _overdue(self) -> None:
        if self._refused:
            self._end()
        elif self._answering:
            self._expect_within(self.head_seconds)  # now it is the client who waits
        elif self._stage is _Stage.HEAD:
            self._refuse(HTTPStatus.REQUEST_TIMEOUT)
        else:
            self._end()


def _answer(status: HTTPStatus) -> bytes:
    text = f"{status.phrase}\n".encode()
    head = (
        f"HTTP/1.1 {status.value} {status.phrase}\r\nContent-Type: text/plain; charset=utf-8\r\n"
        f"Content-Length: {len(text)}\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + text
