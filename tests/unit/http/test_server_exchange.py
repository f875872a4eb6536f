"""What an application says becomes bytes, and what it must not say becomes a fault."""

import asyncio
import logging
from typing import Any, cast

import pytest
from uvicorn.protocols.http.flow_control import FlowControl

from bifrost.http.body import ARRIVED
from bifrost.http.server_exchange import JOINED_BYTES, Exchange

pytestmark = pytest.mark.anyio


@pytest.fixture(autouse=True)
def _heard(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """A server that ran in this process before may have kept its log lines to itself, or written none."""
    for name in ("uvicorn", "uvicorn.error"):
        monkeypatch.setattr(logging.getLogger(name), "propagate", True)
    caplog.set_level(logging.INFO, logger="uvicorn.error")


class _Transport:
    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.closed = False

    def write(self, data: bytes) -> None:
        self.written.append(bytes(data))

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True


class _Connection:
    """Runs an application of these messages and keeps what was written, call by call."""

    def __init__(self, *, method: str = "GET", keep_alive: bool = True) -> None:
        self.transport = _Transport()
        self.ended: list[str] = []
        transport = cast(asyncio.Transport, self.transport)
        self.flow = FlowControl(transport)
        self.exchange = Exchange(
            cast(Any, {"type": "http", "method": method}),
            transport,
            self.flow,
            [(b"date", b"today")],
            expect_100_continue=False,
            keep_alive=keep_alive,
            on_response=lambda: self.ended.append("answered"),
            close=lambda: self.ended.append("closed"),
        )

    async def run(self, *messages: dict[str, Any], error: BaseException | None = None) -> list[bytes]:
        async def application(_scope: Any, _receive: Any, send: Any) -> None:
            for message in messages:
                await send(message)
            if error:
                raise error

        await self.exchange.run_asgi(application)
        return self.transport.written


def start(status: int = 200, *fields: tuple[bytes, bytes]) -> dict[str, Any]:
    return {"type": "http.response.start", "status": status, "headers": list(fields)}


def body(data: bytes = b"", *, more: bool = False) -> dict[str, Any]:
    return {"type": "http.response.body", "body": data, "more_body": more}


def length(count: int) -> tuple[bytes, bytes]:
    return b"content-length", str(count).encode()


async def test_a_head_and_a_body_of_known_length_leave_together() -> None:
    """RFC 9112 §6: one call of the system for both."""
    connection = _Connection()
    assert await connection.run(start(201, length(2)), body(b"{}")) == [
        b"HTTP/1.1 201 Created\r\ndate: today\r\ncontent-length: 2\r\n\r\n{}"
    ]
    assert connection.ended == ["answered"]
    assert connection.exchange.response_complete


async def test_a_large_body_is_not_copied_behind_its_head() -> None:
    """Ours: of what is large, one copy is enough."""
    large = b"x" * (JOINED_BYTES + 1)
    written = await _Connection().run(start(200, length(len(large))), body(large))
    assert (len(written), written[1]) == (2, large)


async def test_a_body_of_unknown_length_leaves_in_chunks_and_its_head_at_once() -> None:
    """RFC 9112 §7.1: a stream may have nothing to say for a long time."""
    written = await _Connection().run(
        start(200, (b"content-type", b"text/event-stream")), body(b"a" * 16, more=True), body(more=True), body(b"b")
    )
    assert written[0].endswith(b"transfer-encoding: chunked\r\n\r\n")
    assert b"".join(written[1:]) == b"10\r\n" + b"a" * 16 + b"\r\n1\r\nb\r\n0\r\n\r\n"


@pytest.mark.parametrize(
    ("method", "status", "fields"), [("HEAD", 200, [length(5)]), ("HEAD", 200, []), ("GET", 204, []), ("GET", 304, [])]
)
async def test_an_answer_without_a_body_has_no_byte_of_one(
    method: str, status: int, fields: list[tuple[bytes, bytes]]
) -> None:
    """RFC 9110 §9.3.2, §15.3.5: HEAD says the length of what GET would give."""
    connection = _Connection(method=method)
    (written,) = await connection.run(start(status, *fields), body(b"hello" if method == "HEAD" else b""))
    assert written.endswith(b"\r\n\r\n")
    assert b"chunked" not in written
    assert (b"content-length: 5" in written) == bool(fields)
    assert connection.ended == ["answered"]


@pytest.mark.parametrize("said", [b"close", b"Close", b"keep-alive, close"])
async def test_an_application_may_end_the_connection(said: bytes) -> None:
    """RFC 9112 §9.6."""
    connection = _Connection()
    (written,) = await connection.run(start(200, length(0), (b"connection", said)), body())
    assert written.lower().count(b"close") == 1
    assert connection.ended == ["closed", "answered"]


async def test_a_connection_that_ends_says_so() -> None:
    """RFC 9112 §9.6: the client did not ask to keep it."""
    connection = _Connection(keep_alive=False)
    (written,) = await connection.run(start(200, length(0)), body())
    assert b"\r\nconnection: close\r\n" in written
    assert connection.ended == ["closed", "answered"]


@pytest.mark.parametrize(
    "field",
    [
        *((b"x", b"a" + bad) for bad in (b"\r", b"\n", b"\x00", b"\x0b", b"\x1f", b"\x7f")),
        *((bad, b"a") for bad in (b"x y", b"x:", b"x\r\n", b"(x)", b"x\t", b'"x"', b"x\x00")),
    ],
)
async def test_a_field_that_would_be_two_leaves_nothing_of_itself(
    field: tuple[bytes, bytes], caplog: pytest.LogCaptureFixture
) -> None:
    """RFC 9110 §5.5: response splitting."""
    connection = _Connection()
    written = await connection.run(start(200, length(0), field), body())
    assert written == []
    assert connection.transport.closed
    assert [record.levelno for record in caplog.records] == [logging.ERROR]


@pytest.mark.parametrize("value", [b"a\tb", b"caf\xc3\xa9", b""])
async def test_a_field_may_hold_what_a_field_may_hold(value: bytes) -> None:
    """RFC 9110 §5.5."""
    (written,) = await _Connection().run(start(200, length(0), (b"X-One", value)), body())
    assert b"\r\nX-One: " + value + b"\r\n" in written


@pytest.mark.parametrize(
    "messages",
    [
        [start(200, length(3)), body(b"four")],
        [start(200, length(3)), body(b"a", more=True), body(b"b")],
        [start(200, length(3)), body(b"a", more=True)],
        [start(200, length(3))],
        [start(200), start(200)],
        [start(200), body(b"a", more=True)],
    ],
    ids=["too-long", "too-short", "not-ended", "head-only", "two-heads", "half-a-stream"],
)
async def test_an_answer_that_is_not_whole_ends_the_connection(
    messages: list[dict[str, Any]], caplog: pytest.LogCaptureFixture
) -> None:
    """RFC 9112 §8: what is incomplete must look incomplete."""
    connection = _Connection()
    await connection.run(*messages)
    assert connection.transport.closed
    assert not connection.exchange.response_complete
    assert caplog.records


@pytest.mark.parametrize("messages", [[], [body(b"x")]], ids=["nothing", "no-head"])
async def test_no_answer_at_all_becomes_a_500(messages: list[dict[str, Any]], caplog: pytest.LogCaptureFixture) -> None:
    """RFC 9110 §15.6.1."""
    connection = _Connection()
    (written,) = await connection.run(*messages)
    assert written.startswith(b"HTTP/1.1 500 ")
    assert connection.ended == ["closed", "answered"]
    assert caplog.records


async def test_a_fault_after_the_answer_is_only_told(caplog: pytest.LogCaptureFixture) -> None:
    """Nothing may follow an answer that is whole."""
    connection = _Connection()
    written = await connection.run(start(200, length(0)), body(), body(b"more"))
    assert len(written) == 1
    assert caplog.records


async def test_a_client_that_has_gone_is_told_nothing_more() -> None:
    """And the application need not know."""
    connection = _Connection()
    connection.exchange.disconnected = True
    assert await connection.run(start(200, length(2)), body(b"{}")) == []


async def test_a_body_that_has_arrived_is_given_once_and_then_only_the_end_is_waited_for() -> None:
    """ASGI: the next thing that can be received is that the client goes."""
    connection = _Connection()
    exchange = connection.exchange
    assert exchange.arrived() is None  # there may be more
    exchange.body += b"abc"
    exchange.more_body = False
    exchange.message_event.set()
    scope = cast(dict[str, Any], exchange.scope)
    assert scope[ARRIVED]() == b"abc"
    assert exchange.arrived() is None
    waiting = asyncio.ensure_future(exchange.receive())
    await asyncio.sleep(0)
    assert not waiting.done()
    exchange.disconnected = True
    exchange.message_event.set()
    assert await waiting == {"type": "http.disconnect"}


async def test_a_body_of_which_a_part_was_received_is_received_to_its_end() -> None:
    """Or a part of it would be missing."""
    exchange = _Connection().exchange
    exchange.body += b"abc"
    exchange.message_event.set()
    assert (await exchange.receive())["more_body"]  # type: ignore[typeddict-item]
    exchange.body += b"def"
    exchange.more_body = False
    exchange.message_event.set()
    assert exchange.arrived() is None
    assert await exchange.receive() == {"type": "http.request", "body": b"def", "more_body": False}


async def test_what_has_ended_holds_on_to_nothing() -> None:
    """Ours: else every request would be a circle that waits to be collected."""
    connection = _Connection()
    await connection.run(start(200, length(0)), body())
    assert ARRIVED not in connection.exchange.scope
    connection.exchange.on_response()
    assert connection.ended == ["answered"]


async def test_nothing_is_written_while_the_client_does_not_read() -> None:
    """Ours: what is not sent yet stays with whoever makes it."""
    connection = _Connection()
    connection.flow.pause_writing()
    running = asyncio.ensure_future(connection.run(start(200, length(2)), body(b"{}")))
    await asyncio.sleep(0)
    assert connection.transport.written == []
    connection.flow.resume_writing()
    assert len(await running) == 1


@pytest.mark.parametrize("begun", [False, True])
async def test_a_request_that_is_cancelled_says_what_can_still_be_said(
    *, begun: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """Contract §11: no fault, so no traceback."""
    connection = _Connection()
    messages = [start(200, length(2)), body(b"{", more=True)] if begun else []
    written = b"".join(await connection.run(*messages, error=asyncio.CancelledError()))
    assert written.startswith(b"HTTP/1.1 200 " if begun else b"HTTP/1.1 503 ")
    assert connection.transport.closed == begun
    assert ("closed" in connection.ended) != begun
    assert not caplog.records
