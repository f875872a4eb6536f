"""Limits hold over all processes on one database: guesses exactly, floods but for each process's own quarter."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import AsyncExitStack
from pathlib import Path

import httpx2
import pytest

from tests.flows._tokens import basic, error_of
from tests.support import oauth
from tests.support.clock import FakeClock
from tests.support.gateway import ADMIN_TOKEN, VIRTUAL_KEY, TestGateway, running_gateway
from tests.support.oauth import REGISTER, OAuthClient

pytestmark = pytest.mark.anyio

PAR, INTROSPECT = "/api/oauth/per-user/par", "/api/oauth/per-user/introspect"
LOCK_SECONDS = 300
LIMIT, PASSED = 40, 60
"""What may be asked for in a minute, and by how much two processes may pass it: a quarter each."""
FAILURES, FAILURES_PASSED = 30, 44
SECRET = "a-resource-servers-secret-0123456789"
CLIENT = {
    "registrations_per_minute": LIMIT,
    "authorizations_per_minute": LIMIT,
    "resource_servers": [{"id": "audit", "secret": SECRET}],
}


@pytest.fixture
async def processes(database_url: str, tmp_path: Path, clock: FakeClock) -> AsyncIterator[list[TestGateway]]:
    async with AsyncExitStack() as stack:
        yield [
            await stack.enter_async_context(running_gateway(database_url, tmp_path, clock=clock, client=CLIENT))
            for _ in range(2)
        ]


async def _at_once(
    processes: list[TestGateway], ask: Callable[[httpx2.AsyncClient], Awaitable[httpx2.Response]], times: int = 80
) -> list[httpx2.Response]:
    """The same request to both in turn, all at once."""
    return await asyncio.gather(*(ask(processes[number % 2].http) for number in range(times)))


def _counted(answers: Iterable[httpx2.Response], status: int) -> int:
    """How many got this status; all others are told when to come again."""
    told = list(answers)
    for answer in told:
        if answer.status_code != status:
            assert answer.status_code == 429, answer.text
            assert 0 < int(answer.headers["retry-after"]) <= LOCK_SECONDS
    return sum(answer.status_code == status for answer in told)


async def test_registrations_are_counted_together(processes: list[TestGateway]) -> None:
    """Contract §3: by name and place; nobody else waits."""
    body = {"client_name": "Loop", "redirect_uris": ["http://127.0.0.1/cb"]}
    assert LIMIT <= _counted(await _at_once(processes, lambda http: http.post(REGISTER, json=body)), 201) <= PASSED
    for process in processes:
        assert (await process.http.post(REGISTER, json=body)).status_code == 429
        other = await process.http.post(REGISTER, json={**body, "client_name": "Other"})
        assert other.status_code == 201


async def test_authorization_requests_are_counted_together(processes: list[TestGateway]) -> None:
    """Contract §3, TC-174: a row for each that was taken and none for the others."""
    client, other = [await oauth.register(processes[0].http, client_name=name) for name in ("Loop", "Other")]
    answers = await _at_once(processes, lambda http: http.get(oauth.AUTHORIZE, params=client.request()))
    taken = _counted(answers, 302)
    assert LIMIT <= taken <= PASSED
    assert len(await processes[0].rows("pending_flows")) == taken
    for process in processes:
        assert (await process.http.get(oauth.AUTHORIZE, params=client.request())).status_code == 429
        assert (await process.http.get(oauth.AUTHORIZE, params=other.request())).status_code == 302


async def test_pushed_requests_are_counted_together_and_by_themselves(processes: list[TestGateway]) -> None:
    """RFC 9126 §7.1, contract §3: anybody may push, and each is a row; a sign-in with one is not counted twice."""
    client = await oauth.register(processes[0].http)
    answers = await _at_once(processes, lambda http: http.post(PAR, data=client.request()))
    taken = _counted(answers, 201)
    assert LIMIT <= taken <= PASSED
    assert error_of(next(answer for answer in answers if answer.status_code == 429), 429) == "temporarily_unavailable"
    assert len(await processes[0].rows("pushed_requests")) == taken
    assert (await processes[1].http.get(oauth.AUTHORIZE, params=client.request())).status_code == 302


async def test_only_so_many_sign_ins_of_one_client_wait_over_all(
    processes: list[TestGateway], monkeypatch: pytest.MonkeyPatch
) -> None:
    """TC-174, contract §3: however the requests are spread."""
    monkeypatch.setattr("bifrost.storage.authserver.MAX_WAITING_FLOWS", 5)
    client, other = [await oauth.register(processes[0].http, client_name=name) for name in ("Loop", "Other")]
    answers = [await processes[number % 2].http.get(oauth.AUTHORIZE, params=client.request()) for number in range(12)]
    assert _counted(answers, 302) == 12
    assert len(await processes[0].rows("pending_flows")) == 5
    assert (await processes[1].http.get(oauth.AUTHORIZE, params=other.request())).status_code == 302


async def test_wrong_client_secrets_are_counted_together(processes: list[TestGateway]) -> None:
    """A54, contract §3: for this client from this address; a client without a secret has nothing to guess."""
    client = await oauth.register(processes[0].http, token_endpoint_auth_method="client_secret_post")
    public = await oauth.register(processes[0].http, client_name="Public")

    def redeem(http: httpx2.AsyncClient, **more: str) -> Awaitable[httpx2.Response]:
        return OAuthClient(http, client.registration).redeem("bfac_x", **more)

    answers = await _at_once(processes, lambda http: redeem(http, client_secret="wrong"))
    assert FAILURES <= _counted(answers, 401) <= FAILURES_PASSED
    for process in processes:
        right = await redeem(process.http, client_secret=client.registration["client_secret"])
        assert error_of(right, 429) == "temporarily_unavailable"
        assert error_of(await OAuthClient(process.http, public.registration).redeem("bfac_x")) == "invalid_grant"


async def test_nobody_locks_a_public_client_out_for_those_behind_the_same_address(
    processes: list[TestGateway],
) -> None:
    """Contract §3: everybody in an office has one address, and all who use a program have one client_id."""
    client = await oauth.register(processes[0].http)
    wrong = {"Authorization": basic(client.client_id, "guessed")}
    form = {"grant_type": "authorization_code", "code": "bfac_x"}
    answers = await _at_once(processes, lambda http: http.post(oauth.TOKEN, data=form, headers=wrong))
    assert _counted(answers, 401) >= FAILURES
    for process in processes:
        assert error_of(await OAuthClient(process.http, client.registration).redeem("bfac_x")) == "invalid_grant"


async def test_wrong_credentials_of_a_resource_server_are_counted_together(processes: list[TestGateway]) -> None:
    """RFC 7662 §4, A54: for this name from this address, also for the right secret; an administrator may ask."""

    def ask(http: httpx2.AsyncClient, credentials: str) -> Awaitable[httpx2.Response]:
        return http.post(INTROSPECT, data={"token": "x"}, headers={"Authorization": credentials})

    answers = await _at_once(processes, lambda http: ask(http, basic("audit", "wrong")))
    assert FAILURES <= _counted(answers, 401) <= FAILURES_PASSED
    for process in processes:
        assert error_of(await ask(process.http, basic("audit", SECRET)), 429) == "temporarily_unavailable"
        assert (await ask(process.http, f"Bearer {ADMIN_TOKEN}")).json() == {"active": False}


async def test_wrong_administrators_tokens_are_counted_together(processes: list[TestGateway]) -> None:
    """A54: exactly ten verdicts from one address."""

    def guess(http: httpx2.AsyncClient) -> Awaitable[httpx2.Response]:
        return http.post("/api/session/logout", headers={"Authorization": "Bearer wrong"})

    assert _counted(await _at_once(processes, guess, 40), 401) == 10


async def test_wrong_virtual_keys_are_counted_together(processes: list[TestGateway], clock: FakeClock) -> None:
    """Contract §5: five for a flow and an address, wherever they are typed in."""
    first, second = processes
    client = await oauth.register(first.http)
    async with first.browser() as browser, second.browser() as elsewhere:
        flow_id = await oauth.begin(browser, client)
        csrf = await oauth.csrf_of(browser, flow_id)
        elsewhere.cookies.update(browser.cookies)
        wrong = "sk-bf-wrong-0123456789abcdefghijklmnopq"
        pressed = [
            await oauth.press((browser, elsewhere)[number % 2], "vk", flow_id, csrf=csrf, virtual_key=wrong)
            for number in range(8)
        ]
        told = [answer.headers["location"].partition("error=")[2] for answer in pressed]
        assert told == ["key_refused"] * 5 + ["too_many_attempts"] * 3
        for one in (browser, elsewhere):
            right = await oauth.press(one, "vk", flow_id, csrf=csrf, virtual_key=VIRTUAL_KEY)
            assert right.headers["location"].endswith("error=too_many_attempts")
        clock.advance(seconds=LOCK_SECONDS + 1)
        right = await oauth.press(elsewhere, "vk", flow_id, csrf=csrf, virtual_key=VIRTUAL_KEY)
        assert right.headers["location"].startswith("/oauth/consent/mcps")
