"""The set-up link: the way to the first administrator's token (contract §9)."""

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest

from tests.support.clock import FakeClock
from tests.support.gateway import ISSUER, TestGateway, running_gateway

pytestmark = pytest.mark.anyio

PAGE = "/setup"
ORIGIN = {"Origin": ISSUER}
DAY_SECONDS = 86_400


@pytest.fixture
async def fresh(sqlite_url: str, tmp_path: Path, clock: FakeClock) -> AsyncIterator[TestGateway]:
    async with running_gateway(sqlite_url, tmp_path, clock=clock, admin_token="") as running:
        yield running


async def _link(running: TestGateway) -> str:
    link = await running.gateway.set_up.first_link()
    assert link
    return link


async def _pressed(client: httpx2.AsyncClient, link: str) -> httpx2.Response:
    return await client.post(PAGE, data={"link": link}, headers=ORIGIN)


def _token(page: httpx2.Response) -> str:
    (token,) = re.findall(r"bfad_[A-Za-z0-9_-]+", page.text)
    return str(token)


async def test_the_link_makes_a_token_shows_it_once_and_signs_the_browser_in(fresh: TestGateway) -> None:
    """Contract §9."""
    link = await _link(fresh)
    async with fresh.browser() as browser:
        asked = await browser.get(PAGE, params={"link": link})
        assert asked.status_code == 200
        assert "bfad_" not in asked.text
        made = await _pressed(browser, link)
        assert made.status_code == 200
        assert made.headers["cache-control"] == "no-store"
        bearer = {"Authorization": f"Bearer {_token(made)}"}
        assert (await fresh.http.post("/api/session/logout", headers=bearer)).status_code == 204
        assert (await browser.post("/api/session/logout", headers=ORIGIN)).status_code == 204


async def test_opening_the_link_consumes_nothing(fresh: TestGateway) -> None:
    """Link previews and mail scanners open links too."""
    link = await _link(fresh)
    for _ in range(3):
        assert (await fresh.http.get(PAGE, params={"link": link})).status_code == 200
    assert (await _pressed(fresh.http, link)).status_code == 200


async def test_the_link_works_once(fresh: TestGateway) -> None:
    """Contract §9: one-time; unknown, used and expired look the same."""
    link = await _link(fresh)
    async with fresh.browser() as browser:
        await _pressed(browser, link)
        for again in (await _pressed(browser, link), await browser.get(PAGE, params={"link": link})):
            assert again.status_code == 410
            assert "bfad_" not in again.text
            assert "This set-up link is over" in again.text
    assert len(await fresh.rows("admin_tokens")) == 1


async def test_of_parallel_presses_one_wins(fresh: TestGateway) -> None:
    """Ours: one guarded statement consumes it."""
    link = await _link(fresh)
    answers = await asyncio.gather(*(_pressed(fresh.http, link) for _ in range(8)))
    assert sorted(answer.status_code for answer in answers) == [200] + [410] * 7
    assert len(await fresh.rows("admin_tokens")) == 1


@pytest.mark.parametrize("link", ["", "bfsu_unknown", "x" * 4_000, "bfsu_\u2603"])
async def test_an_unknown_link_is_over(fresh: TestGateway, link: str) -> None:
    """Ours: never a 500."""
    await _link(fresh)
    assert (await fresh.http.get(PAGE, params={"link": link})).status_code == 410
    assert (await _pressed(fresh.http, link)).status_code == 410


async def test_the_link_is_valid_for_a_day(fresh: TestGateway, clock: FakeClock) -> None:
    """Ours: 24 hours; the next start prints another."""
    link = await _link(fresh)
    clock.advance(seconds=DAY_SECONDS - 1)
    assert (await fresh.http.get(PAGE, params={"link": link})).status_code == 200
    assert await fresh.gateway.set_up.first_link() is None
    clock.advance(seconds=1)
    assert (await _pressed(fresh.http, link)).status_code == 410
    assert await fresh.gateway.set_up.first_link()


@pytest.mark.parametrize("origin", [{}, {"Origin": "null"}, {"Origin": "https://evil.example"}])
async def test_only_our_own_page_presses_the_button(fresh: TestGateway, origin: dict[str, str]) -> None:
    """Contract §5: exact Origin."""
    link = await _link(fresh)
    assert (await fresh.http.post(PAGE, data={"link": link}, headers=origin)).status_code == 403
    assert (await fresh.http.get(PAGE, params={"link": link})).status_code == 200


async def test_there_is_no_link_once_there_is_an_administrator(fresh: TestGateway) -> None:
    """Contract §9: the first start only."""
    await fresh.gateway.admin_tokens.create("operations")
    assert await fresh.gateway.set_up.first_link() is None
    assert await fresh.rows("setup_links") == []


async def test_a_first_link_that_nobody_used_ends_with_the_first_token(fresh: TestGateway) -> None:
    """Ours: it stands in the log of the first start, and an administrator who came another way never opens it."""
    link = await _link(fresh)
    await fresh.gateway.admin_tokens.create("operations")
    assert await fresh.rows("setup_links") == []
    assert (await _pressed(fresh.http, link)).status_code == 410


async def test_a_first_link_that_nobody_used_ends_when_a_token_is_configured(
    database_url: str, tmp_path: Path, clock: FakeClock
) -> None:
    """Ours: with the next start."""
    async with running_gateway(database_url, tmp_path, clock=clock, admin_token="") as fresh:
        link = await _link(fresh)
    async with running_gateway(database_url, tmp_path, clock=clock) as running:
        assert await running.gateway.set_up.first_link() is None
        assert (await _pressed(running.http, link)).status_code == 410
        asked_for = await running.gateway.set_up.new_link()
        assert await running.gateway.set_up.first_link() is None
        assert (await _pressed(running.http, asked_for)).status_code == 200


async def test_a_link_that_was_asked_for_outlives_a_new_token(fresh: TestGateway) -> None:
    """Ours: `bifrost admin setup-link` is a decision of somebody who may already administrate."""
    link = await fresh.gateway.set_up.new_link()
    await fresh.gateway.admin_tokens.create("operations")
    assert (await _pressed(fresh.http, link)).status_code == 200


async def test_there_is_no_link_when_a_token_is_configured(running: TestGateway) -> None:
    """Contract §9, §11: BIFROST_ADMIN_TOKEN."""
    assert await running.gateway.set_up.first_link() is None
    assert await running.rows("setup_links") == []


async def test_a_new_link_replaces_the_last_one(fresh: TestGateway) -> None:
    """Ours: the way back when the token is lost works although there is one."""
    first = await _link(fresh)
    second = await fresh.gateway.set_up.new_link()
    assert (await _pressed(fresh.http, first)).status_code == 410
    assert (await _pressed(fresh.http, second)).status_code == 200
    third = await fresh.gateway.set_up.new_link()
    assert (await _pressed(fresh.http, third)).status_code == 200
    assert len(await fresh.rows("admin_tokens")) == 2


async def test_only_the_hash_of_the_link_is_stored(fresh: TestGateway) -> None:
    """Ours: hash what we issue."""
    link = await _link(fresh)
    assert link.startswith("bfsu_")
    assert link not in str(await fresh.rows("setup_links"))
