"""What a person is shown of the upstreams that an identity may use."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from bifrost.authserver.identities import Identities
from bifrost.governance.virtual_mcps import VirtualMcps
from bifrost.identity.models import Identity
from bifrost.protocol import resource
from bifrost.upstreams.accounts import PERSONAL, Credential, Owner
from bifrost.upstreams.models import Upstream
from bifrost.upstreams.oauth.refresh import Credentials
from bifrost.upstreams.registry import Upstreams

State = Literal["ready", "connected", "needs_reauth", "needs_update", "not_connected"]
SHARED = "Shared by everybody here; no account of yours is needed."
ASKS_FOR_OTHERS = "It now asks for other values than those you gave."
OWN_ACCOUNT, OWN_VALUES = "Your own account.", "With values of your own, for example a key that the service gave you."


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    upstream_id: str
    name: str
    description: str
    state: State
    connectable: bool = False
    connected: bool = False
    """Whether there is something to disconnect, usable or not."""


@dataclass(frozen=True, slots=True)
class Services:
    upstreams: Upstreams
    virtual_mcps: VirtualMcps
    identities: Identities
    credentials: Credentials

    async def of(self, identity: Identity, endpoint_path: str, *, flow_id: str = "") -> list[Service]:
        """The services behind the endpoint that this identity reaches, by name.

        While a consent is open, what was connected in it counts before what the identity has already.
        """
        policy = await self.identities.policy(identity)
        behind = await self._behind(endpoint_path)
        owners = [Owner(identity.kind, identity.id), *([Owner("flow", flow_id)] if flow_id else [])]
        held = {found.upstream_id: found for owner in owners for found in await self.credentials.held(owner)}
        return [
            _service(upstream, held.get(upstream.id))
            for upstream in await self.upstreams.enabled()
            if behind(upstream) and policy.reaches(upstream.name, open_to_all_keys=upstream.allow_on_all_virtual_keys)
        ]

    async def _behind(self, endpoint_path: str) -> Callable[[Upstream], bool]:
        """Whether an upstream is one of those that this endpoint offers."""
        slug = resource.slug(endpoint_path)
        if slug is None:
            return lambda _upstream: True
        virtual_mcp = await self.virtual_mcps.by_slug(slug)
        if virtual_mcp is None:
            return lambda upstream: upstream.endpoint_slug == slug
        return lambda upstream: virtual_mcp.holds(upstream.name)


def _service(upstream: Upstream, credential: Credential | None) -> Service:
    if upstream.auth_type not in PERSONAL:
        return Service(upstream_id=upstream.id, name=upstream.name, description=SHARED, state="ready")
    state, description = _judged(upstream, credential)
    return Service(
        upstream_id=upstream.id,
        name=upstream.name,
        description=description,
        state=state,
        connectable=True,
        connected=credential is not None,
    )


def _judged(upstream: Upstream, credential: Credential | None) -> tuple[State, str]:
    """As it is now: whoever sees the service reaches it."""
    usual = OWN_VALUES if upstream.auth_type == "per_user_headers" else OWN_ACCOUNT
    if credential is None:
        return "not_connected", usual
    state = credential.basis.state(upstream, may_use=True)
    if state == "active":
        return "connected", usual
    if state == "needs_update":
        return "needs_update", ASKS_FOR_OTHERS
    return "needs_reauth", credential.reason or usual
