"""How many calls each upstream is given at the same time, so that one that is slow keeps only its own callers waiting.

Counted are requests that an upstream works on, in this process: not what it lists, not the streams on which it says
things of its own accord, and not while it waits for a person that it has asked something.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import structlog

from bifrost.gateway.errors import UpstreamFull
from bifrost.upstreams.models import Upstream

RETRY_SECONDS = 1
"""Calls are short, or they have a time limit; whoever was refused may try again soon."""

log = structlog.get_logger()


@dataclass(slots=True)
class Places:
    _taken: Counter[str] = field(default_factory=Counter)

    def check(self, upstream: Upstream) -> None:
        """Raises UpstreamFull."""
        if 0 < upstream.max_concurrent_calls <= self._taken[upstream.id]:
            log.warning("upstream_full", upstream=upstream.name, calls=self._taken[upstream.id])
            raise UpstreamFull(
                f"{upstream.name} is busy with {upstream.max_concurrent_calls} other calls. Try again in a moment.",
                retry_after=RETRY_SECONDS,
            )

    @contextmanager
    def taken(self, upstream: Upstream) -> Iterator[None]:
        """Around one request; however it ends, its place is free again. Raises UpstreamFull before it is sent."""
        self.check(upstream)
        self._move(upstream, 1)
        try:
            yield
        finally:
            self._move(upstream, -1)

    @contextmanager
    def lent(self, upstream: Upstream) -> Iterator[None]:
        """While the request waits for a person. It gets its place back, also when others have taken all meanwhile."""
        self._move(upstream, -1)
        try:
            yield
        finally:
            self._move(upstream, 1)

    def _move(self, upstream: Upstream, by: int) -> None:
        self._taken[upstream.id] += by
        if not self._taken[upstream.id]:
            del self._taken[upstream.id]
