"""How long a list waits for an upstream: never long, and hardly at all when it has just let others wait in vain."""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Coroutine, Hashable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from bifrost.base.clock import SECOND, Clock
from bifrost.base.errors import Unavailable
from bifrost.protocol.jsonrpc import RpcError

BUDGET_SECONDS = 2.0
GLANCE_SECONDS = 0.05
"""When the last thing that was waited for did not come in time."""

REST_MILLISECONDS = 1 * SECOND
FAILURES_BEFORE_REST = 3
MAX_REMEMBERED = 8_000

T = TypeVar("T")


class InVain(TimeoutError):
    """It failed every time of late, and not long ago."""


@dataclass(slots=True)
class Patience:
    """One who owes an answer may be waited for by many: the first of them learns how slow it is."""

    clock: Clock
    _slow: OrderedDict[Hashable, None] = field(default_factory=OrderedDict)
    _behind: set[Hashable] = field(default_factory=set)
    """What goes on though nobody waits for it any more."""

    _failed: OrderedDict[Hashable, tuple[int, int]] = field(default_factory=OrderedDict)
    """How often in a row, and when last."""

    async def within(self, owner: Hashable, what: Hashable, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """What takes too long goes on behind, for the next one who asks, and is not waited for while it does.

        What fails is tried again at once, but not for everybody who asks when it fails again and again.
        Raises TimeoutError, InVain, and whatever the work raises.
        """
        asked = (owner, what)
        if asked in self._behind:
            raise TimeoutError
        failures, failed_at = self._failed.get(asked, (0, 0))
        if failures >= FAILURES_BEFORE_REST and self.clock.now() - failed_at < REST_MILLISECONDS:
            raise InVain("It was asked in vain.")
        task = asyncio.create_task(self._noted(asked, work()))
        task.add_done_callback(_seen)
        done, _ = await asyncio.wait({task}, timeout=GLANCE_SECONDS if owner in self._slow else BUDGET_SECONDS)
        if not done:
            self._leave_behind(owner, asked, task)
            raise TimeoutError
        self._slow.pop(owner, None)
        return task.result()

    async def _noted(self, asked: Hashable, work: Coroutine[Any, Any, T]) -> T:
        try:
            result = await work
        except (Unavailable, RpcError):
            failures, _ = self._failed.get(asked, (0, 0))
            _remember(self._failed, asked, (failures + 1, self.clock.now()))
            raise
        self._failed.pop(asked, None)
        return result

    def _leave_behind(self, owner: Hashable, asked: Hashable, task: "asyncio.Task[Any]") -> None:
        _remember(self._slow, owner, None)
        self._behind.add(asked)

        def ended(task: "asyncio.Task[Any]") -> None:
            self._behind.discard(asked)
            if not task.cancelled() and task.exception() is None:
                self._slow.pop(owner, None)

        task.add_done_callback(ended)


def _remember(kept: OrderedDict[Hashable, T], key: Hashable, value: T) -> None:
    kept[key] = value
    kept.move_to_end(key)
    while len(kept) > MAX_REMEMBERED:
        kept.popitem(last=False)


def _seen(task: "asyncio.Task[Any]") -> None:
    if not task.cancelled():
        task.exception()
