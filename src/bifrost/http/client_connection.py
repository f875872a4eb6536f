"""One connection of the pooled client (http/pooled_client.py): HTTP/1.1, one request at a time, strict about answers.

What cannot be read in exactly one way is refused and the connection closed (RFC 9112 §6.3, §11.1): both framings at
once, a repeated length, codings other than chunked, answers nobody asked for. llhttp reads chunks and fields; what it
keeps or skips in silence is counted here.
"""

import asyncio
import functools
import select
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from types import TracebackType
from typing import Self, cast

import httptools

MAX_HEAD_BYTES = 64 * 1024
MAX_FIELDS = 200
MAX_INFORMATIONAL = 16
"""Answers of the 1xx class before the answer."""

HIGH_WATER_BYTES, LOW_WATER_BYTES = 256 * 1024, 64 * 1024
"""Of a body that nobody has taken yet: where reading stops, and where it goes on."""

PIECE_BYTES = 64
"""What a piece of a body costs besides its bytes: a server may send them one by one."""

_SWITCHING, _OK, _NO_CONTENT, _NOT_MODIFIED = 101, 200, 204, 304
_LENGTH, _CODING = b"content-length", b"transfer-encoding"


class HttpFailed(OSError):
    """No usable answer. The message is for the log and names no address."""


class ConnectionEnded(HttpFailed):
    """It ended before a single byte of the answer: whether the request was acted on is not known."""


class Unreadable(HttpFailed):
    """An answer that is not one, or that can be read in more than one way. The message says what is wrong with it."""


class NotTrusted(HttpFailed):
    """The server's certificate is not one that vouches for it."""


class NotAllowed(HttpFailed):
    """No address of the host may be contacted."""


class TooLarge(HttpFailed):
    """An answer of more bytes than its reader wants."""


class Headers(Mapping[str, str]):
    """Fields in the order in which they came; names are compared without case, and the first of a name counts."""

    __slots__ = ("_fields",)

    def __init__(self, fields: list[tuple[bytes, bytes]]) -> None:
        self._fields = fields

    def first(self, name: bytes) -> bytes:
        """The value of a field, by its name in lower case; empty where there is none."""
        for field, value in self._fields:
            if field == name:
                return value
        return b""

    def __getitem__(self, name: str) -> str:
        wanted = name.lower().encode()
        for field, value in self._fields:
            if field == wanted:
                return value.decode("latin-1")
        raise KeyError(name)

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys(field.decode("latin-1") for field, _ in self._fields))

    def __len__(self) -> int:
        return len({field for field, _ in self._fields})

    def all(self, name: str) -> tuple[str, ...]:
        wanted = name.lower().encode()
        return tuple(value.decode("latin-1") for field, value in self._fields if field == wanted)


NO_HEADERS = Headers([])


