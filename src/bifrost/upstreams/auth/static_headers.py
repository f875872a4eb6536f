"""auth_type `headers`: the same configured headers for everybody."""

from collections.abc import Mapping
from dataclasses import dataclass

from bifrost.identity.models import Identity
from bifrost.upstreams.models import Upstream
from bifrost.upstreams.vault import Vault


@dataclass(frozen=True, slots=True)
class StaticHeaders:
    vault: Vault

    def owner(self, identity: Identity) -> str:
        """Even with shared credentials a session may hold state, so nobody shares one."""
        return f"{identity.kind}:{identity.id}"

    async def headers(self, upstream: Upstream, identity: Identity) -> dict[str, str]:  # noqa: ARG002 - the interface
        return self.vault.open_headers(upstream)

    async def refused(self, upstream: Upstream, identity: Identity, sent: Mapping[str, str]) -> bool:  # noqa: ARG002 - the interface
        return False

    async def forbidden(self, upstream: Upstream, identity: Identity, challenge: Mapping[str, str]) -> None:
        """Nobody but the administrator can help."""
