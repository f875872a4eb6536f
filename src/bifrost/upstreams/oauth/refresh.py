"""Keeping credentials fresh: ahead of expiry, one refresh in flight for each credential over all processes.

The right to refresh is a lease in the row, short, and kept up by whoever holds it for as long as their request runs:
a process that was killed is out of the way soon, and a slow service is still asked once. The new pair is written before
it is used, and the refresh is a task of its own: a caller that goes away never leaves a rotated token unstored.
"""

import asyncio
import zlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace

import structlog

from bifrost.base.clock import SECOND, Clock
from bifrost.base.singleflight import SingleFlight
from bifrost.protocol import oauth
from bifrost.protocol.scope import is_scope
from bifrost.upstreams import in_use
from bifrost.upstreams.accounts import Credential, Owner, TokenSet
from bifrost.upstreams.errors import UpstreamUnavailable
from bifrost.upstreams.models import Upstream
from bifrost.upstreams.oauth.refresh_lease import LEASE_MILLISECONDS, LeaseLost, RefreshLease
from bifrost.upstreams.oauth.store import UpstreamOAuthStore
from bifrost.upstreams.oauth.token_client import REVOCATION_SECONDS, TokenClient, TokenRefused, TokenUnavailable

AHEAD_MILLISECONDS = 60 * SECOND
JITTER_MILLISECONDS = 30 * SECOND
BACK_OFF_MILLISECONDS = 10 * SECOND
"""After failed attempts, while the old token still works."""

ATTEMPTS = 3
FIRST_PAUSE_SECONDS = 0.25
POLL_SECONDS = 0.05
POLLS_TO_TAKE_OVER = 20
"""Every second somebody who waits tries to take over, for the holder of the lease may be dead."""

WAIT_POLLS = 1_000
"""Fifty seconds: longer than a lease and all attempts of whoever comes after it."""

_REASONS = {
    oauth.INVALID_GRANT: "The service no longer accepts the sign-in.",
    oauth.INVALID_CLIENT: "The service no longer knows this gateway.",
    oauth.UNAUTHORIZED_CLIENT: "The service no longer lets this gateway renew the sign-in.",
}

log = structlog.get_logger()


