"""What the gateway asks upstreams for itself: single questions, without a conversation."""

from dataclasses import dataclass

from msgspec import Raw

from bifrost.identity.models import Identity
from bifrost.protocol import jsonrpc
from bifrost.upstreams.links.base import Params
from bifrost.upstreams.models import Upstream
from bifrost.upstreams.sessions import UpstreamSessions


@dataclass(frozen=True, slots=True)
class Questions:
    sessions: UpstreamSessions

    async def request(
        self, upstream: Upstream, identity: Identity, method: str, params: Params, *, seconds: float
    ) -> dict[str, Raw]:
        """The members of the result. Raises RpcError, UpstreamUnavailable, ConnectionRequired."""
        peer = self.sessions.peer(upstream, identity)
        return jsonrpc.object_members(await self.sessions.request(peer, method, params, seconds=seconds))
