"""How many calls each upstream is given at the same time, so that one that is slow keeps only its own callers waiting.

Counted are requests that an upstream works on, in this process: not what it lists, not the streams on which it says
things of its own accord, and not while it waits for a person that it has asked something.
"""

import asyncio
from collections import deque
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

import structlog

from bifrost.gateway.errors import UpstreamFull
from bifrost.upstreams.models import Upstream

ANSWER_SECONDS = 10.0
"""How long a request that brings the answers of a person waits for a place: they are not asked to answer again."""

RETRY_SECONDS = 1
"""Calls are short, or they have a time limit; whoever was refused may try again soon."""

log = structlog.get_logger()


@dataclass(slots=True)
class Places:
    _taken: dict[str, int] = field(default_factory=dict)
    _waiting: dict[str, "deque[asyncio.Future[None]]"] = field(default_factory=dict)

    def check(self, upstream: Upstream) -> None:
        """Raises UpstreamFull."""
        if self._is_full(upstream):
            raise self._full(upstream, "Try again in a moment.")

    def taken(self, upstream: Upstream) -> AbstractContextManager[None]:
        """Around one request; however it ends, its place is free again. Raises UpstreamFull before it is sent."""
        self.check(upstream)
        return _Moved(self, upstream, 1)

    def lent(self, upstream: Upstream) -> AbstractContextManager[None]:
        """For one request, around each time that it waits for a person; at the same time, too: it has but one place.

        It gets its place back, also when others have taken all meanwhile.
        """
        return _Lent(self, upstream)

    def returned(self, upstream: Upstream) -> AbstractContextManager[None]:
        """Around what one request goes on with after it has asked a person: it was let in before, and is again."""
        return _Moved(self, upstream, 1)

    async def awaited(self, upstream: Upstream) -> None:
        """Until there may be a place for a request that brings answers; no more wait than may be at work at a time.

        Raises UpstreamFull.
        """
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                while self._is_full(upstream):
                    await self._freed(upstream)
        except TimeoutError as error:
            said = "The answers are not lost: send the same request again in a moment."
            raise self._full(upstream, said) from error

    def move(self, upstream: Upstream, by: int) -> None:
        taken = self._taken.pop(upstream.id, 0) + by
        if taken:
            self._taken[upstream.id] = taken
        if by < 0:
            self._tell_next(upstream)

    def _tell_next(self, upstream: Upstream) -> None:
        for freed in self._waiting.get(upstream.id, ()):
            if not freed.done():
                freed.set_result(None)
                break

    def _is_full(self, upstream: Upstream) -> bool:
        return 0 < upstream.max_concurrent_calls <= self._taken.get(upstream.id, 0)

    def _full(self, upstream: Upstream, advice: str) -> UpstreamFull:
        log.warning("upstream_full", upstream=upstream.name, calls=self._taken.get(upstream.id, 0))
        said = f"{upstream.name} is busy with {upstream.max_concurrent_calls} other calls. {advice}"
        return UpstreamFull(said, retry_after=RETRY_SECONDS)

    async def _freed(self, upstream: Upstream) -> None:
        """Raises TimeoutError: too many wait already."""
        waiting = self._waiting.setdefault(upstream.id, deque())
        if len(waiting) >= upstream.max_concurrent_calls:
            raise TimeoutError
        freed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        waiting.append(freed)
        try:
            await freed
        except BaseException:
            if freed.done() and not freed.cancelled():  # it came too late for this one
                self._tell_next(upstream)
            raise
        finally:
            waiting.remove(freed)
            if not waiting:
                del self._waiting[upstream.id]


class _Moved:
    """Moved for as long as it lasts, and back."""

    __slots__ = ("_by", "_places", "_upstream")

    def __init__(self, places: Places, upstream: Upstream, by: int) -> None:
        self._places, self._upstream, self._by = places, upstream, by

    def __enter__(self) -> None:
        self._places.move(self._upstream, self._by)

    def __exit__(self, *_why: object) -> None:
        self._places.move(self._upstream, -self._by)


class _Lent:
    """From when the first of those that are inside at a time came until the last of them has left."""

    __slots__ = ("_inside", "_places", "_upstream")

    def __init__(self, places: Places, upstream: Upstream) -> None:
        self._places, self._upstream, self._inside = places, upstream, 0

    def __enter__(self) -> None:
        self._inside += 1
        if self._inside == 1:
            self._places.move(self._upstream, -1)

    def __exit__(self, *_why: object) -> None:
        self._inside -= 1
        if not self._inside:
            self._places.move(self._upstream, 1)
