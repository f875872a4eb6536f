"""What becomes of people's credentials when access changes, and how they end (contract §8).

States are decided by `Basis.state`, at the change (`reconcile`), and again whenever one is used or shown.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import structlog

from bifrost.base.clock import Clock
from bifrost.upstreams.accounts import Credential, CredentialState, Held, Owner
from bifrost.upstreams.errors import UnknownCredential
from bifrost.upstreams.models import Upstream
from bifrost.upstreams.oauth.token_client import REVOCATION_SECONDS, TokenClient
from bifrost.upstreams.registry import Upstreams

ALL_REVOCATIONS_SECONDS = 20.0
"""How long the end of many waits altogether. Services that do not listen must not hold up whoever ends them."""

MAX_REVOCATIONS_AT_ONCE = 8
BATCH_ROWS = 500

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldQuery:
    """Which credentials; empty members ask for nothing."""

    search: str = ""
    """In the name of the upstream, and in the id and name of the owner."""
    state: str = ""
    upstream: str = ""
    """Its id or its name."""
    owner_kind: str = ""
    owner_id: str = ""
    limit: int = BATCH_ROWS
    offset: int = 0


class CredentialLifeStore(Protocol):
    async def held(self, query: HeldQuery) -> tuple[list[Held], int]:
        """A page of people's credentials, the oldest first, and how many there are; never those of open flows."""
        ...

    async def held_by_id(self, credential_id: str) -> Held | None: ...

    async def settle_held(self, held: Held, state: CredentialState, now: int) -> bool:
        """Write its state, unless the row was changed meanwhile."""
        ...

    async def take(self, *, upstream_id: str = "", owner: Owner | None = None) -> list[Credential]:
        """Delete those of this upstream, of this owner, or of both, and give what was deleted."""
        ...

    async def take_first(self, upstream_id: str, owners: Sequence[Owner]) -> Credential | None:
        """Delete what the first of these owners has at it, of whoever has something; one transaction."""
        ...

    async def take_ended(self, now: int) -> list[Credential]:
        """Delete those that nobody can use again: of anonymous sessions without a grant, of consents and set-ups that
        nobody finished.
        """
        ...


@dataclass(frozen=True, slots=True)
class CredentialLife:
    store: CredentialLifeStore
    upstreams: Upstreams
    tokens: TokenClient
    may_use: Callable[[Owner, Upstream], Awaitable[bool]]
    """Whether this identity reaches this upstream now."""
    clock: Clock

    async def reconcile(self, query: HeldQuery = HeldQuery()) -> int:
        """After a change of access: write the state that each credential has now; how many became others."""
        known = {upstream.id: upstream for upstream in await self.upstreams.all()}
        judged: dict[tuple[Owner, str], bool] = {}
        changed, offset = 0, 0
        while True:
            page, _total = await self.store.held(_page(query, offset))
            for held in page:
                state = await self._state(held, known.get(held.upstream_id), judged)
                if state != held.state and await self.store.settle_held(held, state, self.clock.now()):
                    changed += 1
                    log.info("credential_state_changed", credential=held.id, was=held.state, state=state)
            offset += len(page)
            if len(page) < BATCH_ROWS:
                return changed

    async def page(self, query: HeldQuery = HeldQuery()) -> tuple[list[Held], int]:
        """As it is now, whatever changed unnoticed."""
        await self.reconcile(HeldQuery(upstream=query.upstream, owner_kind=query.owner_kind, owner_id=query.owner_id))
        return await self.store.held(query)

    async def by_id(self, credential_id: str) -> Held:
        """As it is now. Raises UnknownCredential."""
        held = await self.store.held_by_id(credential_id)
        if held is None:
            raise UnknownCredential("There is no such credential.")
        upstream = next((one for one in await self.upstreams.all() if one.id == held.upstream_id), None)
        state = await self._state(held, upstream, {})
        if state != held.state:
            await self.store.settle_held(held, state, self.clock.now())
        return replace(held, state=state)

    async def forget(self, credential_id: str) -> Held:
        """Raises UnknownCredential."""
        held = await self.by_id(credential_id)
        if not await self.disconnect(held.upstream_id, held.owner):
            raise UnknownCredential("There is no such credential.")
        return held

    async def disconnect(self, upstream_id: str, owner: Owner) -> bool:
        """End this owner's credential at this upstream; False when there was none."""
        return await self._end(await self.store.take(upstream_id=upstream_id, owner=owner)) > 0

    async def taken_of_first(
        self, upstream_id: str, owners: Sequence[Owner]
    ) -> tuple[Owner, Callable[[], Awaitable[None]]] | None:
        """Delete the credential of the first of them who has one there; whose it was, and what tells the service."""
        taken = await self.store.take_first(upstream_id, owners)
        return (taken.owner, self._telling([taken])) if taken else None

    async def access_changed(self, owner: Owner) -> None:
        """What this owner reaches may be something else now."""
        await self.reconcile(HeldQuery(owner_kind=owner.kind, owner_id=owner.id))

    async def taken_from(self, owner: Owner) -> Callable[[], Awaitable[None]]:
        """Delete everything that this owner had: an identity ends. What is given back tells the services."""
        return self._telling(await self.store.take(owner=owner))

    async def taken_at(self, upstream_id: str) -> Callable[[], Awaitable[None]]:
        """Delete everybody's credentials at it: an upstream ends. What is given back tells the services."""
        return self._telling(await self.store.take(upstream_id=upstream_id))

    async def sweep(self, _before: int) -> None:
        """An anonymous session ends with its last grant, and its accounts with it; a consent or a set-up by time."""
        await self._end(await self.store.take_ended(self.clock.now()))

    async def tell(self, ended: list[Credential]) -> None:
        """The services, of what was deleted in another way."""
        await self._end(ended)

    def _telling(self, ended: list[Credential]) -> Callable[[], Awaitable[None]]:
        async def tell() -> None:
            await self._end(ended)

        return tell

    async def _state(
        self, held: Held, upstream: Upstream | None, judged: dict[tuple[Owner, str], bool]
    ) -> CredentialState:
        if upstream is None:
            return held.basis.state(None, may_use=False)
        key = (held.owner, upstream.id)
        if key not in judged:
            judged[key] = await self.may_use(held.owner, upstream)
        return held.basis.state(upstream, may_use=judged[key])

    async def _end(self, ended: list[Credential]) -> int:
        """They are gone already; their services are told once, and whether they listen changes nothing."""
        turns = asyncio.Semaphore(MAX_REVOCATIONS_AT_ONCE)
        try:
            async with asyncio.timeout(ALL_REVOCATIONS_SECONDS):
                await asyncio.gather(*(self._revoke(credential, turns) for credential in ended))
        except TimeoutError:
            log.warning("upstream_revocations_given_up", credentials=len(ended))
        return len(ended)

    async def _revoke(self, credential: Credential, turns: asyncio.Semaphore) -> None:
        revoked = False
        if credential.revocation_endpoint:
            async with turns:
                revoked = await self.tokens.revoke(credential, seconds=REVOCATION_SECONDS)
        log.info(
            "upstream_disconnected",
            upstream=credential.upstream_id,
            owner=credential.owner.kind,
            revoked=revoked,
        )


def _page(query: HeldQuery, offset: int) -> HeldQuery:
    return HeldQuery(
        upstream=query.upstream, owner_kind=query.owner_kind, owner_id=query.owner_id, limit=BATCH_ROWS, offset=offset
    )
