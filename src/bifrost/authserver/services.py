"""What a person is shown of the upstreams that an identity may use."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

from bifrost.authserver.identities import Identities
from bifrost.governance.virtual_mcps import VirtualMcps
from bifrost.identity.models import Identity
from bifrost.protocol import resource
from bifrost.upstreams.accounts import PERSONAL, Credential, Owner
from bifrost.upstreams.models import Upstream
from bifrost.upstreams.oauth.asking import Asked, Asking, host_of, readable
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
    host: str = ""
    """Where its requests go, and with them what it is told."""

    connectable: bool = False
    connected: bool = False
    """Whether there is something to disconnect, usable or not."""

    sign_in_host: str = ""
    """Where a person is sent to sign in, if that is known now."""

    scopes: tuple[str, ...] = ()
    """What they are asked to allow there."""

    header_names: tuple[str, ...] = ()
    """Whose values they are asked to give us."""


@dataclass(frozen=True, slots=True)
class Services:
    upstreams: Upstreams
    virtual_mcps: VirtualMcps
    identities: Identities
    credentials: Credentials
    asking: Asking

    async def told(self, identity: Identity, endpoint_path: str, *, flow_id: str = "") -> list[Service]:
        """As `of`, with what each asks for: for the page on which a person decides."""
        services = await self.of(identity, endpoint_path, flow_id=flow_id)
        signing_in = {service.upstream_id for service in services if service.connectable and not service.header_names}
        if not any(service.connectable for service in services):
            return services
        asked = await self.asking.of(one for one in await self.upstreams.enabled() if one.id in signing_in)
        return [_telling(service, asked.get(service.upstream_id)) for service in services]

    async def of(self, identity: Identity, endpoint_path: str, *, flow_id: str = "") -> list[Service]:
        """The services behind the endpoint that this identity reaches, by name.

        While a consent is open, what was connected in it counts before what the identity has already.
        """
        policy = await self.identities.policy(identity)
        behind = await self._behind(endpoint_path)
        reached = [
            upstream
            for upstream in await self.upstreams.enabled()
            if behind(upstream) and policy.reaches(upstream.name, open_to_all_keys=upstream.allow_on_all_virtual_keys)
        ]
        held: dict[str, Credential] = {}
        if any(upstream.auth_type in PERSONAL for upstream in reached):
            for owner in [Owner(identity.kind, identity.id), *([Owner("flow", flow_id)] if flow_id else [])]:
                held |= {found.upstream_id: found for found in await self.credentials.held(owner)}
        return [_service(upstream, held.get(upstream.id)) for upstream in reached]

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
    host = host_of(upstream.connection_string)
    if upstream.auth_type not in PERSONAL:
        return Service(upstream_id=upstream.id, name=upstream.name, host=host, description=SHARED, state="ready")
    state, description = _judged(upstream, credential)
    return Service(
        upstream_id=upstream.id,
        name=upstream.name,
        host=host,
        description=description,
        state=state,
        connectable=True,
        connected=credential is not None,
        scopes=readable(credential.more_scope.split()) if credential else (),
        header_names=upstream.per_user_header_keys,
    )


def _telling(service: Service, asked: Asked | None) -> Service:
    """What its documents say, and what it asked for besides when it refused a call."""
    if asked is None:
        return replace(service, scopes=())
    scopes = tuple(dict.fromkeys((*asked.scopes, *service.scopes)))
    return replace(service, sign_in_host=asked.sign_in_host, scopes=scopes)


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
