"""Upstream credentials are renewed ahead of time, once, and never lost."""

import asyncio
from pathlib import Path

import httpx2
import pytest

from bifrost.base.clock import SECOND, SystemClock
from bifrost.http.client import OutboundClient, OutsideUrlRefused
from bifrost.upstreams.accounts import Owner
from bifrost.upstreams.oauth import refresh, refresh_lease
from bifrost.upstreams.oauth.refresh_lease import LEASE_MILLISECONDS
from tests.flows import _connecting as people
from tests.flows._mcp import ask
from tests.support.clock import FakeClock
from tests.support.gateway import VIRTUAL_KEY, running_gateway, upstream
from tests.support.oauth_upstream import OAuthUpstream, Pause

pytestmark = pytest.mark.anyio


class _Running(FakeClock):
    """Leases end by it."""

    def now(self) -> int:
        return SystemClock().now()


async def test_a_token_is_renewed_before_it_expires(sqlite_url: str, tmp_path: Path, clock: FakeClock) -> None:
    """R13: just before expiry the upstream sees one refresh and no refused call."""
    guarded = OAuthUpstream()
    async with people.connected_gateway(sqlite_url, tmp_path, guarded, clock=clock) as running:
        alice = await people.signed_in_with(running, VIRTUAL_KEY, "alice")
        await people.whoami(running, alice)
        clock.advance(seconds=3_600 - 120)
        await people.whoami(running, alice)
        assert guarded.refreshes == 0
        clock.advance(seconds=100)
        assert people.text_of(await people.whoami(running, alice)) == "alice"
        assert guarded.refreshes == 1
        assert guarded.token_requests[-1]["resource"] == guarded.url


async def test_a_stampede_is_one_refresh_over_all_processes(
    database_url: str, tmp_path: Path, clock: FakeClock
) -> None:
    """R12, TC-118: two gateways on one database, 40 calls at expiry: one refresh upstream, no failed call."""
    guarded = OAuthUpstream()
    async with people.connected_gateway(database_url, tmp_path, guarded, clock=clock) as first:
        alice = await people.signed_in_with(first, VIRTUAL_KEY, "alice")
        await people.whoami(first, alice)
        entry = upstream("guarded", guarded.url, auth_type="per_user_oauth")
        async with running_gateway(
            database_url, tmp_path, clock=clock, mcp={"client_configs": [entry]}, governance=people.KEYS
        ) as second:
            clock.advance(seconds=3_600)
            answers = await asyncio.gather(
                *(people.whoami(running, alice) for running in (first, second) for _ in range(20))
            )
            assert [people.text_of(answer) for answer in answers] == ["alice"] * 40
            assert guarded.refreshes == 1


async def test_a_token_that_dies_unannounced_is_renewed_once_over_all_processes(
    database_url: str, tmp_path: Path
) -> None:
    """R12: a server that gives no `expires_in`; everybody is refused at once, and nobody hears of it."""
    guarded = OAuthUpstream(lifetime=None)
    async with people.connected_gateway(database_url, tmp_path, guarded) as first:
        alice = await people.signed_in_with(first, VIRTUAL_KEY, "alice")
        entry = upstream("guarded", guarded.url, auth_type="per_user_oauth")
        async with running_gateway(
            database_url, tmp_path, mcp={"client_configs": [entry]}, governance=people.KEYS
        ) as second:
            for running in (first, second):
                assert people.text_of(await people.whoami(running, alice)) == "alice"
            guarded.access.clear()
            answers = await asyncio.gather(
                *(people.whoami(running, alice) for running in (first, second) for _ in range(20))
            )
            assert [people.text_of(answer) for answer in answers] == ["alice"] * 40
            assert guarded.refreshes == 1


