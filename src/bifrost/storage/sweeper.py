"""Deletes what has expired, a while after it has: a used code is kept so that a replay is still recognised."""

import asyncio
from dataclasses import dataclass
from typing import Protocol

import structlog

from bifrost.base.clock import SECOND, Clock
from bifrost.storage.database import StorageUnavailable

EVERY_SECONDS = 60
KEPT_MILLISECONDS = 3_600 * SECOND

log = structlog.get_logger()


class Sweepable(Protocol):
    async def sweep(self, before: int) -> None:
        """Delete what expired before this time. Raises StorageUnavailable."""


@dataclass(frozen=True, slots=True)
class Sweeper:
    stores: tuple[Sweepable, ...]
    clock: Clock

    async def run(self) -> None:
        """Until cancelled. Storage that does not answer is asked again the next time."""
        while True:
            try:
                await self.sweep()
            except StorageUnavailable:
                log.warning("sweep_postponed")
            except Exception:
                log.exception("sweep_failed")
            await asyncio.sleep(EVERY_SECONDS)

    async def sweep(self) -> None:
        for store in self.stores:
            await store.sweep(self.clock.now() - KEPT_MILLISECONDS)
