"""What waits for a client that reads slowly is bounded, and it is told what it asked for."""

import json
from typing import cast

import pytest

from bifrost.gateway.models import Call
from bifrost.gateway.stream import MAX_WAITING, MAX_WAITING_BYTES, Stream
from bifrost.protocol import mcp

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


async def test_it_is_told_of_the_lists_that_it_asked_for_and_of_which_subscription() -> None:
    """2026-07-28, subscriptions."""
    one = Stream(cast("Call", None), "l_1", wants=frozenset({mcp.TOOLS_CHANGED}), subscription="s")
    one.changed({mcp.TOOLS_CHANGED, mcp.PROMPTS_CHANGED})
    said = json.loads(await one.next() or b"")
    assert said["method"] == mcp.TOOLS_CHANGED
    assert said["params"] == {"_meta": {mcp.META_SUBSCRIPTION: "s"}}
    one.end()
    assert await one.next() is None
