"""A person connecting an account at an upstream, step by step."""

import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx2

from tests.support import oauth
from tests.support.clock import FakeClock
from tests.support.gateway import VIRTUAL_KEY, TestGateway, running_gateway, upstream
from tests.support.oauth_upstream import OAuthUpstream
from tests.support.servers import NO_AUTHORITIES, serving

SECOND_KEY = "sk-bf-second-0123456789abcdefghijklmnopqrstuvw"
KEYS = {
    "virtual_keys": [
        {"id": "vk-test", "name": "test", "value": VIRTUAL_KEY},
        {"id": "vk-two", "name": "two", "value": SECOND_KEY},
    ]
}


@asynccontextmanager
async def connected_gateway(
    database_url: str,
    tmp_path: Path,
    guarded: OAuthUpstream,
    *,
    clock: FakeClock | None = None,
    keys: Sequence[dict[str, Any]] = KEYS["virtual_keys"],
    others: Sequence[dict[str, Any]] = (),
    **more: Any,
) -> AsyncIterator[TestGateway]:
    """A gateway with two keys and one upstream, `guarded`, that asks everybody for an own account.

    `others` are more upstreams, `more` are members of its configuration.
    """
    with serving(guarded.app()) as origin:
        guarded.origin = origin
        entry = upstream("guarded", guarded.url, auth_type="per_user_oauth", **more)
        async with running_gateway(
            database_url,
            tmp_path,
            clock=clock,
            mcp={"client_configs": [entry, *others]},
            governance={"virtual_keys": list(keys)},
        ) as running:
            yield running


async def identify(browser: httpx2.AsyncClient, client: oauth.OAuthClient, key: str = VIRTUAL_KEY) -> tuple[str, str]:
    """Begin a consent and choose a key: flow id and CSRF token."""
    flow_id = await oauth.begin(browser, client)
    csrf = await oauth.csrf_of(browser, flow_id)
    await oauth.press(browser, "vk", flow_id, virtual_key=key, csrf=csrf)
    return flow_id, csrf


async def connect_link(browser: httpx2.AsyncClient, flow_id: str) -> str:
    page = await browser.get("/oauth/consent/mcps", params={"flow_id": flow_id})
    found = re.search(r'href="(/api/oauth/per-user/upstream/authorize[^"]+)"', page.text)
    assert found, page.text
    return unescape(found[1])


async def at_the_service(url: str, account: str) -> str:
    """Sign in there as this account: the path and query with which the browser comes back."""
    async with httpx2.AsyncClient(trust_env=False, verify=NO_AUTHORITIES) as outside:
        answer = await outside.get(f"{url}&account={account}")
    back = urlsplit(answer.headers["location"])
    return f"{back.path}?{back.query}"


async def connect(browser: httpx2.AsyncClient, flow_id: str, account: str) -> httpx2.Response:
    """The Connect button, the service's pages, and the way back; the answer of our callback."""
    started = await browser.get(await connect_link(browser, flow_id))
    assert started.status_code == 302, started.text
    return await browser.get(await at_the_service(started.headers["location"], account))


async def signed_in_with(running: TestGateway, key: str, account: str) -> dict[str, str]:
    """A person with this key who connected this account; the headers of their client."""
    async with running.browser() as browser:
        client = await oauth.register(running.http)
        flow_id, csrf = await identify(browser, client, key)
        await connect(browser, flow_id, account)
        code = oauth.response_of(await oauth.press(browser, "submit", flow_id, csrf=csrf))["code"]
    tokens = (await client.redeem(code)).json()
    return {"Authorization": f"Bearer {tokens['access_token']}"}


async def whoami(running: TestGateway, headers: dict[str, str], **params: Any) -> httpx2.Response:
    params = {"name": "guarded-whoami", "arguments": {}, **params}
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
    return await running.http.post("/mcp", json=body, headers=headers)


def text_of(answer: httpx2.Response) -> str:
    return str(answer.json()["result"]["content"][0]["text"])
