"""What a person is shown of the upstreams that an identity may use."""

from dataclasses import dataclass
from typing import Literal

from bifrost.governance.tool_policy import ToolPolicy
from bifrost.governance.virtual_keys import VirtualKeys
from bifrost.identity.models import Identity
from bifrost.protocol import resource
from bifrost.upstreams.registry import Upstreams

State = Literal["ready", "connected", "needs_reauth", "not_connected"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    name: str
    description: str
    state: State
    connect_url: str | None = None


@dataclass(frozen=True, slots=True)
class Services:
    upstreams: Upstreams
    virtual_keys: VirtualKeys

    async def of(self, identity: Identity, endpoint_path: str) -> list[Service]:
        """The services behind the endpoint that this identity reaches, by name."""
        key = await self.virtual_keys.by_id(identity.id) if identity.kind == "vk" else None
        policy = ToolPolicy(key_configs=key.mcp_configs if key else None)
        slug = resource.slug(endpoint_path)
        return [
            Service(
                name=upstream.name,
                description="Shared by everybody here; no account of yours is needed.",
                state="ready",
            )
            for upstream in await self.upstreams.enabled()
            if slug in (None, upstream.endpoint_slug)
            and policy.reaches(upstream.name, open_to_all_keys=upstream.allow_on_all_virtual_keys)
        ]
