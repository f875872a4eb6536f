"""What is said to an upstream that asks too much is bounded, too."""

import asyncio
import json

import pytest

from bifrost.upstreams.errors import UpstreamUnavailable
from bifrost.upstreams.links.refusals import MAX_QUESTION_ID, MAX_REFUSALS, Refusals

pytestmark = pytest.mark.anyio


async def settled() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_whoever_does_not_take_refusals_is_owed_a_measure_of_them() -> None:
    """TC-211: they wait in memory, each no larger than an id has to be."""
    reads, sent = asyncio.Event(), list[bytes]()

    async def respond(response: bytes) -> None:
        await reads.wait()
        sent.append(response)

    refusals = Refusals("up", respond)
    refusals.add("x" * (MAX_QUESTION_ID + 1))
    for number in range(3 * MAX_REFUSALS):
        refusals.add(number)
    await settled()
    assert sent == []
    reads.set()
    await settled()
    assert [json.loads(raw)["id"] for raw in sent] == list(range(MAX_REFUSALS))
    refusals.add("later")
    await settled()
    assert json.loads(sent[-1])["id"] == "later"


async def test_an_upstream_that_cannot_be_told_is_told_again_when_it_asks_again() -> None:
    """Ours: one fault ends nothing but what it was for."""
    sent = list[bytes]()
    faults = [UpstreamUnavailable("up is gone.")]

    async def respond(response: bytes) -> None:
        if faults:
            raise faults.pop()
        sent.append(response)

    refusals = Refusals("up", respond)
    refusals.add(1)
    await settled()
    refusals.add(2)
    await settled()
    assert [json.loads(raw)["id"] for raw in sent] == [2]


async def test_when_the_request_is_over_nothing_more_is_said() -> None:
    """2025-11-25, lifecycle."""
    sent = list[bytes]()

    async def respond(response: bytes) -> None:
        await asyncio.sleep(0)
        sent.append(response)

    refusals = Refusals("up", respond)
    refusals.add(1)
    refusals.end()
    await settled()
    assert sent == []
