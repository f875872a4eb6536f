"""auth_type `per_user_headers`: everybody gives values of their own for the headers that the upstream asks for."""

from collections.abc import Mapping
from dataclasses import dataclass

import structlog

from bifrost.base.clock import Clock
from bifrost.identity.models import Identity
from bifrost.upstreams import in_use
from bifrost.upstreams.accounts import Owner
from bifrost.upstreams.models import Upstream
from bifrost.upstreams.oauth.store import UpstreamOAuthStore

REFUSED = "The service no longer accepts the values."

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class PerUserHeaders:
    store: UpstreamOAuthStore
    clock: Clock

    def owner(self, identity: Identity) -> str:
        return f"{identity.kind}:{identity.id}"

    async def headers(self, upstream: Upstream, identity: Identity) -> dict[str, str]:
        """Raises ConnectionRequired."""
        owner = Owner(identity.kind, identity.id)
        credential = await in_use.active(self.store, upstream, owner, self.clock)
        return dict(credential.headers)

    async def refused(self, upstream: Upstream, identity: Identity, sent: Mapping[str, str]) -> bool:
        """The person has to give others, unless they did so meanwhile. Raises ConnectionRequired."""
        owner = Owner(identity.kind, identity.id)
        credential = await in_use.active(self.store, upstream, owner, self.clock)
        if credential.headers != dict(sent):
            return True
        await self.store.needs_reauth(credential, REFUSED, self.clock.now())
        log.warning("upstream_needs_reauth", upstream=upstream.name, reason="headers_refused")
        raise in_use.required(upstream)

    async def forbidden(self, upstream: Upstream, identity: Identity, challenge: Mapping[str, str]) -> None:
        """403 says that this call is not allowed, not that the values are wrong."""
