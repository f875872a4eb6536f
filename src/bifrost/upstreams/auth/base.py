"""What every way has in common."""

from collections.abc import Mapping
from typing import Protocol

from bifrost.identity.models import Identity
from bifrost.upstreams.models import Upstream


class UpstreamAuth(Protocol):
    def owner(self, identity: Identity) -> str:
        """Whose session with the upstream this caller uses: callers with the same owner may share one."""
        ...

    async def headers(self, upstream: Upstream, identity: Identity) -> dict[str, str]:
        """The headers that authenticate a request made for this identity. Raises ConnectionRequired."""
        ...

    async def refused(self, upstream: Upstream, identity: Identity, sent: Mapping[str, str]) -> bool:
        """The upstream answered 401 to these headers: whether new ones can be had, so that asking again makes sense."""
        ...

    async def forbidden(self, upstream: Upstream, identity: Identity, challenge: Mapping[str, str]) -> None:
        """The upstream answered 403 with this challenge. Raises ConnectionRequired when a person can help."""
