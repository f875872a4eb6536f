"""Limits on registrations, authorization requests and wrong client secrets, in the form of the address."""

import asyncio
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.flows._authorization import assert_error_body, assert_error_page
from tests.flows._connecting import identify
from tests.flows._raw import PERSON, ask, everything, query
from tests.flows._tokens import error_of
from tests.support import oauth
from tests.support.clock import FakeClock
from tests.support.gateway import TestGateway, running_gateway
from tests.support.oauth import REGISTER

pytestmark = pytest.mark.anyio

BODY = {"client_name": "Loop", "redirect_uris": ["http://127.0.0.1/cb"]}
CLAUDE = {"client_name": "Claude", "redirect_uris": ["https://claude.ai/api/mcp/auth_callback"]}


async def register(running: TestGateway, times: int, **changes: Any) -> list[httpx2.Response]:
    return [await running.http.post(REGISTER, json={**BODY, **changes}) for _ in range(times)]


async def test_a_storm_of_registrations_is_stopped_and_leaves_nothing(
    database_url: str, tmp_path: Path, clock: FakeClock
) -> None:
    """TC-085, A84, contract §3: a thousand in ten seconds; 429 with Retry-After, and one counter is all that is kept."""
    async with running_gateway(database_url, tmp_path, clock=clock) as running:
        answers = [(await register(running, 1))[0] for _ in range(1_000)]
        assert [answer.status_code for answer in answers] == [201] * 600 + [429] * 400
        refused = answers[-1]
        assert error_of(refused, 429) == "temporarily_unavailable"
        assert 0 < int(refused.headers["retry-after"]) <= 60
        assert not await running.rows("oauth_clients")
        assert len(await running.rows("request_counters")) == 1
        assert (await running.http.get("/.well-known/oauth-authorization-server")).status_code == 200
        assert {answer.status_code for answer in await register(running, 5, client_name="Other")} == {201}
        clock.advance(seconds=60)
        assert {answer.status_code for answer in await register(running, 5)} == {201}


async def test_a_hosted_client_whose_users_share_addresses_is_not_locked_out(running: TestGateway) -> None:
    """R16, R17: two hundred registrations in a minute are all taken, give one id, and write nothing."""
    before = await everything(running)
    answers = await register(running, 200, **CLAUDE)
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.json()["client_id"] for answer in answers}) == 1
    assert await everything(running) == before


async def test_forged_addresses_do_not_help(sqlite_url: str, tmp_path: Path) -> None:
    """TC-086: the limit is not about addresses."""
    async with running_gateway(sqlite_url, tmp_path, client={"registrations_per_minute": 8}) as running:
        statuses = [
            (
                await running.http.post(
                    REGISTER, json=BODY, headers={"X-Forwarded-For": f"192.0.2.{number}", "Forwarded": "for=x"}
                )
            ).status_code
            for number in range(16)
        ]
    assert statuses == [201] * 8 + [429] * 8


async def test_a_refused_registration_counts_for_nobody(sqlite_url: str, tmp_path: Path) -> None:
    """Ours: what is counted is what would be answered."""
    async with running_gateway(sqlite_url, tmp_path, client={"registrations_per_minute": 4}) as running:
        assert {answer.status_code for answer in await register(running, 20, redirect_uris=["x:"])} == {400}
        assert {answer.status_code for answer in await register(running, 4)} == {201}


async def test_a_flood_of_authorization_requests_is_stopped(
    database_url: str, tmp_path: Path, clock: FakeClock
) -> None:
    """TC-174, contract §3: 429 in the form of whoever asks, and no further row."""
    limits = {"authorizations_per_minute": 8}
    async with running_gateway(database_url, tmp_path, clock=clock, client=limits) as running:
        client = await oauth.register(running.http)
        other = await oauth.register(running.http, client_name="Other")
        statuses = [(await running.http.get(oauth.AUTHORIZE, params=client.request())).status_code for _ in range(20)]
        assert statuses == [302] * 8 + [429] * 12
        assert len(await running.rows("pending_flows")) == 8
        program = await running.http.get(oauth.AUTHORIZE, params=client.request())
        assert_error_body(program, status=429, code="rate_limited", param="")
        person = await ask(running, oauth.AUTHORIZE, query(client.request()), headers=[PERSON])
        assert_error_page(person, status=429)
        for answer in (program, person):
            assert 0 < int(answer.headers["retry-after"]) <= 60
            assert "location" not in answer.headers
        async with running.browser() as browser:
            await oauth.begin(browser, other)
        clock.advance(seconds=60)
        async with running.browser() as browser:
            await oauth.approve(browser, await oauth.begin(browser, client))


