"""What waits for a requester on a pipe comes in order, and is bounded."""

import asyncio
import json
from typing import Any

import pytest
from msgspec import Raw

from bifrost.protocol import jsonrpc
from bifrost.protocol.jsonrpc import Message
from bifrost.upstreams.links.base import Running
from bifrost.upstreams.links.outbox import MAX_BYTES, MAX_MESSAGES, Outbox
from tests.unit.upstreams.links._peer import peer

pytestmark = pytest.mark.anyio


class Slow:
    """Takes nothing before it is told to."""

    def __init__(self) -> None:
        self.heard: list[str] = []
        self.reads = asyncio.Event()

    async def notify(self, method: str, _params: dict[str, Raw]) -> None:
        await self.reads.wait()
        self.heard.append(method)

    async def ask(self, method: str, _params: dict[str, Raw]) -> Raw:
        raise AssertionError(method)


def outbox(requester: Slow) -> Outbox:
    return Outbox(Running(peer(), 7, requester, None, None))


def said(method: str) -> Message:
    return jsonrpc.decode(json.dumps({"jsonrpc": "2.0", "method": method}).encode())


async def test_everything_comes_in_order_and_whoever_waits_for_it_knows_when() -> None:
    """2025-11-25, progress: before the answer."""
    requester = Slow()
    box = outbox(requester)
    await box.emptied()
    for number in range(MAX_MESSAGES):
        box.put(said(str(number)), 10)
    requester.reads.set()
    await box.emptied()
    box.put(said("last"), 10)
    await box.emptied()
    assert requester.heard == [*map(str, range(MAX_MESSAGES)), "last"]


@pytest.mark.parametrize(("size", "fit"), [(10, MAX_MESSAGES), (MAX_BYTES // 4, 4), (2 * MAX_BYTES, 1)])
async def test_more_than_can_wait_is_lost(size: int, fit: int) -> None:
    """TC-211: a requester that does not read is no reason to keep what a program says without end."""
    requester = Slow()
    box = outbox(requester)
    for number in range(1_000):
        box.put(said(str(number)), size)
    requester.reads.set()
    await box.emptied()
    assert requester.heard == [*map(str, range(fit))]


async def test_when_the_request_is_over_nobody_waits_any_more() -> None:
    """TC-213: nothing is left behind."""
    requester = Slow()
    box = outbox(requester)
    box.put(said("a"), 10)
    box.put(said("b"), 10)
    await asyncio.sleep(0)
    box.end()
    await box.emptied()
    requester.reads.set()
    await asyncio.sleep(0)
    assert requester.heard == []


async def test_what_a_requester_makes_of_a_message_is_its_own_trouble() -> None:
    """The next one is told all the same."""
    requester: Any = Slow()
    box = outbox(requester)
    requester.reads = None
    box.put(said("a"), 10)
    await box.emptied()
    requester.reads = asyncio.Event()
    requester.reads.set()
    box.put(said("b"), 10)
    await box.emptied()
    assert requester.heard == ["b"]
