"""The right to refresh one credential: short, and kept up by its holder for as long as the request runs.

The service is asked by one process at a time. A holder that can no longer write that it is alive, or finds that it was
taken for dead, lets go of its request before, or as soon as, somebody else begins.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Protocol

import structlog

from bifrost.base.clock import SECOND, Clock
from bifrost.base.errors import Unavailable
from bifrost.upstreams.accounts import Credential, Owner

LEASE_MILLISECONDS = 10 * SECOND
"""Whoever did not keep up their lease for so long is taken for dead. The clocks of replicas must agree better."""

KEPT_UP_SECONDS = 2.0
"""How often a lease is made to last longer: four times in vain before it is over."""

log = structlog.get_logger()


class LeaseStore(Protocol):
    async def credential(self, upstream_id: str, owner: Owner) -> Credential | None: ...

    async def keep_lease(self, credential: Credential, held: int, until: int) -> bool:
        """Make the lease that lasts until `held` last longer; False when it is not there any more."""
        ...

    async def release_refresh(self, credential: Credential, held: int, until: int | None) -> None:
        """End the lease that lasts until `held`: somebody may try again, at once or from the time given."""


class LeaseLost(Exception):
    """It is over, or somebody else has it: whatever was asked of the service must not go on."""


@dataclass(slots=True)
class RefreshLease:
    """`until` also tells this lease from a later one: whoever takes over writes another time."""

    store: LeaseStore
    clock: Clock
    credential: Credential
    until: int

    @contextlib.asynccontextmanager
    async def kept_up(self) -> AsyncIterator[None]:
        """For as long as the block runs. Raises LeaseLost."""
        done, limit = asyncio.Event(), asyncio.timeout(None)
        keeping = asyncio.create_task(self._keep_up(done, limit))
        try:
            async with limit:
                yield
        except TimeoutError as error:
            if not limit.expired():
                raise
            log.warning("refresh_lease_lost", upstream=self.credential.upstream_id)
            raise LeaseLost from error
        finally:
            # not cancelled: what it is writing would be written, and nobody would know until when
            done.set()
            await keeping

    async def release(self, until: int | None) -> None:
        """Let somebody try again, at once or from the time given; nothing happens when it is no longer ours."""
        await self.store.release_refresh(self.credential, self.until, until)

    async def _keep_up(self, done: asyncio.Event, limit: asyncio.Timeout) -> None:
        while not await _set_within(done, KEPT_UP_SECONDS):
            if await self._is_over():
                if not done.is_set():
                    limit.reschedule(asyncio.get_running_loop().time())
                return

    async def _is_over(self) -> bool:
        """Make it last longer; whether that came too late."""
        until = self.clock.now() + LEASE_MILLISECONDS
        try:
            if await self.store.keep_lease(self.credential, self.until, until):
                self.until = until
                return False
            current = await self.store.credential(self.credential.upstream_id, self.credential.owner)
        except Unavailable:
            return self.clock.now() >= self.until - KEPT_UP_SECONDS * SECOND
        # connected again, or disconnected: then nobody else refreshes this version, and its result is still of use
        return current is not None and (current.version, current.state) == (self.credential.version, "active")


async def _set_within(event: asyncio.Event, seconds: float) -> bool:
    try:
        async with asyncio.timeout(seconds):
            return await event.wait()
    except TimeoutError:
        return False
