"""The right to refresh a credential: kept up while its holder waits, and let go of when it is no longer theirs."""

import asyncio
from dataclasses import dataclass, field, replace

import pytest

from bifrost.storage.database import StorageUnavailable
from bifrost.upstreams.accounts import Credential, Owner
from bifrost.upstreams.oauth import refresh_lease
from bifrost.upstreams.oauth.refresh_lease import LEASE_MILLISECONDS, LeaseLost, RefreshLease
from tests.support import upstreams
from tests.support.clock import FakeClock

pytestmark = pytest.mark.anyio

WAITS_SECONDS = 5.0
"""For what comes at once, or the test has failed."""

CREDENTIAL = replace(upstreams.credential(), version=3)


@dataclass
class Row:
    """The store, as far as a lease knows it."""

    until: int
    current: Credential | None = CREDENTIAL
    is_down: bool = False
    kept: list[int] = field(default_factory=list)
    written: asyncio.Event = field(default_factory=asyncio.Event)

    async def credential(self, upstream_id: str, owner: Owner) -> Credential | None:
        assert (upstream_id, owner) == (CREDENTIAL.upstream_id, CREDENTIAL.owner)
        return self.current

    async def keep_lease(self, credential: Credential, held: int, until: int) -> bool:
        assert credential == CREDENTIAL
        if self.is_down:
            raise StorageUnavailable
        if held != self.until:
            return False
        self.until = until
        self.kept.append(until)
        self.written.set()
        return True

    async def release_refresh(self, credential: Credential, held: int, until: int | None) -> None:
        raise NotImplementedError


@pytest.fixture(autouse=True)
def _often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(refresh_lease, "KEPT_UP_SECONDS", 0.01)


@pytest.fixture
def row(clock: FakeClock) -> Row:
    return Row(clock.now() + LEASE_MILLISECONDS)


@pytest.fixture
def lease(row: Row, clock: FakeClock) -> RefreshLease:
    return RefreshLease(row, clock, CREDENTIAL, row.until)


async def test_it_lasts_as_long_as_the_request(row: Row, lease: RefreshLease, clock: FakeClock) -> None:
    """Contract §8: one refresh in flight, however slow the service is."""
    async with asyncio.timeout(WAITS_SECONDS), lease.kept_up():
        for _ in range(3):
            row.written.clear()
            clock.advance(seconds=2)
            await row.written.wait()
        kept = len(row.kept)
    assert row.until == lease.until == clock.now() + LEASE_MILLISECONDS
    await asyncio.sleep(0.05)
    assert len(row.kept) <= kept + 1, "it ends with the request"


async def test_a_request_ends_when_somebody_else_has_begun(row: Row, lease: RefreshLease) -> None:
    """Contract §8: two at the same time would cost a person their sign-in where tokens rotate."""
    row.until += 1
    with pytest.raises(LeaseLost):
        async with asyncio.timeout(WAITS_SECONDS), lease.kept_up():
            await asyncio.Event().wait()


@pytest.mark.parametrize("current", [None, replace(CREDENTIAL, version=4), replace(CREDENTIAL, state="needs_reauth")])
async def test_a_result_that_nobody_else_is_after_is_waited_for(
    row: Row, lease: RefreshLease, current: Credential | None
) -> None:
    """RFC 7009: the account was connected anew, or disconnected: what comes of this has to be known to be revoked."""
    row.current = current
    row.until += 1
    async with asyncio.timeout(WAITS_SECONDS), lease.kept_up():
        await asyncio.sleep(0.05)


async def test_a_request_ends_before_a_lease_that_could_not_be_kept_up(
    row: Row, lease: RefreshLease, clock: FakeClock
) -> None:
    """House: fail closed. Without storage nobody can be told that this process still lives."""
    row.is_down = True
    with pytest.raises(LeaseLost):
        await _until_lost(lease, clock)
    assert clock.now() == row.until, "and not before its time was over"


async def _until_lost(lease: RefreshLease, clock: FakeClock) -> None:
    async with asyncio.timeout(WAITS_SECONDS), lease.kept_up():
        await asyncio.sleep(0.05)
        clock.advance(seconds=LEASE_MILLISECONDS / 1_000)
        await asyncio.Event().wait()


async def test_what_went_wrong_in_it_is_told_as_it_is(lease: RefreshLease) -> None:
    """Ours: a time-out of the request is not one of the lease."""
    with pytest.raises(TimeoutError):
        async with lease.kept_up():
            raise TimeoutError
