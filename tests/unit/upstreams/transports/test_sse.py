"""Server-sent events, however the network cuts them."""

from collections.abc import AsyncIterator, Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bifrost.upstreams.transports import sse

pytestmark = pytest.mark.anyio


async def _chunked(chunks: Sequence[bytes]) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


async def events(*chunks: bytes) -> list[bytes]:
    return [event.data async for event in sse.events(_chunked(chunks)) if event.data is not None]


@pytest.mark.parametrize(
    ("stream", "expected"),
    [
        (b"", []),
        (b"data: x\n\n", [b"x"]),
        (b"data:x\n\n", [b"x"]),
        (b"data:  x\n\n", [b" x"]),
        (b"data: x \n\n", [b"x "]),
        (b"data: a\ndata: b\n\n", [b"a\nb"]),
        (b"data: a\n\ndata: b\n\n", [b"a", b"b"]),
        (b"event: message\nid: 1\ndata: x\nretry: 10\n\n", [b"x"]),
        (b": comment\n\ndata: x\n\n", [b"x"]),
        (b"data: a\n: comment\ndata: b\n\n", [b"a\nb"]),
        (b"id: 1\n\n", []),
        (b"\n\n\n", []),
        (b"data: x\r\n\r\n", [b"x"]),
        (b"data: x\r\r", [b"x"]),
        (b"data: a\r\ndata: b\rdata: c\n\n", [b"a\nb\nc"]),
        (b"datax: y\n\n", []),
        (b" data: x\n\n", []),
        (b"Data: x\n\n", []),
        (b"data: a:b\n\n", [b"a:b"]),
        ("data: ü☃\n\n".encode(), ["ü☃".encode()]),
        (b'data: {"a":"\xe2\x80\xa8"}\n\n', [b'{"a":"\xe2\x80\xa8"}']),
    ],
)
async def test_the_data_of_each_event_is_read(stream: bytes, expected: list[bytes]) -> None:
    """HTML §9.2.6."""
    assert await events(stream) == expected


@pytest.mark.parametrize("stream", [b"data: x", b"data: x\n", b"data: x\r\n", b"data: a\n\ndata: x\n"])
async def test_an_event_that_was_cut_off_is_no_event(stream: bytes) -> None:
    """HTML §9.2.6: an incomplete event at the end of the stream is discarded."""
    assert b"x" not in await events(stream)


async def test_a_byte_order_mark_at_the_beginning_is_not_part_of_the_stream() -> None:
    """HTML §9.2.5: the stream is decoded with UTF-8 decode, which takes the mark away."""
    assert await events(b"\xef\xbb\xbfdata: x\n\n") == [b"x"]
    assert await events(*(bytes([byte]) for byte in b"\xef\xbb\xbfdata: x\n\n")) == [b"x"]


LINES = st.lists(st.sampled_from([b"data: a", b"data:b", b"data:  c", b": x", b"id: 1", b"event: m", b"x"]), max_size=4)


@st.composite
def _streams(draw: st.DrawFn) -> tuple[bytes, list[bytes]]:
    """A stream with any mixture of line ends, and what must come out of it."""
    stream, expected = b"", []
    for lines in draw(st.lists(LINES, max_size=4)):
        for line in lines:
            stream += line + draw(st.sampled_from([b"\n", b"\r\n", b"\r"]))
        # CR and LF in a row are one line end, so an empty line after a CR ends in another way
        stream += draw(st.sampled_from([b"\r\n", b"\r"] if stream.endswith(b"\r") else [b"\n", b"\r\n", b"\r"]))
        data = [line[5:].removeprefix(b" ") for line in lines if line.startswith(b"data:")]
        if data:
            expected.append(b"\n".join(data))
    return stream, expected


def _cut(stream: bytes, places: list[int]) -> list[bytes]:
    edges = [0, *sorted(place % (len(stream) + 1) for place in places), len(stream)]
    return [stream[start:end] for start, end in pairwise(edges)]


@given(_streams(), st.lists(st.integers(0, 500), max_size=8))
async def test_it_does_not_matter_how_the_stream_is_cut(built: tuple[bytes, list[bytes]], places: list[int]) -> None:
    """HTML §9.2.6; a CR at the end of a chunk may be half of a CR LF. Chunks may be empty."""
    stream, expected = built
    assert await events(*_cut(stream, places)) == expected


@given(_streams())
async def test_byte_by_byte_gives_the_same_as_at_once(built: tuple[bytes, list[bytes]]) -> None:
    """The finest of all cuts."""
    stream, expected = built
    assert await events(stream) == expected
    assert await events(*(bytes([byte]) for byte in stream)) == expected


async def test_an_event_says_what_it_is_and_where_to_go_on_after_it() -> None:
    """HTML §9.2.6: `event`, `id` and `retry`; the last of several counts."""
    stream = b"event: endpoint\nid: 6\nid: 7\nretry: 500\ndata: x\n\nid: 8\n\nretry: 5x\n\nid: \x07\n\n: no event\n\n"
    found = [event async for event in sse.events(_chunked([stream]))]
    assert found == [
        sse.Event(data=b"x", name=b"endpoint", id="7", retry=500),
        sse.Event(id="8"),
        sse.Event(),
        sse.Event(),
    ]
