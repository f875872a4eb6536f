"""Keeping what is known of upstreams fresh: their tools now and then, whether they answer more often.

Every process asks which upstreams are due; the right to look at one is taken by moving its due time on, in one guarded
statement, so that one process looks at a time and another takes over when that one has died.
"""

import asyncio
import zlib
from dataclasses import dataclass
from typing import Protocol

import structlog

from bifrost.base.clock import SECOND, Clock
from bifrost.base.errors import StorageFault
from bifrost.protocol.jsonrpc import RpcError
from bifrost.upstreams.accounts import account_of
from bifrost.upstreams.administration import Drift, ManagedUpstream, Tool
from bifrost.upstreams.errors import AdministratorMustSignIn, UpstreamUnavailable
from bifrost.upstreams.inspection import Inspection
from bifrost.upstreams.models import Upstream
from bifrost.upstreams.oauth.refresh import Credentials
from bifrost.upstreams.registry import Upstreams
from bifrost.upstreams.states import UpstreamStates

EVERY_SECONDS = 5.0
"""How often a process asks what is due."""

CHECK_SECONDS = 60
"""Between two looks at whether an upstream answers; a little different for each, so that they do not come together."""

SYNC_SECONDS = 600
"""Between two looks at its tools, where its own `tool_sync_interval` says nothing else."""

LEASE_SECONDS = 120
AT_ONCE = 8
MAX_REASON_CHARACTERS = 300
NOT_LOOKED_AT = "It answers. Its tools are looked at when an administrator asks: refresh-tools."

log = structlog.get_logger()


class UpkeepStore(Protocol):
    async def managed(self) -> list[ManagedUpstream]: ...

    async def claim_check(self, upstream_id: str, until: int, now: int) -> bool:
        """The right to look at it until then, unless that is not due, or is being done."""
        ...

    async def check_done(self, upstream_id: str, until: int, due: int) -> None: ...

    async def keep_tools(self, upstream: Upstream, tools: tuple[Tool, ...], now: int) -> Drift: ...


@dataclass(frozen=True, slots=True)
class Upkeep:
    store: UpkeepStore
    upstreams: Upstreams
    inspection: Inspection
    credentials: Credentials
    states: UpstreamStates
    clock: Clock

    async def run(self) -> None:
        """Until cancelled. Storage that does not answer is asked again the next time."""
        while True:
            await asyncio.sleep(EVERY_SECONDS)
            try:
                await self.once()
            except StorageFault:
                log.warning("upkeep_postponed")
            except Exception:
                log.exception("upkeep_failed")

    async def once(self) -> None:
        """Look at every upstream that is due."""
        turns = asyncio.Semaphore(AT_ONCE)
        now = self.clock.now()
        due = [managed for managed in await self.store.managed() if managed.check_due_at <= now]
        await asyncio.gather(*(self._check(managed, turns) for managed in due if not managed.upstream.disabled))

    async def may_look(self, upstream: Upstream) -> bool:
        """Whether there is a way to see its tools: with nothing, shared secrets, or an administrator's account."""
        if upstream.by_oauth or upstream.auth_type == "per_user_headers":
            return await self.credentials.reason(upstream, account_of(upstream)) is not None
        return not upstream.per_user

    async def look(self, upstream: Upstream) -> None:
        """At its tools, if there is a way to; what comes of it is its state."""
        if upstream.disabled or not await self.may_look(upstream):
            return
        try:
            await self.looked(upstream)
        except UpstreamUnavailable:
            log.debug("upstream_not_seen", upstream=upstream.name)

    async def looked(self, upstream: Upstream) -> tuple[Tool, ...]:
        """Its tools, which are kept. Raises UpstreamUnavailable, once its state says so."""
        try:
            tools = await self.inspection.tools(upstream)
        except (UpstreamUnavailable, RpcError) as error:
            raise await self._failed(upstream, error) from error
        drift = await self.store.keep_tools(upstream, tools, self.clock.now())
        if drift.any:
            log.info(
                "upstream_tools_changed",
                upstream=upstream.name,
                added=drift.added[:20],
                changed=drift.changed[:20],
                removed=drift.removed[:20],
            )
        await self.states.note(upstream, "connected")
        self.upstreams.look_again()
        return tools

    async def _check(self, managed: ManagedUpstream, turns: asyncio.Semaphore) -> None:
        upstream, now = managed.upstream, self.clock.now()
        until = now + LEASE_SECONDS * SECOND
        async with turns:
            if not await self.store.claim_check(upstream.id, until, now):
                return
            try:
                await self._look_or_ping(managed)
            except UpstreamUnavailable:
                log.debug("upstream_not_seen", upstream=upstream.name)
            await self.store.check_done(upstream.id, until, self.clock.now() + _pause(upstream))

    async def _look_or_ping(self, managed: ManagedUpstream) -> None:
        upstream = managed.upstream
        if not await self.may_look(upstream):
            return
        by_list = not upstream.is_ping_available and upstream.tool_sync_interval >= 0
        if by_list or _tools_due(managed, self.clock.now()):
            await self.looked(upstream)
        elif upstream.is_ping_available:
            await self._pinged(upstream, known=managed.tools_seen_at is not None)

    async def _pinged(self, upstream: Upstream, *, known: bool) -> None:
        try:
            await self.inspection.ping(upstream)
        except (UpstreamUnavailable, RpcError) as error:
            raise await self._failed(upstream, error) from error
        if known:
            await self.states.note(upstream, "connected")
        else:
            await self.states.note(upstream, "pending_tools", NOT_LOOKED_AT)

    async def _failed(self, upstream: Upstream, error: UpstreamUnavailable | RpcError) -> UpstreamUnavailable:
        """What failed, once the state says so. A missing sign-in has been noted where it was missed."""
        if isinstance(error, AdministratorMustSignIn):
            return error
        if isinstance(error, RpcError):
            said = "".join(character for character in error.message if character.isprintable())
            reason = f"It answered with an error: {said}"[:MAX_REASON_CHARACTERS]
            await self.states.note(upstream, "error", reason)
            return UpstreamUnavailable(f"{upstream.name} answered with an error when it was asked for its tools.")
        await self.states.note(upstream, "disconnected", error.message[:MAX_REASON_CHARACTERS])
        return error


def _tools_due(managed: ManagedUpstream, now: int) -> bool:
    interval = managed.upstream.tool_sync_interval or SYNC_SECONDS
    if interval < 0:
        return False
    seen = managed.tools_seen_at
    # a look that falls just before the end of the interval counts: the next one would be too late
    return seen is None or now - seen >= interval * SECOND - _jitter(managed.upstream, interval)


def _pause(upstream: Upstream) -> int:
    """Until the next check, in milliseconds: never longer than until its tools are due."""
    seconds = min(CHECK_SECONDS, upstream.tool_sync_interval) if upstream.tool_sync_interval > 0 else CHECK_SECONDS
    return seconds * SECOND - _jitter(upstream, seconds)


def _jitter(upstream: Upstream, seconds: int) -> int:
    """Up to a tenth, in milliseconds, the same for an upstream every time."""
    return zlib.crc32(upstream.id.encode()) % max(1, seconds * SECOND // 10)
