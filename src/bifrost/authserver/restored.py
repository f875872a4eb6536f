"""A database that was put back from a backup knows nothing of what was used, ended or revoked since (ours).

Codes, refresh tokens, links and sessions of then would be good again. They all end; everybody signs in anew.
"""

from dataclasses import dataclass
from typing import Protocol

import structlog

from bifrost.base import events
from bifrost.base.clock import Clock

RESTORED = events.Name.DATABASE_RESTORED

log = structlog.get_logger()


class RestoredStore(Protocol):
    async def end_everything(self, reason: str, now: int) -> int:
        """Revoke every living grant, finish every flow, forget links, sessions and consents; how many grants it were.

        Done half, it is done again. Virtual keys, administrators' tokens and accounts at upstreams stay.
        """


@dataclass(frozen=True, slots=True)
class Restored:
    store: RestoredStore
    clock: Clock

    async def end_everything(self) -> int:
        """How many grants have ended. Doing it again ends what was made since."""
        ended = await self.store.end_everything(RESTORED.value, self.clock.now())
        events.tell(RESTORED, grants=str(ended))
        log.warning(RESTORED.value, grants=ended)
        return ended
