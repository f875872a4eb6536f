"""What every way has in common."""

from typing import Protocol

from bifrost.identity.models import Identity
from bifrost.upstreams.models import Upstream


class UpstreamAuth(Protocol):
    def owner(self, identity: Identity) -> str:
        """Whose session with the upstream this caller uses: callers with the same owner may share one."""
        ...

    async def headers(self, upstream: Upstream, identity: Identity) -> dict[str, str]:
        """The headers that authenticate a request made for this identity."""
        ...
