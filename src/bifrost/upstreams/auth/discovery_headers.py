"""auth_type `per_user_headers`, as the gateway looks at the tools: with values that an administrator gave for that."""

from collections.abc import Mapping
from dataclasses import dataclass

from bifrost.base.clock import Clock
from bifrost.identity.models import Identity
from bifrost.upstreams import in_use
from bifrost.upstreams.accounts import Credential, discovery_owner
from bifrost.upstreams.auth.per_user_headers import REFUSED
from bifrost.upstreams.errors import AdministratorMustSignIn, ConnectionRequired
from bifrost.upstreams.models import Upstream
from bifrost.upstreams.oauth.store import UpstreamOAuthStore
from bifrost.upstreams.states import UpstreamStates

OTHERS = "It asks for other headers than those that an administrator gave."


@dataclass(frozen=True, slots=True)
class DiscoveryHeaders:
    store: UpstreamOAuthStore
    states: UpstreamStates
    clock: Clock

    def owner(self, identity: Identity) -> str:
        return f"discovery:{identity.id}"

    async def headers(self, upstream: Upstream, identity: Identity) -> dict[str, str]:  # noqa: ARG002 - the interface
        """Raises AdministratorMustSignIn."""
        return dict((await self._active(upstream)).headers)

    async def refused(self, upstream: Upstream, identity: Identity, sent: Mapping[str, str]) -> bool:  # noqa: ARG002 - the interface
        """The administrator has to give others, unless they did so meanwhile. Raises AdministratorMustSignIn."""
        credential = await self._active(upstream)
        if credential.headers != dict(sent):
            return True
        await self.store.needs_reauth(credential, REFUSED, self.clock.now())
        raise await self._unusable(upstream)

    async def forbidden(self, upstream: Upstream, identity: Identity, challenge: Mapping[str, str]) -> None:
        """403 says that this is not allowed, not that the values are wrong."""

    async def _active(self, upstream: Upstream) -> Credential:
        try:
            return await in_use.active(self.store, upstream, discovery_owner(upstream.id), self.clock)
        except ConnectionRequired as error:
            raise await self._unusable(upstream) from error

    async def _unusable(self, upstream: Upstream) -> AdministratorMustSignIn:
        credential = await self.store.credential(upstream.id, discovery_owner(upstream.id))
        reason = (credential.reason if credential else "") or OTHERS
        await self.states.note(upstream, "needs_reauth", reason)
        return AdministratorMustSignIn(upstream.name, reason)
