"""How long a client's metadata document is used, and what happens when its host is down."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bifrost.http.client import Fetched, OutboundClient, OutsideUnreachable
from tests.flows._documents import URL, ask, client_of, document, published, refused
from tests.support import oauth
from tests.support.clock import FakeClock
from tests.support.gateway import VIRTUAL_KEY, TestGateway, running_gateway
from tests.support.servers import until
from tests.support.web import Web

pytestmark = pytest.mark.anyio

DAY = 24 * 3_600


@pytest.fixture
def web() -> Iterator[Web]:
    with Web().instead_of_the_network() as standing:
        yield standing


@pytest.mark.parametrize(
    ("control", "seconds"),
    [
        ("max-age=600", 600),
        ("public, max-age=600, must-revalidate", 600),
        ("max-age=1", 60),
        ("max-age=315360000", DAY),
        ("", 3_600),
        ("private", 3_600),
    ],
)
async def test_a_document_is_used_as_long_as_its_headers_say_within_bounds(
    running: TestGateway, web: Web, clock: FakeClock, control: str, seconds: int
) -> None:
    """A77, TC-103: between a minute and a day; an hour when nothing is said."""
    client = published(web, running.http, headers={"Cache-Control": control})
    for elapsed, fetches in ((0, 1), (seconds - 1, 1), (2, 2)):
        clock.advance(seconds=elapsed)
        assert (await ask(running, client)).status_code == 302
        assert len(web.fetched) == fetches


@pytest.mark.parametrize("control", ["no-store", "no-cache", "max-age=0", "no-store, max-age=600"])
async def test_a_document_that_is_not_to_be_reused_is_fetched_each_time(
    running: TestGateway, web: Web, control: str
) -> None:
    """A77."""
    client = published(web, running.http, headers={"Cache-Control": control})
    for fetches in (1, 2):
        assert (await ask(running, client)).status_code == 302
        assert len(web.fetched) == fetches


@pytest.mark.parametrize("status", [201, 203, 204, 206, 301, 302, 304, 307, 308, 400, 401, 404, 410, 429, 500, 503])
async def test_only_a_200_counts_and_no_error_is_remembered(running: TestGateway, web: Web, status: int) -> None:
    """TC-099, A71: put right, it is taken at once."""
    client = client_of(running.http, document())
    web.publish(URL, document(), status=status, headers={"Location": "https://other.example/c.json"})
    await refused(running, client)
    web.publish(URL, document())
    assert (await ask(running, client)).status_code == 302
    assert web.fetched == [URL, URL], "no redirect was followed"


async def test_a_hundred_requests_for_a_new_document_are_one_fetch(
    running: TestGateway, web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    """TC-103, R33: one flight for each address."""
    client, answer = published(web, running.http), web.answer
    arrived = asyncio.Event()

    async def slowly(_client: object, url: str, *, max_bytes: int, **_: object) -> Fetched:
        await arrived.wait()
        return answer(url, max_bytes)

    monkeypatch.setattr("bifrost.http.client.OutboundClient.fetch", slowly)
    asking = [asyncio.ensure_future(ask(running, client)) for _ in range(100)]
    await asyncio.sleep(0)
    arrived.set()
    assert {answer.status_code for answer in await asyncio.gather(*asking)} == {302}
    assert web.fetched == [URL]


async def test_a_redirect_that_the_document_no_longer_lists_is_refused(running: TestGateway, web: Web) -> None:
    """A77, TC-019, TC-103: a change counts from the next fetch on, also between the request and the person's answer."""
    client = published(web, running.http, headers={"Cache-Control": "no-store"})
    async with running.browser() as browser:
        flow_id = await oauth.begin(browser, client)
        csrf = await oauth.csrf_of(browser, flow_id)
        await oauth.press(browser, "vk", flow_id, csrf=csrf, virtual_key=VIRTUAL_KEY)
        web.publish(URL, document(redirect_uris=["https://app.example.com/callback"]))
        answer = await oauth.press(browser, "submit", flow_id, csrf=csrf)
    assert answer.status_code == 400
    assert "location" not in answer.headers
    assert not await running.rows("authorization_codes")


