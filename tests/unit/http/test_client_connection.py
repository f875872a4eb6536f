"""One connection, fed by hand: what is an answer, what is none, and that nothing in between hangs or crashes."""

import asyncio
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bifrost.http.client_connection import ConnectionEnded, HttpFailed
from tests.unit.http._exchange import CHUNKED, OK, PLAIN, UNTIL_END, Exchange, begun, exchanged, outcome_of


@pytest.mark.parametrize("raw", [PLAIN, CHUNKED])
def test_an_answer_is_whole_and_its_connection_free_again(raw: bytes) -> None:
    """RFC 9112 §6.3, §9.3."""
    exchange = exchanged(raw)
    assert exchange.outcome() == (200, b"hello")
    assert exchange.free == [exchange.connection]
    assert not exchange.transport.closed


def test_a_body_may_end_with_the_connection() -> None:
    """RFC 9112 §6.3 (8)."""
    exchange = exchanged(UNTIL_END, end=True)
    assert exchange.outcome() == (200, b"hello")
    assert exchange.free == []


def test_fields_are_found_without_regard_to_case_and_all_of_a_name() -> None:
    """RFC 9110 §5.1, §5.3."""
    answer = exchanged(OK + b"WWW-Authenticate: A\r\nwww-authenticate: B\r\nContent-Length: 0\r\n\r\n").answer
    assert answer.headers.all("Www-Authenticate") == ("A", "B")
    assert answer.headers.get("WWW-AUTHENTICATE") == "A"
    assert answer.headers.get("x-none") is None


def test_a_trailer_is_no_part_of_the_head() -> None:
    """RFC 9110 §6.5.1."""
    assert exchanged(CHUNKED).answer.headers.get("x-trailer") is None


@pytest.mark.parametrize("status", [b"204 No Content", b"304 Not Modified"])
def test_some_answers_have_no_body(status: bytes) -> None:
    """RFC 9112 §6.3 (1)."""
    exchange = exchanged(b"HTTP/1.1 " + status + b"\r\n\r\n")
    assert exchange.outcome() == (int(status[:3]), b"")
    assert exchange.free


def test_informational_answers_are_passed_over() -> None:
    """RFC 9110 §15.2."""
    early = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n"
    exchange = exchanged(early + PLAIN)
    assert exchange.outcome() == (200, b"hello")
    assert exchange.answer.headers.get("link") is None
    assert exchange.free


@pytest.mark.parametrize(
    "head",
    [
        b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
        b"Content-Length: 5\r\nContent-Length: 5\r\n",
        b"Content-Length: 5\r\nContent-Length: 6\r\n",
        b"Content-Length: 5, 5\r\n",
        b"Content-Length: +5\r\n",
        b"Content-Length: -5\r\n",
        b"Content-Length: 0x5\r\n",
        b"Content-Length: 5 5\r\n",
        b"Content-Length: 99999999999999999999999\r\n",
        b"Content-Length:\r\n",
        b"Content-Length : 5\r\n",
        b"Transfer-Encoding: gzip, chunked\r\n",
        b"Transfer-Encoding: chunked, chunked\r\n",
        b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        b"Transfer-Encoding: identity\r\n",
        b"Transfer-Encoding: xchunked\r\n",
        b"Transfer-Encoding:\r\n",
        b"Content-Encoding: gzip\r\nContent-Length: 5\r\n",
        b"X: a\r\n b\r\nContent-Length: 5\r\n",
        b"X: a\0b\r\nContent-Length: 5\r\n",
        b"X Y: a\r\nContent-Length: 5\r\n",
        b": a\r\nContent-Length: 5\r\n",
        b"X: a\nContent-Length: 5\r\n",
        b"X: a\rContent-Length: 5\r\n",
    ],
)
def test_a_head_that_can_be_read_in_two_ways_is_no_answer(head: bytes) -> None:
    """RFC 9112 §6.3, §11.1: response smuggling and splitting."""
    exchange = exchanged(OK + head + b"\r\nhello", end=True)
    assert isinstance(exchange.outcome(), str)
    assert exchange.transport.closed
    assert exchange.free == []


@pytest.mark.parametrize(
    "body",
    [b"x\r\nhello\r\n0\r\n\r\n", b"-1\r\n\r\n", b"5\nhello\n0\n\n", b"fffffffffffffffff\r\n", b"5\r\nhelloworld\r\n"]
    + [b"0x5\r\nhello\r\n0\r\n\r\n", b"5 \r\nhello\r\n0\r\n\r\n", b" 5\r\nhello\r\n0\r\n\r\n", b"\r\nhello"],
)
def test_a_chunk_size_that_is_none_is_no_answer(body: bytes) -> None:
    """RFC 9112 §7.1."""
    exchange = exchanged(OK + b"Transfer-Encoding: chunked\r\n\r\n" + body)
    assert isinstance(exchange.outcome(), str)
    assert exchange.transport.closed


@pytest.mark.parametrize("raw", [PLAIN, CHUNKED])
def test_an_answer_that_breaks_off_is_none(raw: bytes) -> None:
    """RFC 9112 §8."""
    for size in range(1, len(raw)):
        assert exchanged(raw[:size], end=True).outcome() == "the connection ended before the answer did"


def test_a_connection_that_ends_before_the_answer_is_told_apart() -> None:
    """RFC 9110 §9.2.2: only then a request that does no harm may be sent again."""

    async def run() -> None:
        with pytest.raises(ConnectionEnded):
            await begun(Exchange().end().answer)

    asyncio.run(run())


