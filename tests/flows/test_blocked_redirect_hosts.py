"""Hosts that no client is sent back to: whoever is blocked there does not come back under another name."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.flows._documents import document, published, refused
from tests.flows._tokens import error_of
from tests.support import oauth
from tests.support.clock import FakeClock
from tests.support.gateway import TestGateway, running_gateway
from tests.support.web import Web

pytestmark = pytest.mark.anyio

EVIL, GOOD, BELOW = "https://evil.example/cb", "https://good.example/cb", "https://a.evil.example:8443/other?x=1"
BLOCKED = ["evil.example", "*.evil.example", "pest://"]


@pytest.fixture
def web() -> Iterator[Web]:
    with Web().instead_of_the_network() as standing:
        yield standing


def _blocking(**more: Any) -> dict[str, Any]:
    return {"blocked_redirect_hosts": BLOCKED, "allowed_app_schemes": ["pest"], **more}


@pytest.mark.parametrize("name", ["Evil", "Evil 2", ""])
@pytest.mark.parametrize("uri", [EVIL, BELOW, "https://EVIL.example./cb", "pest://cb"])
async def test_another_name_is_no_way_around_a_blocked_host(
    sqlite_url: str, tmp_path: Path, clock: FakeClock, name: str, uri: str
) -> None:
    """Contract §3: registering is refused, and what was registered before is blocked at every step of a sign-in."""
    async with running_gateway(sqlite_url, tmp_path, clock=clock, client={"allowed_app_schemes": ["pest"]}) as running:
        client = await oauth.register(running.http, redirect_uris=[uri], **({"client_name": name} if name else {}))
        async with running.browser() as browser:
            code = (await oauth.approve(browser, await oauth.begin(browser, client)))["code"]
            tokens = (await client.redeem(code)).json()
    async with running_gateway(sqlite_url, tmp_path, clock=clock, client=_blocking()) as running:
        again = await running.http.post(oauth.REGISTER, json={"redirect_uris": [uri], "client_name": f"{name} again"})
        assert error_of(again) == "invalid_redirect_uri"
        assert "blocked" in again.json()["error_description"]
        client = oauth.OAuthClient(running.http, client.registration)
        assert "blocked" in await refused_as_blocked(running, client)
        assert error_of(await client.refresh(tokens["refresh_token"]), 401) == "invalid_client"


async def refused_as_blocked(running: TestGateway, client: oauth.OAuthClient) -> str:
    answer = await running.http.get(oauth.AUTHORIZE, params=client.request())
    assert answer.status_code == 400
    assert "location" not in answer.headers
    error = answer.json()["error"]
    assert (error["code"], error["param"]) == ("invalid_client", "client_id")
    return str(error["message"])


async def test_the_other_redirect_uris_of_a_client_stay(sqlite_url: str, tmp_path: Path, web: Web) -> None:
    """Contract §3: what is not acceptable is dropped, and the kept list is echoed; of documents and of registrations."""
    async with running_gateway(sqlite_url, tmp_path, client=_blocking()) as running:
        registered = await oauth.register(running.http, redirect_uris=[EVIL, GOOD, BELOW])
        assert registered.registration["redirect_uris"] == [GOOD]
        for client in (registered, published(web, running.http, redirect_uris=[GOOD, EVIL])):
            answer = await running.http.get(oauth.AUTHORIZE, params=client.request(redirect_uri=GOOD))
            assert answer.status_code == 302
            answer = await running.http.get(oauth.AUTHORIZE, params=client.request(redirect_uri=EVIL))
            assert (answer.status_code, answer.json()["error"]["param"]) == (400, "redirect_uri")


async def test_a_document_that_leads_to_a_blocked_host_only_is_refused(
    sqlite_url: str, tmp_path: Path, web: Web
) -> None:
    """Contract §3: whatever host vouches for it; and a client allowed in part keeps the copy of its document."""
    async with running_gateway(sqlite_url, tmp_path, client=_blocking()) as running, running.browser() as browser:
        assert "blocked" in await refused(running, published(web, running.http, redirect_uris=[EVIL]))
        both = published(web, running.http, **document(client_id="https://b.example/c", redirect_uris=[GOOD, EVIL]))
        await oauth.approve(browser, await oauth.begin(browser, both))
        (row,) = await running.rows("oauth_clients")
        assert row["fresh_until"] > row["fetched_at"] > 0
        assert "evil" not in row["metadata"]


async def test_what_an_administrator_registers_is_exempt(sqlite_url: str, tmp_path: Path) -> None:
    """Contract §3: one that is known is not one that would come back under another name."""
    known = {"client_id": "known", "client_name": "Known", "redirect_uris": [EVIL]}
    async with running_gateway(sqlite_url, tmp_path, client=_blocking(registered_clients=[known])) as running:
        client = oauth.OAuthClient(running.http, known)
        answer = await running.http.get(oauth.AUTHORIZE, params=client.request())
        assert answer.status_code == 302
