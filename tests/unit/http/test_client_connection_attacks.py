"""Answers that are meant to be read in two ways, to fill the memory, or to become somebody else's."""

import asyncio
import tracemalloc

import pytest

from bifrost.http import client_connection
from bifrost.http.client_connection import HttpFailed
from tests.unit.http._exchange import OK, PLAIN, Exchange, begun, exchanged


@pytest.mark.parametrize("framing", [b"Content-Length: 32\r\n", b"Transfer-Encoding: chunked\r\n"])
@pytest.mark.parametrize("status", [b"204 No Content", b"304 Not Modified", b"103 Early Hints"])
def test_what_is_smuggled_behind_an_answer_without_a_body_is_no_answer(status: bytes, framing: bytes) -> None:
    """RFC 9112 §6.3 (1), §11.2: a server, or a proxy before it, that thinks otherwise does not choose the next answer."""
    hidden = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nno"
    exchange = exchanged(b"HTTP/1.1 " + status + b"\r\n" + framing + b"\r\n", hidden, PLAIN)
    assert exchange.outcome() != (200, b"no") or status.startswith(b"103")
    assert exchange.transport.closed


def test_the_head_of_an_informational_answer_frames_nothing() -> None:
    """RFC 9110 §15.2: it has no body, whatever it says of one."""
    early = b"HTTP/1.1 103 Early Hints\r\nContent-Length: 5\r\n\r\n"
    outcome = exchanged(early + PLAIN).outcome()
    assert outcome == (200, b"hello") or isinstance(outcome, str)


@pytest.mark.parametrize("coding", [b"gzip", b"br", b"deflate, gzip", b"x-unknown"])
def test_what_is_packed_is_not_unpacked(coding: bytes) -> None:
    """TC-211, a small answer that becomes a large one: identity was asked for, and nothing else is read."""
    exchange = exchanged(OK + b"Content-Encoding: " + coding + b"\r\nContent-Length: 5\r\n\r\nhello")
    assert exchange.outcome() == "a content coding that was not asked for"
    assert exchange.transport.closed


@pytest.mark.parametrize("size", [1, 2, 7])
def test_a_body_in_tiny_pieces_costs_little_more_than_its_bytes(size: int) -> None:
    """TC-211: whoever sends a body byte by byte does not fill the memory with what surrounds the bytes."""
    chunk = b"%x\r\n" % size + b"x" * size + b"\r\n"
    tracemalloc.start()
    try:

        async def run() -> int:
            exchange = Exchange().feed(OK + b"Transfer-Encoding: chunked\r\n\r\n")
            while not exchange.is_paused():
                exchange.feed(chunk * 1_000)
            reading = asyncio.create_task(exchange.answer.read(10_000_000))
            for _ in range(1_000_000 // size // 1_000):
                exchange.feed(chunk * 1_000)
                await asyncio.sleep(0)
            exchange.feed(b"0\r\n\r\n")
            return len(await reading)

        assert asyncio.run(run()) >= 1_000_000
        assert tracemalloc.get_traced_memory()[1] < 6_000_000
    finally:
        tracemalloc.stop()


def test_informational_answers_without_end_are_none() -> None:
    """Ours: TC-211."""
    assert "informational" in str(exchanged(b"HTTP/1.1 100 Continue\r\n\r\n" * 17).outcome())


def test_what_follows_an_answer_is_never_taken_for_the_next_one() -> None:
    """Response splitting: the connection is not used again."""
    for more in (PLAIN, b"x", b"HTTP/1.1 200", b"\0"):
        exchange = exchanged(PLAIN + more)
        assert exchange.outcome() == (200, b"hello")
        assert exchange.free == []
        assert exchange.transport.closed


def test_what_comes_unasked_closes_the_connection() -> None:
    """Response splitting, later."""
    exchange = exchanged(PLAIN, PLAIN)
    assert exchange.outcome() == (200, b"hello")
    assert exchange.transport.closed


def test_an_upgrade_that_nobody_asked_for_is_refused() -> None:
    """RFC 9110 §7.8."""
    assert isinstance(
        exchanged(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n").outcome(), str
    )


@pytest.mark.parametrize(
    "flood",
    [
        OK + b"X: " + b"a" * 400_000,
        OK + b"X: a\r\n" * 60_000,
        OK + b"X" * 400_000,
        b"HTTP/1.1 200 " + b"O" * 400_000,
        OK + b"Transfer-Encoding: chunked\r\n\r\n5;" + b"x" * 400_000,
        OK + b"Transfer-Encoding: chunked\r\n\r\n0\r\nX: " + b"a" * 400_000,
        OK + b"Transfer-Encoding: chunked\r\n\r\n0\r\n" + b"X: 0123456789\r\n" * 30_000,
        OK + b"Transfer-Encoding: chunked\r\n\r\n" + b"0" * 400_000,
    ],
    ids=["value", "fields", "name", "reason", "extension", "trailer", "trailers", "size"],
)
@pytest.mark.parametrize("piece", [1_000, 100_000])
def test_floods_are_cut_off(flood: bytes, piece: int) -> None:
    """TC-211: bounded whatever part of an answer has no end."""
    exchange = exchanged(*(flood[at : at + piece] for at in range(0, len(flood), piece)))
    assert isinstance(exchange.outcome(), str)
    assert exchange.transport.closed


def test_a_body_that_nobody_takes_stops_being_read() -> None:
    """Ours: backpressure."""

    async def run() -> None:
        exchange = Exchange().feed(OK + b"Content-Length: 1000000\r\n\r\n")
        while not exchange.is_paused():
            exchange.feed(b"x" * 10_000)
        assert exchange.answer._buffered <= client_connection.HIGH_WATER_BYTES + 10_000
        await begun(exchange.answer)
        size = 0
        async for chunk in exchange.answer.chunks():
            size += len(chunk)
            if not exchange.is_paused():
                break
        assert size >= client_connection.HIGH_WATER_BYTES - client_connection.LOW_WATER_BYTES

    asyncio.run(run())


def test_an_answer_that_is_larger_than_wanted_is_given_up() -> None:
    """TC-211."""

    async def run() -> None:
        exchange = Exchange().feed(PLAIN)
        with exchange.answer as answer, pytest.raises(HttpFailed, match="more than 4 bytes"):
            await answer.read(4)

    asyncio.run(run())