async def test_whoever_waits_takes_over_from_a_process_that_was_killed(
    database_url: str, tmp_path: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """TC-120: the lease of a dead process ends by time, and the call that waited for it still succeeds."""
    guarded = OAuthUpstream()
    async with people.connected_gateway(database_url, tmp_path, guarded, clock=clock) as running:
        alice = await people.signed_in_with(running, VIRTUAL_KEY, "alice")
        credentials = running.gateway.credentials
        clock.advance(seconds=3_600)
        (held,) = await credentials.held(Owner("vk", "vk-test"))
        assert await credentials.store.lease_refresh(held, clock.now() + LEASE_MILLISECONDS, clock.now())

        async def pause(seconds: float) -> None:
            clock.advance(seconds=seconds)

        began = clock.now()
        monkeypatch.setattr(credentials, "pause", pause)
        assert people.text_of(await people.whoami(running, alice)) == "alice"
        assert guarded.refreshes == 1
        assert clock.now() - began <= 11 * SECOND, "a process that was killed costs its callers no more"


async def test_a_service_that_is_slower_than_a_lease_is_asked_once(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """R12, TC-120: whoever waits for a service keeps up their lease; nobody takes over from the living."""
    monkeypatch.setattr(refresh_lease, "LEASE_MILLISECONDS", 400)
    monkeypatch.setattr(refresh_lease, "KEPT_UP_SECONDS", 0.05)
    monkeypatch.setattr(refresh, "LEASE_MILLISECONDS", 400)
    monkeypatch.setattr(refresh, "POLLS_TO_TAKE_OVER", 1)
    guarded, clock = OAuthUpstream(), _Running()
    async with people.connected_gateway(database_url, tmp_path, guarded, clock=clock) as first:
        alice = await people.signed_in_with(first, VIRTUAL_KEY, "alice")
        async with running_gateway(
            database_url,
            tmp_path,
            clock=clock,
            mcp={"client_configs": [upstream("guarded", guarded.url, auth_type="per_user_oauth")]},
            governance=people.KEYS,
        ) as second:
            for running in (first, second):
                assert people.text_of(await people.whoami(running, alice)) == "alice"
            guarded.access.clear()
            guarded.pause = Pause("/token", done=True)
            calls = [
                asyncio.create_task(people.whoami(running, alice)) for running in (first, second) for _ in range(5)
            ]
            await asyncio.to_thread(guarded.pause.arrived.wait, 10)
            await asyncio.sleep(1.5)
            guarded.pause.released.set()
            assert [people.text_of(answer) for answer in await asyncio.gather(*calls)] == ["alice"] * 10
            assert guarded.refreshes == 1


async def test_a_refused_token_is_renewed_and_the_call_repeated(sqlite_url: str, tmp_path: Path) -> None:
    """Contract §8: one transparent retry after an upstream 401."""
    guarded = OAuthUpstream()
    async with people.connected_gateway(sqlite_url, tmp_path, guarded) as running:
        alice = await people.signed_in_with(running, VIRTUAL_KEY, "alice")
        await people.whoami(running, alice)
        guarded.access.clear()
        assert people.text_of(await people.whoami(running, alice)) == "alice"
        assert guarded.refreshes == 1


async def test_a_definite_refusal_asks_the_person_to_connect_again(sqlite_url: str, tmp_path: Path) -> None:
    """G24, contract §8: invalid_grant → needs_reauth with a reason in words; the call answers with the link."""
    guarded = OAuthUpstream()
    async with people.connected_gateway(sqlite_url, tmp_path, guarded) as running:
        alice = await people.signed_in_with(running, VIRTUAL_KEY, "alice")
        await people.whoami(running, alice)
        guarded.access.clear()
        guarded.refresh.clear()
        result = (await people.whoami(running, alice)).json()["result"]
        assert result["isError"] is True
        assert "/api/oauth/per-user/upstream/authorize?session=" in result["content"][0]["text"]
        (row,) = await running.rows("upstream_credentials")
        assert (row["state"], row["reason"]) == ("needs_reauth", "The service no longer accepts the sign-in.")


async def test_a_service_that_is_down_costs_nothing_while_the_token_lives(
    sqlite_url: str, tmp_path: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Contract §8: a transient failure is retried and changes nothing; after expiry the call says so in words."""
    pauses: list[float] = []

    async def no_pause(seconds: float) -> None:
        pauses.append(seconds)

    guarded = OAuthUpstream()
    async with people.connected_gateway(sqlite_url, tmp_path, guarded, clock=clock) as running:
        monkeypatch.setattr(running.gateway.credentials, "pause", no_pause)
        alice = await people.signed_in_with(running, VIRTUAL_KEY, "alice")
        await people.whoami(running, alice)
        guarded.refresh_status = 503
        clock.advance(seconds=3_590)
        assert people.text_of(await people.whoami(running, alice)) == "alice"
        assert (guarded.refreshes, len(pauses)) == (3, 2)
        clock.advance(seconds=20)
        refused = (await people.whoami(running, alice)).json()
        assert refused["error"]["message"] == "guarded: its sign-in service does not answer."
        guarded.refresh_status = 200
        clock.advance(seconds=60)
        assert people.text_of(await people.whoami(running, alice)) == "alice"


async def test_a_credential_copied_to_another_owner_does_not_open(sqlite_url: str, tmp_path: Path) -> None:
    """Contract §8: the owner is associated data of the seal; the stolen row is of no use and the call fails closed."""
    guarded = OAuthUpstream()
    async with people.connected_gateway(sqlite_url, tmp_path, guarded) as running:
        alice = await people.signed_in_with(running, VIRTUAL_KEY, "alice")
        bob = await people.signed_in_with(running, people.SECOND_KEY, "bob")
        async with running.gateway.database.transaction() as connection:
            await connection.run(
                "UPDATE upstream_credentials SET sealed = (SELECT sealed FROM upstream_credentials "
                "WHERE owner_id = 'vk-test') WHERE owner_id = 'vk-two'"
            )
        assert people.text_of(await people.whoami(running, alice)) == "alice"
        answer: httpx2.Response = await people.whoami(running, bob)
        assert "alice" not in answer.text
        assert answer.json()["result"]["isError"] is True


async def test_a_token_endpoint_that_is_not_gone_to_any_more_costs_a_list_nothing_else(
    sqlite_url: str, tmp_path: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Contract §7: lists return the rest. It was good at the sign-in; what the operator opens to the outside changes."""

    def refuse(_client: OutboundClient, _url: str) -> None:
        raise OutsideUrlRefused("Only https URLs are fetched.")

    async with people.connected_gateway(sqlite_url, tmp_path, OAuthUpstream(), clock=clock) as running:
        alice = await people.signed_in_with(running, VIRTUAL_KEY, "alice")
        await people.whoami(running, alice)
        clock.advance(seconds=3_600)
        monkeypatch.setattr(OutboundClient, "check_url", refuse)
        listed = (await ask(running.http, "tools/list", headers=alice)).json()
        assert listed["result"]["_meta"]["bifrost/unavailable"] == ["guarded"]
        assert (await people.whoami(running, alice)).json()["error"]["data"]["code"] == "upstream_unavailable"
