"""The state in which an upstream was seen last, told to administrators and written down once when it changes."""

from dataclasses import dataclass
from typing import Protocol

import structlog

from bifrost.base.clock import Clock
from bifrost.upstreams.models import Upstream, UpstreamState

log = structlog.get_logger()


class StateStore(Protocol):
    async def note_state(self, upstream: Upstream, state: UpstreamState, reason: str, now: int) -> bool:
        """False when it was in this state for this reason already, has moved meanwhile, or is gone."""
        ...


@dataclass(frozen=True, slots=True)
class UpstreamStates:
    store: StateStore
    clock: Clock

    async def note(self, upstream: Upstream, state: UpstreamState, reason: str = "") -> None:
        """Of many processes that see a change at once, one logs it."""
        if (upstream.state, upstream.state_reason) == (state, reason):
            return
        if await self.store.note_state(upstream, state, reason, self.clock.now()):
            log.info("upstream_state", upstream=upstream.name, state=state, reason=reason)
