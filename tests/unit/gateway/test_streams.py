"""What waits for a client that reads slowly, and what goes to other processes, is bounded."""

from typing import Any, cast

import pytest
from msgspec import Raw

from bifrost.gateway import streams
from bifrost.gateway.letter_limits import LetterLimits
from bifrost.gateway.models import Call
from bifrost.gateway.streams import MAX_WAITING, MAX_WAITING_BYTES, NEWS_LETTERS, Stream, Streams
from bifrost.protocol import mcp
from tests.support.clock import FakeClock
from tests.unit.upstreams.links._peer import peer

pytestmark = pytest.mark.anyio


def stream() -> Stream:
    return Stream(cast("Call", None), "s_1")


async def everything(one: Stream) -> list[int]:
    """The sizes of what a client would still read before the stream ends."""
    sizes = []
    while (message := await one.next()) is not None:
        sizes.append(len(message))
    return sizes


async def test_a_stream_keeps_so_many_messages_and_then_ends() -> None:
    """TC-211: the client opens a new one."""
    one = stream()
    taken = [one.offer(b"x") for _ in range(MAX_WAITING + 1)]
    assert taken == [True] * MAX_WAITING + [False]
    assert len(await everything(one)) < MAX_WAITING


async def test_a_stream_keeps_so_many_bytes_however_few_the_messages() -> None:
    """TC-211: an upstream may say 16 MiB at a time."""
    one, large = stream(), b"x" * (MAX_WAITING_BYTES // 2)
    assert [one.offer(large) for _ in range(3)] == [True, True, False]
    assert await everything(one) == [len(large)] * 2


async def test_a_single_message_may_be_of_any_size_and_what_was_read_is_not_counted() -> None:
    """Whoever reads in time hears everything."""
    one, large = stream(), b"x" * (2 * MAX_WAITING_BYTES)
    for _ in range(3):
        assert one.offer(large)
        assert await one.next() == large


class _Letters:
    shared = True

    def __init__(self) -> None:
        self.posted: list[tuple[str, str]] = []

    def post(self, session: str, kind: str, _body: dict[str, Any]) -> None:
        self.posted.append((session, kind))


async def test_an_upstream_that_does_not_stop_talking_fills_no_table(clock: FakeClock) -> None:
    """Contract §10: every letter is a row that every process reads; a session whose stream is elsewhere has a measure."""
    letters = _Letters()
    one = Streams(*(cast("Any", part) for part in (None, None, None, letters, LetterLimits(clock))))
    for _ in range(1_000):
        one.overheard(peer(session="s_1"), mcp.LOG_MESSAGE, {"data": Raw(b"1")})
    assert letters.posted == [("s_1", streams.NEWS)] * NEWS_LETTERS.most
    one.overheard(peer(session="s_2"), mcp.LOG_MESSAGE, {"data": Raw(b"1")})
    assert letters.posted[-1] == ("s_2", streams.NEWS)
    clock.advance(seconds=NEWS_LETTERS.seconds)
    one.overheard(peer(session="s_1"), mcp.LOG_MESSAGE, {"data": Raw(b'"' + b"x" * streams.MAX_NEWS_BYTES + b'"')})
    assert letters.posted[-1] == ("s_2", streams.NEWS), "and what is large stays here"
    one.overheard(peer(session="s_1"), mcp.LOG_MESSAGE, {"data": Raw(b"1")})
    assert letters.posted[-1] == ("s_1", streams.NEWS)
