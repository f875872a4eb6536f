"""auth_type `none`: the upstream asks for nothing."""

from collections.abc import Mapping

from bifrost.identity.models import Identity
from bifrost.upstreams.models import Upstream


class NoAuth:
    def owner(self, identity: Identity) -> str:
        return f"{identity.kind}:{identity.id}"

    async def headers(self, upstream: Upstream, identity: Identity) -> dict[str, str]:  # noqa: ARG002 - the interface
        return {}

    async def refused(self, upstream: Upstream, identity: Identity, sent: Mapping[str, str]) -> bool:  # noqa: ARG002 - the interface
        return False

    async def forbidden(self, upstream: Upstream, identity: Identity, challenge: Mapping[str, str]) -> None:
        """Nobody but the administrator can help."""