@dataclass(slots=True)
class Credentials:
    store: UpstreamOAuthStore
    tokens: TokenClient
    clock: Clock
    pause: Callable[[float], Awaitable[None]] = asyncio.sleep
    _flights: SingleFlight[Credential] = field(default_factory=SingleFlight)

    async def held(self, owner: Owner) -> list[Credential]:
        """Everything that this owner has connected, usable or not."""
        return await self.store.credentials_of(owner)

    async def reason(self, upstream: Upstream, owner: Owner) -> str | None:
        """Why what this owner has does not work, in words; None when there is nothing at all."""
        credential = await self.store.credential(upstream.id, owner)
        return credential.reason if credential else None

    async def more_scope(self, upstream: Upstream, owner: Owner) -> str:
        """What the upstream asked for besides, when it refused a call of this owner; empty when it did not."""
        credential = await self.store.credential(upstream.id, owner)
        return credential.more_scope if credential else ""

    async def usable(self, upstream: Upstream, owner: Owner) -> Credential:
        """A credential that works now, renewed if it soon would not. Raises ConnectionRequired, UpstreamUnavailable."""
        credential = await self._active(upstream, owner)
        if not self._due(credential):
            return credential
        return await self._renewed(upstream, credential)

    async def refused(self, upstream: Upstream, owner: Owner, access_token: str) -> bool:
        """The upstream refused this token before its time: renew it once. False when there is nothing to renew with."""
        credential = await self._active(upstream, owner)
        if credential.tokens.access_token != access_token:
            return True  # somebody renewed it meanwhile
        if not credential.tokens.refresh_token:
            await self.store.needs_reauth(credential, "The service refused the access token.", self.clock.now())
            return False
        await self._renewed(upstream, credential, refused=True)
        return True

    async def insufficient(self, upstream: Upstream, owner: Owner, wanted: str) -> None:
        """The upstream wants more scope (RFC 6750 §3.1): ask the person once, for what they gave and what is missing.

        Raises ConnectionRequired, or UpstreamUnavailable when all that it wants was granted, or asked for in vain.
        """
        credential = await self._active(upstream, owner)
        asked = [word for word in wanted.split() if is_scope(word)]
        missing = [word for word in asked if word not in credential.tokens.scope.split()]
        if not missing:
            raise UpstreamUnavailable(
                f"{upstream.name} refuses this call, although it has every permission it asks for."
            )
        if set(missing) <= set(credential.asked_scope.split()):
            raise UpstreamUnavailable(f"{upstream.name} wants permissions for this call that it did not grant.")
        more = " ".join(dict.fromkeys([*credential.tokens.scope.split(), *missing]))
        reason = "The service asks for more permissions."
        await self.store.needs_reauth(credential, reason, self.clock.now(), more_scope=more)
        raise in_use.required(upstream)

    async def _active(self, upstream: Upstream, owner: Owner) -> Credential:
        return await in_use.active(self.store, upstream, owner, self.clock)

    def _due(self, credential: Credential) -> bool:
        """Ahead of the expiry by a tenth of the lifetime, at most a good minute, a little different for each owner."""
        ends, tokens = credential.tokens.expires_at, credential.tokens
        if ends is None:
            return False
        jitter = zlib.crc32(str(credential.owner).encode()) % JITTER_MILLISECONDS
        ahead = min(AHEAD_MILLISECONDS + jitter, (ends - tokens.issued_at) // 10)
        return self.clock.now() >= ends - ahead

    async def _renewed(self, upstream: Upstream, credential: Credential, *, refused: bool = False) -> Credential:
        """`refused`: the access token is of no use although its time is not over."""
        if not credential.tokens.refresh_token:
            return await self._without_refresh_token(upstream, credential)
        usable = not refused and not self._expired(credential)
        key = (credential.upstream_id, str(credential.owner), usable)
        return await self._flights.do(key, lambda: self._renew(upstream, credential, usable=usable))

    async def _without_refresh_token(self, upstream: Upstream, credential: Credential) -> Credential:
        if not self._expired(credential):
            return credential
        await self.store.needs_reauth(credential, "The sign-in has expired.", self.clock.now())
        raise in_use.required(upstream)

    async def _renew(self, upstream: Upstream, credential: Credential, *, usable: bool) -> Credential:
        """Another process may be at it: go on with what still works, else wait for what it writes."""
        lease = await self._leased(credential)
        if lease:
            return await self._renew_leased(upstream, credential, lease, usable=usable)
        return credential if usable else await self._awaited(upstream, credential)

    async def _leased(self, credential: Credential) -> RefreshLease | None:
        now = self.clock.now()
        until = now + LEASE_MILLISECONDS
        leased = await self.store.lease_refresh(credential, until, now)
        return RefreshLease(self.store, self.clock, credential, until) if leased else None

    async def _renew_leased(
        self, upstream: Upstream, credential: Credential, lease: RefreshLease, *, usable: bool
    ) -> Credential:
        try:
            async with lease.kept_up():
                fresh = replace(credential, tokens=await self._fetch(credential), version=credential.version + 1)
        except TokenRefused as error:
            reason = _REASONS.get(error.code, "The service refused to renew the sign-in.")
            await self.store.needs_reauth(credential, reason, self.clock.now())
            if error.code == oauth.INVALID_CLIENT:
                await self.store.forget_registration(upstream.id, credential.registration)
            log.warning("upstream_needs_reauth", upstream=upstream.name, reason=error.code)
            raise in_use.required(upstream) from error
        except TokenUnavailable as error:
            if not usable or self._expired(credential):
                await lease.release(None)
                raise UpstreamUnavailable(f"{upstream.name}: its sign-in service does not answer.") from error
            await lease.release(self.clock.now() + BACK_OFF_MILLISECONDS)
            return credential
        except LeaseLost:
            return credential if usable else await self._awaited(upstream, credential)
        if not await self.store.refreshed(fresh, self.clock.now()):
            return await self._overtaken(upstream, fresh)
        log.info("upstream_token_renewed", upstream=upstream.name)
        return fresh

    async def _overtaken(self, upstream: Upstream, fresh: Credential) -> Credential:
        """The person connected again meanwhile, or disconnected: then what came of the renewal ends as well."""
        if await self.store.credential(upstream.id, fresh.owner) is None and fresh.revocation_endpoint:
            await self.tokens.revoke(fresh, seconds=REVOCATION_SECONDS)
        return await self._active(upstream, fresh.owner)

    async def _fetch(self, credential: Credential) -> TokenSet:
        pause = FIRST_PAUSE_SECONDS
        for _ in range(ATTEMPTS - 1):
            try:
                return await self.tokens.refresh(credential)
            except TokenUnavailable:
                await self.pause(pause)
                pause *= 2
        return await self.tokens.refresh(credential)

    async def _awaited(self, upstream: Upstream, old: Credential) -> Credential:
        for poll in range(1, WAIT_POLLS + 1):
            await self.pause(POLL_SECONDS)
            current = await self._active(upstream, old.owner)
            if current.version != old.version:
                return current
            if poll % POLLS_TO_TAKE_OVER == 0 and (lease := await self._leased(old)):
                return await self._renew_leased(upstream, old, lease, usable=False)
        raise UpstreamUnavailable(f"{upstream.name}: its sign-in is being renewed and that takes too long.")

    def _expired(self, credential: Credential) -> bool:
        ends = credential.tokens.expires_at
        return ends is not None and ends <= self.clock.now()