class Answer:
    """An answer, as far as it has come. Leaving its `with` block early closes the connection."""

    __slots__ = ("_buffered", "_chunks", "_connection", "_error", "_loop", "_waiter", "done", "headers", "status")

    def __init__(self, connection: "ClientConnection", loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self.status = 0
        self.headers = NO_HEADERS
        self.done = False
        self._connection: ClientConnection | None = connection
        self._chunks: deque[bytes] = deque()
        self._buffered = 0
        self._error: Exception | None = None
        self._waiter: asyncio.Future[None] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _at: TracebackType | None
    ) -> None:
        self.close()

    @property
    def media_type(self) -> str:
        """Without parameters, in lower case."""
        return _media_type(self.headers.first(b"content-type"))

    async def chunks(self) -> AsyncIterator[bytes]:
        """The body, piece by piece as it comes. Raises HttpFailed, TimeoutError."""
        while True:
            while self._chunks:
                yield self._take()
            if self.done:
                return
            await self.news()

    async def read(self, limit: int) -> bytes:
        """The whole body. Raises TooLarge, HttpFailed, TimeoutError."""
        body = bytearray()
        while True:
            while self._chunks:
                body += self._take()
            if len(body) > limit:
                raise TooLarge(f"an answer of more than {limit} bytes")
            if self.done:
                return bytes(body)
            await self.news()

    def at_once(self, limit: int) -> bytes | None:
        """The whole body, if it has come already and in one piece, as most do."""
        whole = self.done and len(self._chunks) == 1 and len(self._chunks[0]) <= limit
        return self._chunks.popleft() if whole else None

    def news(self) -> "asyncio.Future[None]":
        """To be waited for until more has come, a head or a piece. Raises what the answer ended with, if it did."""
        if self._error is not None:
            raise self._error
        self._waiter = self._loop.create_future()
        return self._waiter

    def close(self) -> None:
        if self._connection is not None:
            self._connection.abandon()

    # ---- for the connection -----------------------------------------------------------------------------------------

    def feed(self, chunk: bytes) -> int:
        """How much waits to be taken."""
        self._chunks.append(chunk)
        self._buffered += len(chunk) + PIECE_BYTES
        return self._buffered

    def finish(self, error: Exception | None = None) -> None:
        self.done, self._error, self._connection = error is None, error, None
        self.wake()

    def wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _take(self) -> bytes:
        chunk = self._chunks.popleft()
        self._buffered -= len(chunk) + PIECE_BYTES
        if self._connection is not None and self._buffered <= LOW_WATER_BYTES:
            self._connection.go_on()
        return chunk


