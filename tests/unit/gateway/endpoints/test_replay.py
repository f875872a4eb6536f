"""What is kept of a stream so that it can be resumed, and what is not."""

import asyncio

import pytest

from bifrost.gateway.endpoints.replay import (
    KEPT_MILLISECONDS,
    MAX_BYTES,
    MAX_EVENTS,
    MAX_STREAMS,
    MAX_STREAMS_OF_ONE_OWNER,
    Recordings,
)
from tests.support.clock import FakeClock

pytestmark = pytest.mark.anyio


async def test_the_rest_of_a_stream_is_what_came_after_the_event_and_what_still_comes() -> None:
    """2025-11-25, transports."""
    recordings = Recordings(FakeClock())
    recording = recordings.begin("s", primes=True)
    assert recording.primer().startswith(f"id: {recording.id}.0\n".encode())
    first = recording.add(b"one")
    recording.add(b"two")
    found = recordings.found("s", first)
    assert found is not None

    async def rest() -> list[bytes]:
        return [message async for _, message in found[0].after(found[1])]

    reading = asyncio.create_task(rest())
    await asyncio.sleep(0)
    recording.add(b"three")
    recording.finished()
    assert await reading == [b"two", b"three"]


async def test_what_comes_while_the_rest_is_sent_is_part_of_it() -> None:
    """2025-11-25, transports: above all the answer, which is the last thing before the end."""
    recording = Recordings(FakeClock()).begin("s", primes=True)
    rest = recording.after(0)
    recording.add(b"one")
    assert (await anext(rest))[1] == b"one"
    recording.add(b"two")
    recording.add(b"the answer")
    recording.finished()
    assert [message async for _, message in rest] == [b"two", b"the answer"]


@pytest.mark.parametrize(
    "event_id", ["", "x", "x.1", ".1", "{id}", "{id}.", "{id}.x", "{id}.-1", "{id}.99999999999", "{id}.²"]
)
async def test_an_event_that_was_not_given_here_is_not_found(event_id: str) -> None:
    """Nor is one that another session was given."""
    recordings = Recordings(FakeClock())
    recording = recordings.begin("s", primes=False)
    recording.add(b"one")
    assert recordings.found("s", event_id.replace("{id}", recording.id)) is None
    assert recordings.found("other", f"{recording.id}.1") is None


async def test_what_is_kept_is_bounded_in_number_size_and_time() -> None:
    """TC-211: memory is bounded whatever an upstream says."""
    clock = FakeClock()
    recordings = Recordings(clock)
    recording = recordings.begin("s", primes=False)
    for number in range(MAX_EVENTS + 10):
        recording.add(b"%d" % number)
    recording.add(b"x" * (MAX_BYTES + 1))
    recording.finished()
    kept = [message async for _, message in recording.after(0)]
    assert kept == [b"%d" % number for number in range(10, MAX_EVENTS + 10)]
    large = recordings.begin("s", primes=False)
    for _ in range(4):
        large.add(b"x" * (MAX_BYTES // 2))
    large.finished()
    assert len([message async for _, message in large.after(0)]) == 2
    clock.advance(seconds=KEPT_MILLISECONDS / 1_000 + 1)
    assert recordings.found("s", f"{large.id}.1") is None
    others = [recordings.begin("s", f"owner {number}", primes=False) for number in range(MAX_STREAMS + 1)]
    assert recordings.found("s", f"{others[0].id}.0") is None
    assert recordings.found("s", f"{others[-1].id}.0") is not None


async def test_one_persons_streams_take_nobody_elses_place() -> None:
    """Whoever opens many loses their own oldest ones."""
    recordings = Recordings(FakeClock())
    other = recordings.begin("other", "other", primes=False)
    many = [recordings.begin("s", "greedy", primes=False) for _ in range(MAX_STREAMS * 2)]
    assert recordings.found("other", f"{other.id}.0") is not None
    kept = [one for one in many if recordings.found("s", f"{one.id}.0")]
    assert kept == many[-MAX_STREAMS_OF_ONE_OWNER:]