async def test_only_so_many_sign_ins_of_one_client_wait(
    database_url: str, tmp_path: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """TC-174: however slowly they come; a finished one makes room, and so does one that nobody wanted in time."""
    monkeypatch.setattr("bifrost.storage.authserver.MAX_WAITING_FLOWS", 3)
    async with running_gateway(database_url, tmp_path, clock=clock) as running, running.browser() as browser:
        client = await oauth.register(running.http)
        flows = []
        for _ in range(4):
            flows.append(await oauth.begin(browser, client))
            clock.advance(seconds=1)
        assert await _waiting(running) == set(flows[1:])
        await oauth.approve(browser, flows[1])
        assert await oauth.begin(browser, client)
        assert await _waiting(running) >= set(flows[2:])
        clock.advance(seconds=15 * 60)
        newest = await oauth.begin(browser, client)
        assert newest in await _waiting(running)


async def test_a_stranger_who_begins_sign_ins_keeps_nobody_out(
    database_url: str, tmp_path: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """TC-174, contract §3: whoever knows a public client_id can begin as many as they like; the people go on."""
    monkeypatch.setattr("bifrost.storage.authserver.MAX_WAITING_FLOWS", 3)
    async with running_gateway(database_url, tmp_path, clock=clock) as running, running.browser() as browser:
        client = await oauth.register(running.http)
        flow_id, csrf = await identify(browser, client)
        for _ in range(10):
            clock.advance(seconds=1)
            assert (await running.http.get(oauth.AUTHORIZE, params=client.request())).status_code == 302
        assert len(await _waiting(running)) == 3
        assert "code" in oauth.response_of(await oauth.press(browser, "submit", flow_id, csrf=csrf))
        assert "code" in await oauth.approve(browser, await oauth.begin(browser, client))


async def _waiting(running: TestGateway) -> set[str]:
    return {row["id"] for row in await running.rows("pending_flows") if row["finished_at"] is None}


async def test_two_processes_share_a_limit(database_url: str, tmp_path: Path, clock: FakeClock) -> None:
    """Contract §3: passed by a quarter for each process at most, also when all is asked for at once."""
    limits = {"registrations_per_minute": 40}
    one = running_gateway(database_url, tmp_path, clock=clock, client=limits)
    other = running_gateway(database_url, tmp_path, clock=clock, client=limits)
    async with one as first, other as second:
        asked = [process.http.post(REGISTER, json=BODY) for _ in range(40) for process in (first, second)]
        taken = [answer.status_code for answer in await asyncio.gather(*asked)].count(201)
    assert 40 <= taken <= 60


async def test_wrong_client_secrets_are_not_judged_for_ever(running: TestGateway, clock: FakeClock) -> None:
    """A54, contract §3: 429 for this client from this address, also for the right secret; nobody else waits."""
    client = await oauth.register(running.http, token_endpoint_auth_method="client_secret_post")
    other = await oauth.register(running.http, token_endpoint_auth_method="client_secret_post")
    statuses = [(await client.redeem("bfac_x", client_secret=f"wrong {n}")).status_code for n in range(40)]
    assert statuses == [401] * 30 + [429] * 10
    right = await client.redeem("bfac_x", client_secret=client.registration["client_secret"])
    assert error_of(right, 429) == "temporarily_unavailable"
    assert int(right.headers["retry-after"]) > 0
    assert error_of(await other.redeem("bfac_x", client_secret=other.registration["client_secret"])) == "invalid_grant"
    elsewhere = httpx2.ASGITransport(app=running.gateway.app, client=("203.0.113.8", 1))
    async with httpx2.AsyncClient(transport=elsewhere, base_url="http://localhost:8080") as http:
        client.http = http
        answer = await client.redeem("bfac_x", client_secret=client.registration["client_secret"])
    assert error_of(answer) == "invalid_grant"


async def test_public_clients_are_not_limited_by_each_others_mistakes(running: TestGateway) -> None:
    """R10: many people share one client id; a dead code or token of one is no matter for another."""
    client = await oauth.register(running.http)
    assert {(await client.redeem(f"bfac_{n}")).status_code for n in range(60)} == {400}
