"""auth_type `headers`: the same configured headers for everybody."""

from collections.abc import Mapping
from dataclasses import dataclass

import structlog

from bifrost.base.sealing import SealBrokenError
from bifrost.identity.models import Identity
from bifrost.upstreams.errors import UpstreamUnavailable
from bifrost.upstreams.models import Upstream
from bifrost.upstreams.vault import Vault

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class StaticHeaders:
    vault: Vault

    def owner(self, identity: Identity) -> str:
        """Even with shared credentials a session may hold state, so nobody shares one."""
        return f"{identity.kind}:{identity.id}"

    async def headers(self, upstream: Upstream, identity: Identity) -> dict[str, str]:  # noqa: ARG002 - the interface
        """Raises UpstreamUnavailable: they cannot be opened, which costs its own callers and nobody else."""
        try:
            return self.vault.open_headers(upstream)
        except SealBrokenError as error:
            log.warning("upstream_headers_unreadable", upstream=upstream.name)
            raise UpstreamUnavailable(
                f"The headers for {upstream.name} cannot be opened. An administrator must send them again."
            ) from error

    async def refused(self, upstream: Upstream, identity: Identity, sent: Mapping[str, str]) -> bool:  # noqa: ARG002 - the interface
        return False

    async def forbidden(self, upstream: Upstream, identity: Identity, challenge: Mapping[str, str]) -> None:
        """Nobody but the administrator can help."""
