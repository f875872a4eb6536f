"""Guessing keys at the consent form (contract §5): five failures, for each flow and for each address."""

from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest

from tests.flows._consent import IDENTITY_PAGE, SERVICES_PAGE, SignIn, sign_in
from tests.flows._html import page
from tests.support import oauth
from tests.support.clock import FakeClock
from tests.support.gateway import VIRTUAL_KEY, TestGateway, running_gateway

pytestmark = pytest.mark.anyio

PEER = "203.0.113.7"
"""Where the in-process requests come from; a trusted proxy here, so that a test can name the client's address."""

HOME, OFFICE = "198.51.100.1", "198.51.100.2"
LOCK_SECONDS = 300


@pytest.fixture
async def proxied(sqlite_url: str, tmp_path: Path, clock: FakeClock) -> AsyncIterator[TestGateway]:
    async with running_gateway(sqlite_url, tmp_path, clock=clock, server={"trusted_proxies": [PEER]}) as running:
        yield running


def _from(running: TestGateway, address: str) -> httpx2.AsyncClient:
    browser = running.browser()
    browser.headers["X-Forwarded-For"] = address
    return browser


async def _guess(flow: SignIn, key: str = "sk-bf-wrong") -> str:
    """The outcome in one word: key_refused, too_many_attempts, or chosen."""
    location = (await flow.press("vk", virtual_key=key)).headers["location"]
    if location.startswith(SERVICES_PAGE):
        return "chosen"
    return str(location.rpartition("error=")[2])


async def _lock(flow: SignIn) -> None:
    assert [await _guess(flow) for _ in range(6)] == ["key_refused"] * 5 + ["too_many_attempts"]


async def test_after_five_failures_not_even_the_right_key_is_taken(running: TestGateway) -> None:
    """Contract §5, TC-163."""
    async with sign_in(running) as flow:
        await _lock(flow)
        assert await _guess(flow, VIRTUAL_KEY) == "too_many_attempts"
        assert (await flow.row())["identity_kind"] is None


async def test_four_failures_lock_nothing(running: TestGateway) -> None:
    """Contract §5: people mistype."""
    async with sign_in(running) as flow:
        assert [await _guess(flow) for _ in range(4)] == ["key_refused"] * 4
        assert await _guess(flow, VIRTUAL_KEY) == "chosen"


async def test_right_keys_are_not_counted(running: TestGateway) -> None:
    """Contract §5: failures lock, use does not; many people share an address."""
    for _ in range(7):
        async with sign_in(running) as flow:
            assert await _guess(flow, VIRTUAL_KEY) == "chosen"


async def test_a_locked_page_takes_no_key_but_still_offers_the_other_ways(running: TestGateway) -> None:
    """Contract §5: the person is told, and can still deny."""
    async with sign_in(running) as flow:
        await _lock(flow)
        for query in ({}, {"error": "key_refused"}):
            shown = page(await flow.page(**query))
            assert "Too many wrong keys." in shown.text
            assert f"{oauth.CONSENT}/vk" not in shown.form_targets
            assert f"{oauth.CONSENT}/deny" in shown.form_targets
        assert oauth.response_of(await flow.press("deny"))["error"] == "access_denied"


async def test_the_lock_opens_after_its_time(running: TestGateway, clock: FakeClock) -> None:
    """Contract §5: for a while, five minutes, and then the right key is taken."""
    async with sign_in(running) as flow:
        await _lock(flow)
        clock.advance(seconds=LOCK_SECONDS - 1)
        assert await _guess(flow, VIRTUAL_KEY) == "too_many_attempts"
        clock.advance(seconds=1)
        assert f"{oauth.CONSENT}/vk" in page(await flow.page()).form_targets
        assert await _guess(flow, VIRTUAL_KEY) == "chosen"


async def test_after_the_lock_there_are_five_guesses_again_and_no_more(running: TestGateway, clock: FakeClock) -> None:
    """Contract §5."""
    async with sign_in(running) as flow:
        await _lock(flow)
        clock.advance(seconds=LOCK_SECONDS)
        await _lock(flow)


async def test_an_address_is_locked_in_every_flow(proxied: TestGateway) -> None:
    """Contract §5, TC-163: new flows cost nothing, so the address counts too; other addresses go on."""
    async with _from(proxied, HOME) as home, _from(proxied, OFFICE) as office:
        for _ in range(5):
            async with sign_in(proxied, browser=home) as flow:
                assert await _guess(flow) == "key_refused"
        async with sign_in(proxied, browser=home) as flow:
            assert await _guess(flow, VIRTUAL_KEY) == "too_many_attempts"
        async with sign_in(proxied, browser=office) as flow:
            assert await _guess(flow, VIRTUAL_KEY) == "chosen"


async def test_of_ipv6_the_network_of_a_subscriber_is_locked(proxied: TestGateway) -> None:
    """Contract §5: an address for each guess costs nothing there; for keys and for administrators' tokens."""
    for number in range(5):
        async with _from(proxied, f"2a00:1::{number}") as guesser, sign_in(proxied, browser=guesser) as flow:
            assert await _guess(flow) == "key_refused"
    statuses = []
    for number in range(12):
        async with _from(proxied, f"2a00:1::{number}") as guesser:
            wrong = {"Authorization": f"Bearer wrong-{number}"}
            statuses.append((await guesser.get("/api/oauth2/clients", headers=wrong)).status_code)
    assert statuses == [401] * 10 + [429] * 2
    async with _from(proxied, "2a00:1::5") as home, _from(proxied, "2a00:1:0:1::5") as office:
        async with sign_in(proxied, browser=home) as flow:
            assert await _guess(flow, VIRTUAL_KEY) == "too_many_attempts"
        async with sign_in(proxied, browser=office) as flow:
            assert await _guess(flow, VIRTUAL_KEY) == "chosen"


async def test_a_flow_is_locked_for_every_address(proxied: TestGateway) -> None:
    """TC-156, contract §5: changing the address does not give new guesses for the same flow."""
    async with _from(proxied, HOME) as browser, sign_in(proxied, browser=browser) as flow:
        for number in range(5):
            browser.headers["X-Forwarded-For"] = f"198.51.100.{number}"
            assert await _guess(flow) == "key_refused"
        browser.headers["X-Forwarded-For"] = "198.51.100.200"
        assert await _guess(flow, VIRTUAL_KEY) == "too_many_attempts"


async def test_an_address_that_the_client_claims_does_not_help_it(running: TestGateway) -> None:
    """Contract §1, TC-156: forwarded headers of a peer that is no configured proxy are not read."""
    for number in range(5):
        async with _from(running, f"198.51.100.{number}") as browser, sign_in(running, browser=browser) as flow:
            assert await _guess(flow) == "key_refused"
    async with _from(running, OFFICE) as browser, sign_in(running, browser=browser) as flow:
        assert await _guess(flow, VIRTUAL_KEY) == "too_many_attempts"


async def test_the_lock_says_nothing_about_keys(running: TestGateway) -> None:
    """TC-163: a right and a wrong key get the same answer while the form is locked."""
    async with sign_in(running) as flow:
        await _lock(flow)
        locations = {
            (await flow.press("vk", virtual_key=key)).headers["location"] for key in (VIRTUAL_KEY, "sk-bf-wrong")
        }
        assert locations == {f"{IDENTITY_PAGE}?flow_id={flow.flow_id}&error=too_many_attempts"}