class ClientConnection(asyncio.Protocol):
    """`released` is called when it is free for another request, `lost` once, when it is gone."""

    def __init__(
        self, released: Callable[["ClientConnection"], None], lost: Callable[["ClientConnection"], None]
    ) -> None:
        self._released = released
        self._lost = lost
        self._loop = asyncio.get_running_loop()
        self._parser = httptools.HttpResponseParser(self)
        self._transport: asyncio.Transport | None = None
        self._answer: Answer | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._waiting: select.poll | None = None
        self._paused = False
        self._rested_since = 0.0
        self._begin()

    def _begin(self) -> None:
        self._fields: list[tuple[bytes, bytes]] = []
        self._head_bytes = 0
        self._silent_bytes = 0  # received since the parser last said something
        self._informational = 0
        self._in_head = self._until_end = self._keeps = self._complete = self._received = False

    # ---- for the pool and the answer --------------------------------------------------------------------------------

    def ask(self, request: bytes, deadline: float | None) -> Answer:
        """Send a request; `deadline` (of the loop's clock) is for the end of its answer."""
        self._begin()
        answer = self._answer = Answer(self, self._loop)
        if self._transport is None:
            self._fail(ConnectionEnded("the connection ended before the request was sent"))
            return answer
        if deadline is not None:
            self.expect_by(deadline)
        self._transport.write(request)
        return answer

    def expect_by(self, deadline: float | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if deadline is not None:
            self._timer = self._loop.call_at(deadline, self._overdue)

    def is_usable(self) -> bool:
        """Whether its other end still seems to be there; what it sent meanwhile would be no answer to anything."""
        if self._transport is None or self._transport.is_closing():
            return False
        if self._waiting is None:
            self._waiting = select.poll()
            self._waiting.register(self._transport.get_extra_info("socket").fileno(), select.POLLIN)
        return not self._waiting.poll(0)

    def rested_for(self) -> float:
        """Seconds."""
        return self._loop.time() - self._rested_since

    def go_on(self) -> None:
        if self._paused and self._transport is not None:
            self._paused = False
            self._transport.resume_reading()

    def abandon(self) -> None:
        """Nobody wants the rest of the answer."""
        self._fail(HttpFailed("the answer was given up"))

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    # ---- the transport ----------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        if self._answer is None:
            self.close()  # nobody asked
            return
        self._received = True
        self._silent_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self._broken(error)
            return
        if self._complete:
            self._finish()
        elif self._silent_bytes > MAX_HEAD_BYTES:
            self._fail(Unreadable("a head, trailer or chunk size without end"))
        else:
            self._answer.wake()

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        if self._until_end and exc is None and self._answer is not None:
            self._finish()
        else:
            kind = HttpFailed if self._received else ConnectionEnded
            self._fail(kind("the connection ended before the answer did"))
        self._lost(self)

    # ---- the parser -------------------------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        if self._complete:
            raise Unreadable("a second answer to one request")
        self._in_head, self._fields = True, []

    def on_header(self, name: bytes, value: bytes) -> None:
        self._head_bytes += len(name) + len(value) + 4
        if self._head_bytes > MAX_HEAD_BYTES or len(self._fields) >= MAX_FIELDS:
            raise Unreadable("a head or trailer that is too large")
        if self._in_head:  # a trailer must not become part of the head (RFC 9110 §6.5.1)
            self._fields.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        self._in_head, self._silent_bytes = False, 0
        status = self._parser.get_status_code()
        if status < _OK:
            self._informational += 1
            if status == _SWITCHING or self._informational > MAX_INFORMATIONAL:
                raise Unreadable("an upgrade, or too many informational answers")
            return
        self._until_end = _framing(self._fields, self._parser.get_http_version()) and status not in (
            _NO_CONTENT,
            _NOT_MODIFIED,
        )
        self._keeps = self._parser.should_keep_alive() and not self._until_end
        if self._answer is not None:
            self._answer.headers = Headers(self._fields)
            self._answer.status = status

    def on_body(self, body: bytes) -> None:
        self._silent_bytes = 0
        if self._answer is not None and self._answer.feed(body) > HIGH_WATER_BYTES and not self._paused:
            self._paused = True
            if self._transport is not None:
                self._transport.pause_reading()

    def on_message_complete(self) -> None:
        self._silent_bytes = 0
        self._complete = self._answer is not None and self._answer.status > 0

    # ---- the end of an answer ---------------------------------------------------------------------------------------

    def _finish(self) -> None:
        answer, self._answer = self._answer, None
        if self._timer is not None:
            self.expect_by(None)
        if answer is not None:
            answer.finish()
        if self._transport is None:
            return
        if self._paused:
            self.go_on()
        unsent = self._transport.get_write_buffer_size()  # it answered before it had the whole request
        if unsent or not self._keeps:
            self.close()
        elif not self._transport.is_closing():
            self._rested_since = self._loop.time()
            self._released(self)

    def _broken(self, error: Exception) -> None:
        """An answer that was whole before the parser gave up is kept; nothing after it can be trusted."""
        if self._complete:
            answer, self._answer = self._answer, None
            self.expect_by(None)
            if answer is not None:
                answer.finish()
            self.close()
            return
        cause = error.__context__ if isinstance(error.__context__, HttpFailed) else Unreadable("not HTTP")
        self._fail(cause)

    def _overdue(self) -> None:
        self._fail(TimeoutError())

    def _fail(self, error: Exception) -> None:
        answer, self._answer = self._answer, None
        self.expect_by(None)
        if answer is not None:
            answer.finish(error)
        self.close()


@functools.lru_cache(maxsize=64)
def _media_type(value: bytes) -> str:
    return value.partition(b";")[0].strip().lower().decode("latin-1")


def _framing(fields: list[tuple[bytes, bytes]], version: str) -> bool:
    """Whether the body ends with the connection (RFC 9112 §6.3). Raises HttpFailed for what can be read in two ways."""
    framed = False
    for name, value in fields:
        if name in (_LENGTH, _CODING):
            if framed:
                raise Unreadable("more than one framing")
            framed = True
            if name == _CODING and (value.lower() != b"chunked" or version != "1.1"):
                raise Unreadable("a transfer coding that is not chunked")
        elif name == b"content-encoding" and value.lower() not in (b"", b"identity"):
            raise Unreadable("a content coding that was not asked for")
    return not framed
