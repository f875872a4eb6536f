"""A time limit has the rules of `asyncio.timeout`."""

import asyncio

import pytest

from bifrost.base.time_limit import TimeLimit

pytestmark = pytest.mark.anyio


async def test_what_takes_too_long_is_ended_and_the_task_goes_on() -> None:
    """Contract §7: a time-out is an error for that call only."""
    with pytest.raises(TimeoutError), TimeLimit(0.01):
        await asyncio.Event().wait()
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0
    await asyncio.sleep(0)


async def test_what_ends_in_time_is_left_alone() -> None:
    """Also after its time."""
    with TimeLimit(0.01) as limit:
        await asyncio.sleep(0)
    await asyncio.sleep(0.03)
    assert not limit.expired


async def test_a_time_that_is_over_already_ends_the_first_wait() -> None:
    """Like `asyncio.timeout`."""
    with pytest.raises(TimeoutError), TimeLimit(-1):
        await asyncio.Event().wait()


async def test_it_can_be_moved_to_later_and_to_sooner() -> None:
    """Ours: progress renews the time of a call."""
    loop = asyncio.get_running_loop()
    with TimeLimit(0.01) as later:
        later.move(loop.time() + 60)
        await asyncio.sleep(0.03)
    assert not later.expired
    for first, *moves in ([60, 0.01], [0.01, 60, 0.02]):
        limit = TimeLimit(first)
        with pytest.raises(TimeoutError), limit:
            await _moved(limit, moves)


async def test_moving_it_when_all_is_over_ends_nobody() -> None:
    """A piece of progress may come when the answer is there."""
    with TimeLimit(60) as limit:
        await asyncio.sleep(0)
    limit.move(asyncio.get_running_loop().time() - 1)
    await asyncio.sleep(0.01)


async def test_somebody_elses_cancellation_is_not_a_time_out() -> None:
    """A client that goes away at that moment must still be seen to have gone."""

    async def work() -> None:
        with TimeLimit(0):
            await asyncio.Event().wait()

    task = asyncio.create_task(work())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_an_inner_limit_does_not_take_the_outer_one_away() -> None:
    """Two limits, and the outer one is the sooner."""
    with pytest.raises(TimeoutError), TimeLimit(0.01) as outer, TimeLimit(60) as inner:
        await asyncio.Event().wait()
    assert outer.expired
    assert not inner.expired


async def test_an_error_of_the_work_stays_that_error() -> None:
    """Whatever the time."""

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError as cancelled:
            raise ValueError("mine") from cancelled

    with pytest.raises(ValueError, match="mine"), TimeLimit(0.01):
        await work()
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


async def _moved(limit: TimeLimit, moves: list[float]) -> None:
    for seconds in moves:
        limit.move(asyncio.get_running_loop().time() + seconds)
    await asyncio.Event().wait()
