"""Changes of lists that upstreams announce, put together for a moment.

An upstream says them on every link, and every session has links of its own: told on at once, each of N sessions would
hear the same change N times.
"""

import asyncio
from collections.abc import Callable, Collection
from dataclasses import dataclass, field

GATHER_SECONDS = 0.25

News = tuple[str, str, str]
"""The upstream, which lists (the method of the notification), and whose view of it; empty where all share one."""


@dataclass(slots=True)
class Gathered:
    """`stale` is told before anybody is: whoever hears of a change asks for the list."""

    stale: Callable[[str, str], None]
    announce: Callable[[Collection[News]], None]
    _news: set[News] = field(default_factory=set)
    _lists: set[tuple[str, str]] = field(default_factory=set)
    _timer: asyncio.TimerHandle | None = None

    def add(self, upstream_id: str, method: str, owner: str) -> None:
        if (upstream_id, method) not in self._lists:
            self._lists.add((upstream_id, method))
            self.stale(upstream_id, method)  # some hear it elsewhere too, in the middle of a call
        self._news.add((upstream_id, method, owner))
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(GATHER_SECONDS, self._due)

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _due(self) -> None:
        self._timer = None
        news, self._news = self._news, set()
        lists, self._lists = self._lists, set()
        for upstream_id, method in lists:
            self.stale(upstream_id, method)  # what was fetched meanwhile may be from before the last of them
        self.announce(news)
