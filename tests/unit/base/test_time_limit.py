"""A time limit has the rules of `asyncio.timeout`."""

import asyncio
from typing import Any

import pytest

from bifrost.base.time_limit import Alarm, TimeLimit, alarm_of

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


async def test_limits_that_share_an_alarm_end_each_at_its_own_time() -> None:
    """Contract §7: a time-out is an error for that call only. Also where the later one was there first."""
    alarm, ended = Alarm(), list[float]()

    async def work(seconds: float) -> None:
        with pytest.raises(TimeoutError), TimeLimit(seconds, alarm):
            await asyncio.Event().wait()
        ended.append(seconds)

    async def goes_on() -> None:
        with TimeLimit(60, alarm):
            await asyncio.sleep(0.2)
        ended.append(60)

    await asyncio.gather(goes_on(), *map(work, (0.12, 0.04, 0.08, 0)))
    assert ended == [0, 0.04, 0.08, 0.12, 60]


async def test_one_that_is_left_early_takes_nobody_elses_alarm_away() -> None:
    """The timer was set for the one that is gone."""
    alarm = Alarm()
    with TimeLimit(0.01, alarm):
        await asyncio.sleep(0)
    with pytest.raises(TimeoutError), TimeLimit(0.05, alarm):
        await asyncio.Event().wait()


async def test_limits_of_one_alarm_make_a_timer_for_the_first_of_them_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ours: a call is answered long before its time is over, and a timer of its own would be made in vain."""
    alarm, loop, timers = Alarm(), asyncio.get_running_loop(), list[asyncio.TimerHandle]()
    make = loop.call_at

    def making(*asked: Any, **more: Any) -> asyncio.TimerHandle:
        timers.append(make(*asked, **more))
        return timers[-1]

    monkeypatch.setattr(loop, "call_at", making)
    for seconds in (60, 60, 61, 50, 60, 50):
        with TimeLimit(seconds, alarm):
            pass
    assert [round(timer.when() - loop.time()) for timer in timers] == [60, 50]
    alarm.stop()
    assert all(timer.cancelled() for timer in timers)


async def test_an_alarm_that_is_stopped_still_rings_for_those_who_wait() -> None:
    """A link is closed while a request on it is still under way."""
    alarm = Alarm()
    asyncio.get_running_loop().call_soon(alarm.stop)
    for _ in range(2):
        with pytest.raises(TimeoutError), TimeLimit(0.02, alarm):
            await asyncio.Event().wait()
        alarm.stop()


async def test_whoever_shares_a_loop_has_its_one_alarm_and_may_be_watched_again() -> None:
    """Ours: a slow answer is looked after twice, first for its client and then for its caller."""

    class Slow:
        def __init__(self) -> None:
            self.ends_at, self.times, self.done = loop.time() + 0.01, 0, asyncio.Event()

        def over(self) -> None:
            self.times += 1
            if self.times == 2:
                self.done.set()
                return
            self.ends_at = loop.time() + 0.01
            alarm.watch(self)

    loop = asyncio.get_running_loop()
    alarm, slow = alarm_of(loop), Slow()
    assert alarm_of(loop) is alarm
    alarm.watch(slow)
    await slow.done.wait()
    assert slow.times == 2


def test_another_loop_has_another_alarm() -> None:
    """Its timers would never ring on this one."""

    async def alarm() -> Alarm:
        return alarm_of(asyncio.get_running_loop())

    assert asyncio.run(alarm()) is not asyncio.run(alarm())
