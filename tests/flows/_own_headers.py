"""A person giving header values of their own, on the page of a consent or of a link."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from html import unescape
from pathlib import Path
from typing import Any

import httpx2

from tests.flows import _connecting as people
from tests.support import oauth
from tests.support.clock import FakeClock
from tests.support.gateway import ISSUER, TestGateway, running_gateway, upstream
from tests.support.headers_upstream import HeadersUpstream
from tests.support.servers import serving

ALICE, BOB = ("key-of-alice", "north"), ("key-of-bob", "south")
HEADERS = "/api/oauth/per-user/connect/headers"


def guarded_by_headers() -> HeadersUpstream:
    return HeadersUpstream(accounts={ALICE: "alice", BOB: "bob"})


def entry(guarded: HeadersUpstream, **more: Any) -> dict[str, Any]:
    usual = {"auth_type": "per_user_headers", "per_user_header_keys": list(guarded.names)}
    return upstream("guarded", guarded.url) | usual | more


@asynccontextmanager
async def gateway(
    database_url: str, tmp_path: Path, guarded: HeadersUpstream, *, clock: FakeClock | None = None, **more: Any
) -> AsyncIterator[TestGateway]:
    """A gateway with two keys and one upstream, `guarded`, that asks everybody for header values."""
    with serving(guarded.app()) as origin:
        guarded.origin = origin
        configs = {"client_configs": [entry(guarded, **more)]}
        async with running_gateway(database_url, tmp_path, clock=clock, mcp=configs, governance=people.KEYS) as running:
            yield running


async def form_of(browser: httpx2.AsyncClient, flow_id: str) -> httpx2.Response:
    page = await browser.get(await people.connect_link(browser, flow_id))
    assert page.status_code == 200, page.text
    return page


async def press(
    browser: httpx2.AsyncClient, page: httpx2.Response, action: str, origin: str = ISSUER, **fields: str
) -> httpx2.Response:
    """Send the form of this page that goes to `action`, as a browser would."""
    found = re.search(rf'<form method="post" action="{action}">(.*?)</form>', page.text, re.DOTALL)
    assert found, page.text
    hidden = dict(re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)"', found[1]))
    data = {name: unescape(value) for name, value in hidden.items()} | fields
    return await browser.post(action, data=data, headers={"Origin": origin})


def values(given: tuple[str, str], names: tuple[str, ...] = ("X-Api-Key", "X-Tenant")) -> dict[str, str]:
    return {f"header.{name}": value for name, value in zip(names, given, strict=True)}


async def give(browser: httpx2.AsyncClient, flow_id: str, given: tuple[str, str]) -> httpx2.Response:
    return await press(browser, await form_of(browser, flow_id), HEADERS, **values(given))


async def signed_in_with(running: TestGateway, key: str, given: tuple[str, str]) -> dict[str, str]:
    """A person with this key who gave these values; the headers of their client."""
    async with running.browser() as browser:
        client = await oauth.register(running.http)
        flow_id, csrf = await people.identify(browser, client, key)
        answer = await give(browser, flow_id, given)
        assert "notice=connected" in answer.headers["location"]
        code = oauth.response_of(await oauth.press(browser, "submit", flow_id, csrf=csrf))["code"]
    return {"Authorization": f"Bearer {(await client.redeem(code)).json()['access_token']}"}
