"""One flight per key."""

import asyncio
import gc

import pytest

from bifrost.base.singleflight import SingleFlight

pytestmark = pytest.mark.anyio


class Source:
    """Something slow that counts how often it is asked; it answers when it is let go."""

    def __init__(self, *, error: Exception | None = None) -> None:
        self.asked = 0
        self.let_go = asyncio.Event()
        self._error = error

    async def fetch(self) -> int:
        self.asked += 1
        await self.let_go.wait()
        if self._error:
            raise self._error
        return self.asked


async def _settle() -> None:
    """Let every task run as far as it can."""
    for _ in range(5):
        await asyncio.sleep(0)


async def test_many_callers_of_one_key_share_one_fetch() -> None:
    """Contract §8: one refresh in flight."""
    flights, source = SingleFlight[int](), Source()
    callers = [asyncio.create_task(flights.do("key", source.fetch)) for _ in range(20)]
    await _settle()
    source.let_go.set()
    assert await asyncio.gather(*callers) == [1] * 20
    assert source.asked == 1


async def test_different_keys_do_not_wait_for_each_other() -> None:
    """A slow upstream costs only its own callers."""
    flights, slow, quick = SingleFlight[int](), Source(), Source()
    quick.let_go.set()
    waiting = asyncio.create_task(flights.do("slow", slow.fetch))
    assert await flights.do("quick", quick.fetch) == 1
    assert not waiting.done()
    slow.let_go.set()
    assert await waiting == 1


async def test_after_the_answer_the_next_caller_asks_again() -> None:
    """It is no cache."""
    flights, source = SingleFlight[int](), Source()
    source.let_go.set()
    assert await flights.do("key", source.fetch) == 1
    await _settle()
    assert await flights.do("key", source.fetch) == 2


async def test_an_error_reaches_every_caller_and_is_not_remembered() -> None:
    """A failure is shared like an answer; the next attempt starts afresh."""
    flights, failing = SingleFlight[int](), Source(error=LookupError("gone"))
    callers = [asyncio.create_task(flights.do("key", failing.fetch)) for _ in range(3)]
    await _settle()
    failing.let_go.set()
    results = await asyncio.gather(*callers, return_exceptions=True)
    assert [type(result) for result in results] == [LookupError] * 3
    assert failing.asked == 1
    healthy = Source()
    healthy.let_go.set()
    assert await flights.do("key", healthy.fetch) == 1


@pytest.mark.parametrize("leaving", [0, 1, 2])
async def test_a_caller_that_leaves_does_not_take_the_flight_away(leaving: int) -> None:
    """A client that disconnects must not fail the others, also when it came first."""
    flights, source = SingleFlight[int](), Source()
    callers = [asyncio.create_task(flights.do("key", source.fetch)) for _ in range(3)]
    await _settle()
    callers[leaving].cancel()
    await _settle()
    source.let_go.set()
    stayed = [caller for number, caller in enumerate(callers) if number != leaving]
    assert await asyncio.gather(*stayed) == [1, 1]
    assert callers[leaving].cancelled()
    assert source.asked == 1


async def test_whoever_comes_after_everybody_left_still_joins_the_flight() -> None:
    """What was begun for somebody who left is not begun twice."""
    flights, source = SingleFlight[int](), Source()
    first = asyncio.create_task(flights.do("key", source.fetch))
    await _settle()
    first.cancel()
    await _settle()
    second = asyncio.create_task(flights.do("key", source.fetch))
    await _settle()
    source.let_go.set()
    assert await second == 1
    assert source.asked == 1


async def test_a_failure_that_nobody_waits_for_is_quiet() -> None:
    """Warnings are errors: an exception that was never retrieved would be one."""
    flights, failing = SingleFlight[int](), Source(error=LookupError("gone"))
    caller = asyncio.create_task(flights.do("key", failing.fetch))
    await _settle()
    caller.cancel()
    await asyncio.gather(caller, return_exceptions=True)
    del caller  # its traceback would keep the flight alive
    heard: list[dict[str, object]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: heard.append(context))
    failing.let_go.set()
    await _settle()
    gc.collect()
    assert heard == []


async def test_a_fetch_that_cancels_itself_leaves_the_key_free() -> None:
    """A flight that was cancelled from inside is not there for ever."""
    flights = SingleFlight[int]()

    async def cancelled() -> int:
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await flights.do("key", cancelled)
    await _settle()
    source = Source()
    source.let_go.set()
    assert await flights.do("key", source.fetch) == 1


async def test_an_answer_may_be_none() -> None:
    """Nothing is a possible answer, and no reason to ask again for the same caller."""
    flights = SingleFlight[None]()

    async def nothing() -> None:
        return None

    answered = await asyncio.gather(flights.do("key", nothing), flights.do("key", nothing))
    assert list(answered) == [None, None]
