"""What is remembered of upstreams."""

from typing import Protocol

from bifrost.upstreams.models import Change, Upstream


class UpstreamStore(Protocol):
    async def named(self, name: str) -> Upstream | None: ...

    async def add_upstream(self, upstream: Upstream, config_mac: str, now: int) -> bool:
        """False when the id, name or slug is taken; then nothing was written."""
        ...

    async def reconfigure_upstream(self, upstream: Upstream, config_mac: str, change: Change, now: int) -> bool:
        """Write it over the upstream of this id, unless that is as configured already or was changed otherwise.

        What the change makes useless (credentials, registrations, sign-ins under way) goes with it.
        """
        ...

    async def upstreams(self) -> list[Upstream]:
        """All of them, by name."""
        ...
