"""What is remembered of upstreams."""

from typing import Protocol

from bifrost.upstreams.models import Upstream


class UpstreamStore(Protocol):
    async def add_upstream(self, upstream: Upstream, now: int) -> bool:
        """False when the id, name or slug is taken; then nothing was written."""
        ...

    async def upstreams(self) -> list[Upstream]:
        """All of them, by name."""
        ...
