"""A time limit for what a task does, at a fraction of what `asyncio.timeout` costs and with the same rules.

Limits that share an `Alarm` share its timer, and most have gone by the time it rings: no timer is made for them.
"""

import asyncio
import functools
import math
from types import TracebackType
from typing import Protocol, Self

_EARLY_SECONDS = 0.001
"""A loop's timers have a resolution: one that comes this early comes in time."""

_REST_SECONDS = 0.02
"""Between two rings: however many limits end one after the other, they are not looked through for each of them."""


class Watched(Protocol):
    """`over` is called when `ends_at`, on the loop's clock, has come."""

    ends_at: float

    def over(self) -> None: ...


class Alarm:
    """The one timer of any number of limits, on the loop that runs; it is set for the first of them to end.

    A limit ends at its time, or as much as a 50th of a second later where another one has just ended.
    """

    __slots__ = ("_limits", "_rings_at", "_timer", "loop")

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self._limits: set[Watched] = set()
        self._rings_at = math.inf
        self._timer: asyncio.TimerHandle | None = None

    def watch(self, limit: Watched) -> None:
        """Also again, when it was moved to an earlier time."""
        self._limits.add(limit)
        if limit.ends_at < self._rings_at:
            self._set(limit.ends_at)

    def leave(self, limit: Watched) -> None:
        self._limits.discard(limit)

    def stop(self) -> None:
        """There will be no more limits: unless some still stand, nothing is left behind."""
        if self._timer is not None and not self._limits:
            self._timer.cancel()
            self._timer, self._rings_at = None, math.inf

    def _set(self, rings_at: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._rings_at = rings_at
        self._timer = self.loop.call_at(rings_at, self._ring)

    def _ring(self) -> None:
        self._timer, self._rings_at = None, math.inf
        now = self.loop.time()
        for limit in [limit for limit in self._limits if limit.ends_at <= now + _EARLY_SECONDS]:
            self._limits.discard(limit)
            limit.over()
        if self._limits:
            self._set(max(now + _REST_SECONDS, min(limit.ends_at for limit in self._limits)))


@functools.lru_cache(maxsize=1)
def alarm_of(_loop: asyncio.AbstractEventLoop) -> Alarm:
    """The alarm of all who have no reason for one of their own, on the loop that runs."""
    return Alarm()


class TimeLimit:
    """`with TimeLimit(5): await …` raises TimeoutError."""

    __slots__ = ("_alarm", "_expired", "_is_shared", "_pending", "_task", "ends_at")

    def __init__(self, seconds: float, alarm: Alarm | None = None) -> None:
        """Without an `alarm` it has one of its own."""
        self._is_shared = alarm is not None
        self._alarm = alarm or Alarm()
        self.ends_at = self._alarm.loop.time() + seconds
        """On the loop's clock; see `move`."""
        self._task: asyncio.Task[object] | None = None
        self._expired = False

    def __enter__(self) -> Self:
        task = asyncio.current_task(self._alarm.loop)
        if task is None:
            raise RuntimeError("Only what a task does can have a time limit.")
        self._task, self._pending = task, task.cancelling()
        self._alarm.watch(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        task, self._task = self._task, None
        self._alarm.leave(self)
        if not self._is_shared:
            self._alarm.stop()
        # somebody else may want the task to end as well: then it was not, or not only, the time
        if self._expired and task and task.uncancel() <= self._pending and kind is asyncio.CancelledError:
            raise TimeoutError from error

    @property
    def expired(self) -> bool:
        return self._expired

    def now(self) -> float:
        """On the loop's clock."""
        return self._alarm.loop.time()

    def move(self, ends_at: float) -> None:
        """To another time, on the loop's clock; what has come to its end stays at its end."""
        sooner = ends_at < self.ends_at
        self.ends_at = ends_at
        if sooner and self._task is not None and not self._expired:
            self._alarm.watch(self)

    def over(self) -> None:
        """Its time has come."""
        self._expired = True
        if self._task is not None:
            self._task.cancel()
