"""An administrator at the management API, and the administrator's browser on the way through an upstream's sign-in."""

import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx2

from tests.flows._connecting import at_the_service
from tests.support.clock import FakeClock
from tests.support.gateway import ADMIN_TOKEN, ISSUER, VIRTUAL_KEY, TestGateway, running_gateway
from tests.support.oauth_upstream import OAuthUpstream
from tests.support.servers import serving

ADMIN = {"Authorization": f"Bearer {ADMIN_TOKEN}"}
KEY = {"x-bf-vk": VIRTUAL_KEY}
OPEN_TO_ALL = {"tools_to_execute": ["*"], "allow_on_all_virtual_keys": True}


@contextmanager
def guarded(upstream: OAuthUpstream | None = None) -> Iterator[OAuthUpstream]:
    upstream = upstream or OAuthUpstream()
    with serving(upstream.app()) as origin:
        upstream.origin = origin
        yield upstream


@asynccontextmanager
async def gateway(
    database_url: str, tmp_path: Path, upstream: OAuthUpstream, *, clock: FakeClock | None = None, **sections: Any
) -> AsyncIterator[TestGateway]:
    """A gateway without upstreams of its own, beside a guarded one that can be added."""
    with guarded(upstream):
        async with running_gateway(database_url, tmp_path, clock=clock, **sections) as running:
            yield running


async def api(running: TestGateway, method: str, path: str, body: Any = None, **params: Any) -> httpx2.Response:
    content = {} if body is None else {"json": body}
    return await running.http.request(method, path, headers=ADMIN, params=params or None, **content)


async def add(running: TestGateway, name: str, url: str, **members: Any) -> dict[str, Any]:
    body = {"name": name, "connection_string": url, **OPEN_TO_ALL, **members}
    answer = await api(running, "POST", "/api/mcp/client", body)
    assert answer.status_code == 200, answer.text
    added: dict[str, Any] = answer.json()
    return added


async def change(running: TestGateway, client_id: str, **members: Any) -> httpx2.Response:
    return await api(running, "PUT", f"/api/mcp/client/{client_id}", members)


async def clients(running: TestGateway, **query: Any) -> list[dict[str, Any]]:
    answer = await api(running, "GET", "/api/mcp/clients", **query)
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["clients"]
    return found


async def status(running: TestGateway, pending: dict[str, Any]) -> dict[str, Any]:
    answer = await api(running, "GET", pending["status_url"])
    assert answer.status_code == 200, answer.text
    told: dict[str, Any] = answer.json()
    return told


async def complete(running: TestGateway, pending: dict[str, Any]) -> httpx2.Response:
    return await api(running, "POST", pending["complete_url"])


def csrf_of(page: httpx2.Response) -> str:
    found = re.search(r'name="csrf" value="([^"]+)"', page.text)
    assert found, page.text
    return found[1]


def path_of(url: str) -> str:
    return urlsplit(url).path


async def prove(browser: httpx2.AsyncClient, pending: dict[str, Any], token: str = ADMIN_TOKEN) -> httpx2.Response:
    """Open the page and paste a token."""
    path = path_of(pending["authorize_url"])
    csrf = csrf_of(await browser.get(path))
    prove_path = path.replace("/authorize", "/administrator")
    return await browser.post(prove_path, data={"token": token, "csrf": csrf}, headers={"Origin": ISSUER})


async def start(browser: httpx2.AsyncClient, pending: dict[str, Any]) -> httpx2.Response:
    """Press the button that leads to the service."""
    path = path_of(pending["authorize_url"])
    csrf = csrf_of(await browser.get(path))
    return await browser.post(path.replace("/authorize", "/start"), data={"csrf": csrf}, headers={"Origin": ISSUER})


async def sign_in(browser: httpx2.AsyncClient, pending: dict[str, Any], account: str) -> httpx2.Response:
    """The whole way: our page, the service's, and back; the answer of our callback."""
    assert (await prove(browser, pending)).status_code == 303
    started = await start(browser, pending)
    assert started.status_code == 303, started.text
    return await browser.get(await at_the_service(started.headers["location"], account))


async def signed_in(running: TestGateway, pending: dict[str, Any], account: str = "robot") -> None:
    """Signed in and completed."""
    async with running.browser() as browser:
        await sign_in(browser, pending, account)
    answer = await complete(running, pending)
    assert answer.status_code == 200, answer.text


async def call(running: TestGateway, name: str, **arguments: Any) -> httpx2.Response:
    params = {"name": name, "arguments": arguments}
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
    return await running.http.post("/mcp", json=body, headers=KEY)


async def tools(running: TestGateway) -> list[str]:
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {}}
    answer = await running.http.post("/mcp", json=body, headers=KEY)
    return [tool["name"] for tool in answer.json()["result"]["tools"]]
