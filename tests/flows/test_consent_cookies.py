"""Consent pages and actions belong to one browser (contract §5): the cookie decides, before anything is shown."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from tests.flows._consent import ACTIONS, COOKIE, HTML, PAGES, shows_nothing_of, sign_in, state
from tests.support import oauth
from tests.support.gateway import VIRTUAL_KEY, TestGateway, running_gateway

pytestmark = pytest.mark.anyio

Forge = Callable[[str, str], str | None]
BAD_COOKIES: dict[str, Forge] = {
    "no cookie": lambda _own, _other: None,
    "an empty one": lambda _own, _other: f"{COOKIE}=",
    "another browser's": lambda _own, other: f"{COOKIE}={other}",
    "one character off": lambda own, _other: f"{COOKIE}={'A' if own[0] != 'A' else 'B'}{own[1:]}",
    "one character off in its MAC": lambda own, _other: f"{COOKIE}={own[:-1]}{'A' if own[-1] != 'A' else 'B'}",
    "truncated": lambda own, _other: f"{COOKIE}={own[:-1]}",
    "without its MAC": lambda own, _other: f"{COOKIE}={own.partition('.')[0]}",
    "two halves of two": lambda own, other: f"{COOKIE}={own.partition('.')[0]}.{other.partition('.')[2]}",
    "chosen by the sender": lambda _own, _other: f"{COOKIE}=attacker.attacker",
    "5 kB long": lambda own, _other: f"{COOKIE}={own}{'x' * 5_000}",
    "quoted": lambda own, _other: f'{COOKIE}="{own}"',
    "percent-encoded": lambda own, _other: f"{COOKIE}={own.replace('.', '%2E')}",
    "in another case": lambda own, _other: f"{COOKIE}={own.swapcase()}",
    "under another name": lambda own, _other: f"{COOKIE.upper()}={own}",
    "under the name for https": lambda own, _other: f"__Host-{COOKIE}={own}",
    "two forged ones": lambda own, _other: f"{COOKIE}=x.y; {COOKIE}={own[:-1]}",
    "a forged one and another browser's": lambda _own, other: f"{COOKIE}=x.y; {COOKIE}={other}",
}


@pytest.mark.parametrize("forge", BAD_COOKIES.values(), ids=BAD_COOKIES)
async def test_without_the_cookie_of_its_browser_a_flow_shows_and_does_nothing(
    running: TestGateway, forge: Forge
) -> None:
    """Contract §5, TC-051, TC-052: 403 everywhere, nothing of the flow is shown, nothing changes."""
    async with sign_in(running) as flow, sign_in(running) as other:
        assert (await flow.press("vk", virtual_key=VIRTUAL_KEY)).status_code == 303
        cookie = forge(flow.secret, other.secret)
        before = await state(running)
        for page in PAGES:
            answer = await flow.get(page, cookie)
            assert answer.status_code == 403, page
            assert shows_nothing_of(answer, flow), page
        for action in ACTIONS:
            answer = await flow.post(action, cookie)
            assert answer.status_code == 403, action
            assert shows_nothing_of(answer, flow), action
            assert "location" not in answer.headers, action
        assert await state(running) == before
        assert "code" in oauth.response_of(await flow.press("submit"))


async def test_all_refusals_for_the_wrong_browser_are_one_page(running: TestGateway) -> None:
    """Contract §5: the page tells nothing about the flow, so it reads the same for every flow and cookie."""
    async with sign_in(running) as flow, sign_in(running, metadata={"client_name": "Other"}) as other:
        texts = {
            (await one.get(page, cookie)).text.partition("Reference")[0]
            for one in (flow, other)
            for page in PAGES
            for cookie in (None, f"{COOKIE}=x.y")
        }
        assert len(texts) == 1


@pytest.mark.parametrize("planted", ["x.y", "attacker", ""])
@pytest.mark.parametrize("first", [True, False])
async def test_a_planted_second_cookie_does_not_hide_the_genuine_one(
    running: TestGateway, planted: str, *, first: bool
) -> None:
    """TC-052: of two cookies with one name a single one must match; the other is not adopted, in either order."""
    async with sign_in(running) as flow:
        pair = [f"{COOKIE}={planted}", flow.cookie]
        cookie = "; ".join(pair if first else reversed(pair))
        assert (await flow.get(PAGES[0], cookie)).status_code == 200
        assert (await flow.post("vk", cookie)).headers["location"].startswith(PAGES[1])


async def test_another_genuine_cookie_beside_its_own_does_not_mix_up_two_flows(running: TestGateway) -> None:
    """TC-052: with the secrets of two browsers each flow still answers to its own CSRF token only."""
    async with sign_in(running) as flow, sign_in(running) as other:
        both = f"{other.cookie}; {flow.cookie}"
        assert (await flow.post("vk", both)).status_code == 303
        assert (await flow.post("vk", both, csrf=other.csrf)).status_code == 403


async def test_only_a_hash_of_the_secret_is_stored(running: TestGateway) -> None:
    """Contract §4, TC-071."""
    async with sign_in(running) as flow:
        stored = await flow.row()
        assert len(stored["browser_hash"]) == 64
        for piece in (flow.secret, *flow.secret.split("."), flow.csrf):
            assert piece not in repr(stored)


async def test_a_flow_without_a_stored_hash_belongs_to_nobody(running: TestGateway, sqlite_url: str) -> None:
    """TC-071: an emptied column must not open the flow to every browser."""
    async with sign_in(running) as flow:
        with closing(sqlite3.connect(sqlite_url.removeprefix("sqlite:///"))) as another, another:
            another.execute("UPDATE pending_flows SET browser_hash = ''")
        assert (await flow.row())["browser_hash"] == ""
        for cookie in (None, flow.cookie, f"{COOKIE}="):
            assert (await flow.get(PAGES[0], cookie)).status_code == 403
            assert (await flow.post("skip", cookie)).status_code == 403


async def test_a_hash_from_the_database_is_no_cookie(running: TestGateway) -> None:
    """TC-179: what is stored cannot be used as a credential."""
    async with sign_in(running) as flow:
        stolen = (await flow.row())["browser_hash"]
        assert (await flow.get(PAGES[0], f"{COOKIE}={stolen}")).status_code == 403


async def test_under_https_only_the_host_prefixed_cookie_counts(sqlite_url: str, tmp_path: Path) -> None:
    """Contract §4, D5: `__Host-` under https; the bare name, which a sibling host could set, opens nothing."""
    host = {"Host": "gw.example", **HTML}
    async with running_gateway(sqlite_url, tmp_path, server={"public_urls": ["https://gw.example"]}) as running:
        registered = await running.http.post(
            oauth.REGISTER, json={"redirect_uris": [oauth.REDIRECT_URI]}, headers={"Host": "gw.example"}
        )
        client = oauth.OAuthClient(running.http, registered.json())
        begun = await running.http.get(
            oauth.AUTHORIZE, params=client.request(resource="https://gw.example/mcp"), headers=host
        )
        name, _, value = begun.headers["set-cookie"].partition(";")[0].partition("=")
        assert name == f"__Host-{COOKIE}"
        assert "; Secure" in begun.headers["set-cookie"]
        running.http.cookies.clear()
        query = {"flow_id": oauth.flow_id_of(begun)}
        for cookie, status in ((f"{name}={value}", 200), (f"{COOKIE}={value}", 403)):
            page = await running.http.get(PAGES[0], params=query, headers={**host, "Cookie": cookie})
            assert page.status_code == status, cookie
