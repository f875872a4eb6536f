"""What a person is shown of the upstreams that an identity may use."""

from dataclasses import dataclass
from typing import Literal

from bifrost.authserver.identities import Identities
from bifrost.identity.models import Identity
from bifrost.protocol import resource
from bifrost.upstreams.accounts import Credential, Owner
from bifrost.upstreams.models import Upstream
from bifrost.upstreams.oauth.refresh import Credentials
from bifrost.upstreams.registry import Upstreams

State = Literal["ready", "connected", "needs_reauth", "not_connected"]
SHARED = "Shared by everybody here; no account of yours is needed."


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    upstream_id: str
    name: str
    description: str
    state: State
    connectable: bool = False


@dataclass(frozen=True, slots=True)
class Services:
    upstreams: Upstreams
    identities: Identities
    credentials: Credentials

    async def of(self, identity: Identity, endpoint_path: str, *, flow_id: str = "") -> list[Service]:
        """The services behind the endpoint that this identity reaches, by name.

        While a consent is open, what was connected in it counts before what the identity has already.
        """
        policy = await self.identities.policy(identity)
        slug = resource.slug(endpoint_path)
        owners = [Owner(identity.kind, identity.id), *([Owner("flow", flow_id)] if flow_id else [])]
        held = {found.upstream_id: found for owner in owners for found in await self.credentials.held(owner)}
        return [
            _service(upstream, held.get(upstream.id))
            for upstream in await self.upstreams.enabled()
            if slug in (None, upstream.endpoint_slug)
            and policy.reaches(upstream.name, open_to_all_keys=upstream.allow_on_all_virtual_keys)
        ]


def _service(upstream: Upstream, credential: Credential | None) -> Service:
    if not upstream.per_user:
        return Service(upstream_id=upstream.id, name=upstream.name, description=SHARED, state="ready")
    state: State = "not_connected"
    if credential is not None:
        state = "connected" if credential.state == "active" else "needs_reauth"
    return Service(
        upstream_id=upstream.id,
        name=upstream.name,
        description=credential.reason if credential else "Your own account.",
        state=state,
        connectable=True,
    )
