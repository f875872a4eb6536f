"""The answer to one request: plain JSON, or a stream of events as soon as something has to be said before it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from bifrost.base.time_limit import alarm_of
from bifrost.gateway.endpoints.replay import Recording
from bifrost.gateway.models import Call
from bifrost.http.server_protocol import ON_STOPPING

KEEP_ALIVE_SECONDS = 15.0
CHECK_SECONDS = 0.5
"""How often it is asked whether a caller is still let in; contract §6 leaves a second until that is felt."""

WATCH_AFTER_SECONDS = 0.05
"""A request that is answered sooner is not worth watching for its client's departure."""

STREAM_HEADERS = (
    (b"content-type", b"text/event-stream"),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),
)

Work = Callable[["Answer"], Awaitable[Response]]
Refused = Callable[[], Awaitable[Response | None]]
"""How the caller would be refused if the request came now; None while they would not be."""


class Answer(Response):
    """Does the work when it is sent. Whatever the work raises it must make a response of itself."""

    def __init__(
        self,
        work: Work,
        *,
        streams: bool,
        cancels: bool,
        refused: Refused,
        record: Callable[[], Recording] | None = None,
    ) -> None:
        """`streams`: the client takes events; `cancels`: a client that goes away wants the work to end."""
        self.raw_headers = []  # nothing else of a response is known before the work is done
        self._work = work
        self._streams = streams
        self._cancels = cancels
        self._refused = refused
        self._refusal: Response | None = None
        self._record = record
        self._recording: Recording | None = None
        self._started = self._gone = self._watches = False
        self._writing = asyncio.Lock()
        self._helpers: list[asyncio.Task[None]] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._send, self._receive = send, receive
        loop = asyncio.get_running_loop()
        self._task = asyncio.current_task(loop)
        self._alarm = alarm_of(loop)
        self.ends_at = loop.time() + (WATCH_AFTER_SECONDS if self._cancels else CHECK_SECONDS)
        self._alarm.watch(self)
        try:
            response = await self._work(self)
        except asyncio.CancelledError:
            if self._task is None or not (self._gone or self._refusal):
                raise
            self._task.uncancel()
            if self._refusal is None:
                return
            response = self._refusal
        finally:
            self._alarm.leave(self)
            for helper in self._helpers:
                helper.cancel()
        if self._started:
            await self._event(bytes(response.body))
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        else:
            response.raw_headers += self.raw_headers
            await response(scope, receive, send)
        if self._recording:
            self._recording.finished()

    async def emit(self, message: bytes) -> bool:
        """One message before the answer. False when this client takes none."""
        if not self._streams:
            return False
        await self._event(message)
        return True

    async def _event(self, message: bytes) -> None:
        if not message:
            return
        async with self._writing:
            if not self._started:
                self._started = True
                await self._send(
                    {"type": "http.response.start", "status": 200, "headers": [*STREAM_HEADERS, *self.raw_headers]}
                )
                self._recording = self._record() if self._record else None
                if self._recording and self._recording.primes:
                    await self._write(self._recording.primer())
                self._help(self._keep_alive())
            event_id = self._recording.add(message) if self._recording else ""
            await self._write(event(message, event_id))

    async def _write(self, raw: bytes) -> None:
        await self._send({"type": "http.response.body", "body": raw, "more_body": True})

    async def _keep_alive(self) -> None:
        while True:
            await asyncio.sleep(KEEP_ALIVE_SECONDS)
            async with self._writing:
                await self._write(COMMENT)

    def over(self) -> None:
        """It takes longer than most: its client may leave meanwhile, and later on may be somebody to turn away."""
        if self._cancels and not self._watches:
            self._watches = True
            self._help(_departure(self._receive, self._departed))
            self.ends_at += CHECK_SECONDS - WATCH_AFTER_SECONDS
            self._alarm.watch(self)
        else:
            self._help(self._keep_checking())

    def _departed(self) -> None:
        self._gone = True
        if self._task:
            self._task.cancel()

    async def _keep_checking(self) -> None:
        """Work for somebody who is not let in any more ends, and so does its stream (contract §6)."""
        while True:
            self._refusal = await self._refused()
            if self._refusal is not None:
                break
            await asyncio.sleep(CHECK_SECONDS)
        if self._task:
            self._task.cancel()

    def _help(self, work: Awaitable[None]) -> None:
        self._helpers.append(asyncio.ensure_future(work))


COMMENT = b": still here\n\n"


_LINE_ENDS = {b"\r": b"", b"\n": b""} | {
    end.encode(): b"\\u%04x" % ord(end) for end in ("\x85", "\N{LINE SEPARATOR}", "\N{PARAGRAPH SEPARATOR}")
}
"""What JSON may have between its tokens goes; what may stand in its strings is escaped. Only the first two end a line
of an event, but widely used clients read lines as Unicode has them (UAX 14), and would tear the message apart."""


def event(message: bytes, event_id: str = "") -> bytes:
    """JSON has no line ends of its own, so one line of data carries any message."""
    named = b"id: " + event_id.encode() + b"\n" if event_id else b""
    for end, instead in _LINE_ENDS.items():
        message = message.replace(end, instead)
    return named + b"event: message\ndata: " + message + b"\n\n"


class EventStream(Response):
    """A stream that lasts: it ends when `messages` end, when the client goes, or when the server stops."""

    def __init__(
        self,
        messages: AsyncIterator[bytes],
        *,
        closing: Callable[[], None],
        stop: Callable[[], None] | None = None,
        moved: Callable[[Call], Awaitable[None]] | None = None,
    ) -> None:
        """`messages` are whole events; `stop` makes them end; `closing` is called at the end, whatever the reason.

        `moved` is told when its caller may use something else than before; a stream that has none ends then.
        """
        super().__init__()
        self.raw_headers = []
        self._messages = messages
        self._stop = stop
        self.moved = moved
        self._closing = closing
        self._writing = asyncio.Lock()
        self._gone = False
        self.refused: Refused | None = None
        """Asked twice a second (contract §6: revocation is felt)."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - a server runs every request in one

        def gone() -> None:
            self._gone = True
            task.cancel()

        ends = self._stop or gone
        helpers = [
            asyncio.ensure_future(_departure(receive, gone)),
            asyncio.ensure_future(self._keep_alive(send)),
            asyncio.ensure_future(self._keep_checking(ends)),
        ]
        scope[ON_STOPPING] = ends
        try:
            await send({"type": "http.response.start", "status": 200, "headers": [*STREAM_HEADERS, *self.raw_headers]})
            await self._write(send, COMMENT)
            async for message in self._messages:
                await self._write(send, message)
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        except asyncio.CancelledError:
            if not self._gone:
                raise
            task.uncancel()
        finally:
            for helper in helpers:
                helper.cancel()
            self._closing()

    async def _keep_checking(self, ends: Callable[[], None]) -> None:
        while self.refused is not None:
            await asyncio.sleep(CHECK_SECONDS)
            if await self.refused() is not None:
                ends()
                return

    async def _write(self, send: Send, raw: bytes) -> None:
        async with self._writing:
            await send({"type": "http.response.body", "body": raw, "more_body": True})

    async def _keep_alive(self, send: Send) -> None:
        while True:
            await asyncio.sleep(KEEP_ALIVE_SECONDS)
            await self._write(send, COMMENT)


async def _departure(receive: Receive, gone: Callable[[], None]) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    gone()
