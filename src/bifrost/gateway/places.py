"""How many calls each upstream is given at the same time, so that one that is slow keeps only its own callers waiting.

Counted are requests that an upstream works on, in this process: not what it lists, not the streams on which it says
things of its own accord, and not while it waits for a person that it has asked something.
"""

from contextlib import AbstractContextManager
from dataclasses import dataclass, field

import structlog

from bifrost.gateway.errors import UpstreamFull
from bifrost.upstreams.models import Upstream

RETRY_SECONDS = 1
"""Calls are short, or they have a time limit; whoever was refused may try again soon."""

log = structlog.get_logger()


@dataclass(slots=True)
class Places:
    _taken: dict[str, int] = field(default_factory=dict)

    def check(self, upstream: Upstream) -> None:
        """Raises UpstreamFull."""
        taken = self._taken.get(upstream.id, 0)
        if 0 < upstream.max_concurrent_calls <= taken:
            log.warning("upstream_full", upstream=upstream.name, calls=taken)
            raise UpstreamFull(
                f"{upstream.name} is busy with {upstream.max_concurrent_calls} other calls. Try again in a moment.",
                retry_after=RETRY_SECONDS,
            )

    def taken(self, upstream: Upstream) -> AbstractContextManager[None]:
        """Around one request; however it ends, its place is free again. Raises UpstreamFull before it is sent."""
        self.check(upstream)
        return _Moved(self, upstream, 1)

    def lent(self, upstream: Upstream) -> AbstractContextManager[None]:
        """While the request waits for a person. It gets its place back, also when others have taken all meanwhile."""
        return _Moved(self, upstream, -1)

    def move(self, upstream: Upstream, by: int) -> None:
        taken = self._taken.pop(upstream.id, 0) + by
        if taken:
            self._taken[upstream.id] = taken


class _Moved:
    """Moved for as long as it lasts, and back."""

    __slots__ = ("_by", "_places", "_upstream")

    def __init__(self, places: Places, upstream: Upstream, by: int) -> None:
        self._places, self._upstream, self._by = places, upstream, by

    def __enter__(self) -> None:
        self._places.move(self._upstream, self._by)

    def __exit__(self, *_why: object) -> None:
        self._places.move(self._upstream, -self._by)
