"""One request and its answer on a connection (http/server_protocol.py).

Uvicorn's own class writes the head of an answer by itself, which is one more call of the system for every request, and
looks at each of its fields for two kinds of characters that must not be there.
"""

import asyncio
import logging
import re
from collections.abc import Callable
from http import HTTPStatus
from typing import Any, cast

from uvicorn._types import ASGI3Application, ASGIReceiveEvent, ASGISendEvent, HTTPScope
from uvicorn.protocols.http.flow_control import FlowControl, service_unavailable
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle

from bifrost.http.body import ARRIVED

MAX_USUAL = 256
JOINED_BYTES = 64 * 1024
"""Up to here it is cheaper to copy a body behind its head than to write twice."""

_NOT_IN_NAMES = re.compile(rb'[\x00-\x1f\x7f()<>@,;:\[\]={} \t\\"]')
_IN_VALUES = bytes({*range(0x100)} - {*range(0x20), 0x7F} | {0x09})
_usual: set[bytes] = set()
"""Names that were looked at already, and are in lower case. The product has a few dozen, all its own words."""

_NO_BODY = (HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED)
_CLOSE = (b"connection", b"close")
_CHUNKED = (b"transfer-encoding", b"chunked")

_log = logging.getLogger("uvicorn.error")


class Exchange(RequestResponseCycle):
    """`close` ends the connection after the answer; what it held on to is let go when the application returns."""

    def __init__(
        self,
        scope: HTTPScope,
        transport: asyncio.Transport,
        flow: FlowControl,
        default_headers: list[tuple[bytes, bytes]],
        *,
        expect_100_continue: bool,
        keep_alive: bool,
        on_response: Callable[[], None],
        close: Callable[[], None],
    ) -> None:
        self.scope = scope
        self.transport = transport
        self.flow = flow
        self.default_headers = default_headers
        self.message_event = asyncio.Event()
        self.on_response = on_response
        self._close = close
        self.disconnected = False
        self.keep_alive = keep_alive
        self.waiting_for_100_continue = expect_100_continue
        self.body = bytearray()
        self.more_body = True
        self._taken = False
        self.response_started = False
        self.response_complete = False
        self.chunked_encoding: bool | None = None
        self.expected_content_length = 0
        self._head = b""  # that waits for the body behind it
        cast("dict[str, Any]", scope)[ARRIVED] = self.arrived

    def arrived(self) -> bytes | None:
        """The whole body, once it is here and not taken yet; from then on `receive` waits for the client to go."""
        if self.more_body or self._taken or self.disconnected or self.response_complete:
            return None
        self._taken = True
        self.flow.resume_reading()
        self.message_event.clear()
        body, self.body = bytes(self.body), bytearray()
        return body

    async def receive(self) -> ASGIReceiveEvent:
        self._taken = True
        return await super().receive()

    async def run_asgi(self, app: ASGI3Application) -> None:
        try:
            await app(self.scope, self.receive, self.send)
        except asyncio.CancelledError:
            await self._outlived()
        except BaseException as error:  # noqa: BLE001 - the last one who could say so
            await self._failed(error)
        else:
            if not self.response_complete and not self.disconnected:
                await self._failed(None)
        finally:
            self.on_response = self._close = _nothing
            cast("dict[str, Any]", self.scope).pop(ARRIVED, None)

    async def _outlived(self) -> None:
        """Uvicorn cancels a request that outlives the grace time of a stopping server: no fault, so no traceback."""
        if not self.response_started:
            await service_unavailable(self.scope, self.receive, self.send)
            return
        self.transport.write(self._head)
        self.disconnected = True
        self.transport.close()

    async def _failed(self, error: BaseException | None) -> None:
        _log.error("The application did not complete its answer.", exc_info=error)
        if self.response_started:
            self.transport.close()
        else:
            await self.send_500_response()

    # ---- the answer -------------------------------------------------------------------------------------------------

    async def send(self, message: ASGISendEvent) -> None:
        if self.flow.write_paused and not self.disconnected:
            await self.flow.drain()
        if self.disconnected:
            return
        sent: dict[str, Any] = cast("dict[str, Any]", message)
        expected = "http.response.body" if self.response_started else "http.response.start"
        if sent["type"] != expected or self.response_complete:
            raise RuntimeError(f"The application sent {sent['type']} where {expected} was due, or after the end.")
        if self.response_started:
            self._goes_on(sent.get("body", b""), sent.get("more_body", False))
        else:
            self._starts(sent["status"], [*self.default_headers, *sent.get("headers", ())])

    def _starts(self, status: int, fields: list[tuple[bytes, bytes]]) -> None:
        """The head waits for the body when its length is known: then the body is there as well."""
        self.response_started = True
        self.waiting_for_100_continue = False
        known = _by_name(fields)
        if b"close" in known.get(b"connection", b"").lower():
            self.keep_alive = False
        elif not self.keep_alive:
            fields.append(_CLOSE)
        if b"content-length" in known:
            self.chunked_encoding = False
            self.expected_content_length = int(known[b"content-length"])
        elif self._has_body(status):
            self.chunked_encoding = True
            if b"transfer-encoding" not in known:
                fields.append(_CHUNKED)
        lines = [b": ".join(field) for field in fields]
        head = b"%b%b\r\n\r\n" % (STATUS_LINE[status], b"\r\n".join(lines))
        if len(head.translate(None, _IN_VALUES)) != len(b"\r\n") * (max(len(lines), 1) + 2):
            raise RuntimeError("The value of a header field has a character that must not be there.")
        if self.chunked_encoding:
            self.transport.write(head)
        else:
            self._head = head

    def _has_body(self, status: int) -> bool:
        return self.scope["method"] != "HEAD" and status not in _NO_BODY

    def _goes_on(self, body: bytes, more_body: bool) -> None:
        if self.scope["method"] == "HEAD":
            self.expected_content_length = 0
            body = b""
        elif self.chunked_encoding:
            body = _chunk(body, last=not more_body)
        else:
            self.expected_content_length -= len(body)
            if self.expected_content_length < 0:
                raise RuntimeError("The body is longer than its Content-Length.")
        self._write(body)
        if not more_body:
            self._ends()

    def _write(self, body: bytes) -> None:
        head, self._head = self._head, b""
        if head and len(body) > JOINED_BYTES:
            self.transport.write(head)
            head = b""
        self.transport.write(head + body if head else body)

    def _ends(self) -> None:
        if self.expected_content_length:
            raise RuntimeError("The body is shorter than its Content-Length.")
        self.response_complete = True
        self.message_event.set()
        if not self.keep_alive:
            self._close()
        self.on_response()


def _by_name(fields: list[tuple[bytes, bytes]]) -> dict[bytes, bytes]:
    """The values by their names in lower case. Raises RuntimeError."""
    known = dict(fields)
    if known.keys() <= _usual:
        return known
    known = {_name(name): value for name, value in fields}
    if len(_usual) < MAX_USUAL:
        _usual.update(name for name, _ in fields if name in known)
    return known


def _name(name: bytes) -> bytes:
    """In lower case. Raises RuntimeError."""
    if _NOT_IN_NAMES.search(name):
        raise RuntimeError("The name of a header field has a character that must not be there.")
    return name.lower()


def _chunk(body: bytes, *, last: bool) -> bytes:
    chunk = b"%x\r\n%b\r\n" % (len(body), body) if body else b""
    return chunk + b"0\r\n\r\n" if last else chunk


def _nothing() -> None:
    """For what is over."""