async def test_a_host_that_is_down_logs_nobody_out(
    database_url: str, tmp_path: Path, web: Web, clock: FakeClock
) -> None:
    """Contract §3, R33: the last good copy goes on, also after a restart, and its host is asked again soon."""
    async with running_gateway(database_url, tmp_path, clock=clock) as running, running.browser() as browser:
        client = published(web, running.http)
        tokens = (
            await client.redeem((await oauth.approve(browser, await oauth.begin(browser, client)))["code"])
        ).json()
    web.down(URL)
    clock.advance(seconds=7 * DAY)
    async with running_gateway(database_url, tmp_path, clock=clock) as running:
        client.http = running.http
        answer = await client.refresh(tokens["refresh_token"])
        assert answer.status_code == 200, answer.text
        asked = len(web.fetched)
        assert (await ask(running, client)).status_code == 302
        assert len(web.fetched) == asked, "for half a minute it is not asked again"
        clock.advance(seconds=31)
        web.publish(URL, document(client_name="New name"))
        assert (await ask(running, client)).status_code == 302
        (row,) = await running.rows("oauth_clients")
        assert row["client_name"] == "New name"


@pytest.mark.parametrize("body", [b"<html>under maintenance</html>", b"{}"])
async def test_a_document_that_is_broken_for_a_while_logs_nobody_out(
    running: TestGateway, web: Web, clock: FakeClock, body: bytes
) -> None:
    """Ours: what cannot be read says nothing about the client; the copy that could be read goes on."""
    client = published(web, running.http)
    assert (await ask(running, client)).status_code == 302
    web.publish(URL, body)
    clock.advance(seconds=2 * DAY)
    assert (await ask(running, client)).status_code == 302


@pytest.mark.parametrize("status", [404, 410])
async def test_a_document_that_was_taken_away_ends_its_client(
    running: TestGateway, web: Web, clock: FakeClock, status: int
) -> None:
    """A77: a definite answer is obeyed."""
    client = published(web, running.http)
    async with running.browser() as browser:
        tokens = (
            await client.redeem((await oauth.approve(browser, await oauth.begin(browser, client)))["code"])
        ).json()
    web.publish(URL, b"", status=status)
    clock.advance(seconds=2 * DAY)
    answer = await client.refresh(tokens["refresh_token"])
    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")


async def test_an_old_copy_is_not_used_for_ever(running: TestGateway, web: Web, clock: FakeClock) -> None:
    """Ours: a month after it was last read, a document that nobody can read is none."""
    client = published(web, running.http)
    assert (await ask(running, client)).status_code == 302
    web.down(URL)
    clock.advance(seconds=30 * DAY - 1)
    assert (await ask(running, client)).status_code == 302
    clock.advance(seconds=31)
    assert (await ask(running, client)).status_code == 400


async def test_a_flood_of_invented_clients_leaves_the_known_ones_alone(
    running: TestGateway, web: Web, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A75, TC-095: documents that are slow to come take the places of strangers, and no client's that was allowed."""
    monkeypatch.setattr("bifrost.authserver.fetching.MAX_STRANGERS_AT_ONCE", 3)
    client = published(web, running.http)
    async with running.browser() as browser:
        await oauth.approve(browser, await oauth.begin(browser, client))
    widely_used = published(web, running.http, client_id="https://claude.ai/oauth/client.json")
    answering, answer = asyncio.Event(), OutboundClient.fetch

    async def slow(outside: OutboundClient, url: str, **given: Any) -> Fetched:
        if "slow" in url:
            web.fetched.append(url)
            await answering.wait()
            raise OutsideUnreachable("The server at this URL gave no usable answer.")
        return await answer(outside, url, **given)

    monkeypatch.setattr(OutboundClient, "fetch", slow)
    invented = [
        client_of(running.http, document(client_id=f"https://slow-{number}.example/c.json")) for number in range(4)
    ]
    waiting = [asyncio.create_task(ask(running, one)) for one in invented[:3]]
    await until(lambda: len([url for url in web.fetched if "slow" in url]) == 3)
    for one in (invented[3], published(web, running.http, client_id="https://new.example/c.json")):
        refusal = await ask(running, one)
        assert (refusal.status_code, refusal.json()["error"]["code"]) == (400, "invalid_client")
    clock.advance(seconds=2 * DAY)  # what is kept has to be read again
    assert (await ask(running, client)).status_code == 302
    assert web.fetched[-1] == client.client_id
    assert (await ask(running, widely_used)).status_code == 302
    answering.set()
    assert [(await one).status_code for one in waiting] == [400] * 3
    assert (await ask(running, published(web, running.http, client_id="https://new.example/c.json"))).status_code == 302
