"""What an endpoint offers: the capabilities of the upstreams behind it, merged, as far as they answer in time."""

import asyncio
from dataclasses import dataclass
from typing import Any

from bifrost.base.errors import DomainError
from bifrost.gateway.catalog import Catalog
from bifrost.gateway.models import Call
from bifrost.protocol.jsonrpc import RpcError
from bifrost.upstreams.links.base import Facts
from bifrost.upstreams.models import Upstream

MAX_INSTRUCTIONS = 8_192
"""Characters of one upstream's."""

_AREAS = ("tools", "resources", "prompts", "completions", "logging")
_FLAGS = ("listChanged", "subscribe")
_LISTS = ("tools", "resources", "prompts")
"""They also change when an administrator changes something, of which the gateway tells by itself."""

_OF_ONE_UPSTREAM = ("extensions", "experimental")
"""Members that say what their server itself does: true of an endpoint only when it is that server's alone."""


@dataclass(frozen=True, slots=True)
class Discovery:
    catalog: Catalog

    async def offered(self, call: Call) -> dict[str, Any]:
        """`capabilities`, and `instructions` where there are any. An upstream that does not answer adds nothing."""
        reached = await self.catalog.reached(call)
        facts = await asyncio.gather(*(self._facts(call, upstream) for upstream in reached))
        known = [(upstream, one) for upstream, one in zip(reached, facts, strict=True) if one]
        capabilities = _merged([one for _, one in known])
        if call.endpoint.only:
            own = known[0][1].capabilities if known else {}
            capabilities |= {member: own[member] for member in _OF_ONE_UPSTREAM if member in own}
        told = [(upstream.name, one.instructions[:MAX_INSTRUCTIONS]) for upstream, one in known if one.instructions]
        if not told:
            return {"capabilities": capabilities}
        one_of_many = "\n\n".join(f"{name}: {text}" for name, text in told)
        return {"capabilities": capabilities, "instructions": told[0][1] if call.endpoint.only else one_of_many}

    async def _facts(self, call: Call, upstream: Upstream) -> Facts | None:
        try:
            return await self.catalog.facts(upstream, call.caller.identity)
        except (TimeoutError, DomainError, RpcError):
            return None


def _merged(facts: list[Facts]) -> dict[str, Any]:
    """Tools always: an upstream that is away now may be back, and one that is not connected shows a tool to do so."""
    merged: dict[str, Any] = {"tools": {"listChanged": True}}
    for one in facts:
        for area in _AREAS:
            if one.offers(area):
                declared = one.capabilities[area]
                own = {"listChanged": True} if area in _LISTS else {}
                flags = {flag: True for flag in _FLAGS if declared.get(flag) is True}
                merged[area] = {**merged.get(area, {}), **own, **flags}
    return merged