@pytest.mark.parametrize("field", [b"Connection: close\r\n", b"Connection: Close, x\r\n"])
def test_a_connection_that_says_it_closes_is_not_used_again(field: bytes) -> None:
    """RFC 9112 §9.6."""
    exchange = exchanged(OK + field + b"Content-Length: 5\r\n\r\nhello")
    assert exchange.outcome() == (200, b"hello")
    assert exchange.free == []


def test_an_older_server_is_understood_and_its_connection_not_kept() -> None:
    """RFC 9112 §9.3, HTTP/1.0."""
    exchange = exchanged(b"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello")
    assert exchange.outcome() == (200, b"hello")
    assert exchange.free == []


@pytest.mark.parametrize(
    "start", [b"HTTP/2 200 OK", b"HTTP/1.1 20 OK", b"HTTP/1.1 2000 OK", b"HTTP/1.1  200 OK", b"ICY 200 OK"]
)
def test_what_does_not_begin_like_an_answer_is_none(start: bytes) -> None:
    """RFC 9112 §4."""
    assert isinstance(exchanged(start + b"\r\nContent-Length: 5\r\n\r\nhello", end=True).outcome(), str)


def test_an_answer_to_half_a_request_is_kept_but_the_connection_is_not() -> None:
    """RFC 9112 §9.3: an early answer, while the rest of the request waits to be sent."""

    async def run() -> Exchange:
        exchange = Exchange()
        exchange.transport.unsent = 1
        return exchange.feed(PLAIN)

    exchange = asyncio.run(run())
    assert exchange.outcome() == (200, b"hello")
    assert exchange.transport.closed


def test_an_answer_that_nobody_waits_for_closes_its_connection() -> None:
    """TC-213: the upstream sees that nobody is there."""

    async def run() -> None:
        exchange = Exchange().feed(OK + b"Content-Length: 5\r\n\r\nhe")
        with exchange.answer:
            pass
        assert exchange.transport.closed

    asyncio.run(run())


@given(raw=st.sampled_from([PLAIN, CHUNKED]), cuts=st.sets(st.integers(1, 120)))
@settings(max_examples=300, deadline=None)
def test_it_does_not_matter_how_an_answer_is_cut_into_pieces(raw: bytes, cuts: set[int]) -> None:
    """TCP is a stream."""
    ends = sorted(cut for cut in cuts if cut < len(raw))
    pieces = [raw[begin:end] for begin, end in zip([0, *ends], [*ends, len(raw)], strict=True)]
    exchange = exchanged(*pieces)
    assert exchange.outcome() == (200, b"hello")
    assert exchange.free


FRAGMENTS = st.sampled_from(
    [
        OK,
        PLAIN,
        CHUNKED,
        b"\r\n",
        b"\n",
        b"\r",
        b"Content-Length: 5\r\n",
        b"Transfer-Encoding: chunked\r\n",
        b"0\r\n\r\n",
    ]
    + [b"5\r\nhello\r\n", b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.0 200 OK\r\n", b"Connection: keep-alive\r\n", b":"]
)


@given(pieces=st.lists(st.one_of(FRAGMENTS, st.binary(max_size=40)), max_size=12), end=st.booleans())
@settings(max_examples=1_000, deadline=None)
def test_whatever_comes_there_is_an_answer_a_failure_or_silence(pieces: list[bytes], end: bool) -> None:
    """Nothing else is raised, and once the connection has ended nobody waits any more."""

    async def run() -> None:
        exchange = Exchange()
        exchange.feed(*pieces)
        if end or exchange.transport.closed:
            exchange.end()
            outcome: Any = await outcome_of(exchange.answer)
            assert isinstance(outcome, (tuple, str))
        assert len(exchange.free) <= 1
        assert not (exchange.free and not exchange.answer.done)

    asyncio.run(run())


def test_fields_are_a_mapping() -> None:
    """Ours: whoever only reads fields need not know where they came from."""
    headers = exchanged(OK + b"A: 1\r\na: 2\r\nB: 3\r\nContent-Length: 0\r\n\r\n").answer.headers
    assert dict(headers) == {"a": "1", "b": "3", "content-length": "0"}
    assert len(headers) == 3
    assert headers.get("C", "none") == "none"


def test_a_connection_that_is_gone_already_is_a_failure_and_nothing_worse() -> None:
    """Ours: it may end between being taken from the pool and being used."""

    async def run() -> str | tuple[int, bytes]:
        exchange = Exchange().feed(PLAIN).end()
        return await outcome_of(exchange.connection.ask(b"GET / HTTP/1.1\r\n\r\n", None))

    assert asyncio.run(run()) == "the connection ended before the request was sent"


def test_a_body_that_came_whole_is_there_at_once_and_only_once() -> None:
    """Ours: what need not be waited for is not; and a limit is one for it, too."""

    async def run() -> None:
        exchange = Exchange().feed(OK + b"Content-Length: 4\r\n\r\nbo")
        assert exchange.answer.at_once(4) is None
        exchange.feed(b"dy")
        assert exchange.answer.at_once(4) is None  # two pieces
        assert await exchange.answer.read(4) == b"body"
        exchange = Exchange().feed(OK + b"Content-Length: 4\r\n\r\nbody")
        assert exchange.answer.at_once(3) is None
        assert exchange.answer.at_once(4) == b"body"
        assert exchange.answer.at_once(4) is None
        with pytest.raises(HttpFailed):
            await Exchange().feed(OK + b"Content-Length: 4\r\n\r\n").end().answer.read(4)

    asyncio.run(run())
