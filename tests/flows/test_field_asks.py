"""What people of other gateways asked for in vain, and what they could not find out."""

import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from html import unescape
from pathlib import Path
from typing import Any

import httpx2
import pytest
from structlog.testing import capture_logs

from bifrost.base import log_context
from tests.flows import _connecting as people
from tests.flows._mcp import ask, refusal
from tests.flows._tokens import opens
from tests.support import oauth
from tests.support.clock import FakeClock
from tests.support.gateway import ADMIN_TOKEN, ISSUER, VIRTUAL_KEY, TestGateway, running_gateway, upstream
from tests.support.oauth import AUTHORIZE, REGISTER, TOKEN
from tests.support.oauth_upstream import OAuthUpstream
from tests.support.servers import serving

pytestmark = pytest.mark.anyio

RESOURCE = "/.well-known/oauth-protected-resource"
SERVER = "/.well-known/oauth-authorization-server"


async def _broken_authorization(http: httpx2.AsyncClient) -> httpx2.Response:
    client = await oauth.register(http)
    return await http.get(AUTHORIZE, params=client.request(code_challenge=None))


async def _broken_token(http: httpx2.AsyncClient) -> httpx2.Response:
    client = await oauth.register(http)
    return await client.redeem("bfac_unknown")


async def _broken_consent(http: httpx2.AsyncClient) -> httpx2.Response:
    client = await oauth.register(http)
    flow_id = oauth.flow_id_of(await http.get(AUTHORIZE, params=client.request()))
    http.cookies.clear()
    return await http.get("/oauth/consent", params={"flow_id": flow_id})


async def _broken_registration(http: httpx2.AsyncClient) -> httpx2.Response:
    return await http.post(REGISTER, json={"redirect_uris": ["http://not-here.example/cb"]})


async def _broken_list(http: httpx2.AsyncClient) -> httpx2.Response:
    return await ask(http, "tools/list", headers={"Authorization": "Bearer bfat_unknown"})


LEGS: dict[str, tuple[Any, str, str]] = {
    "resource metadata": (lambda http: http.get(f"{RESOURCE}/mcp/nothing"), "oauth_protected_resource", "not_found"),
    "server metadata": (lambda http: http.get(f"{SERVER}/mcp/nothing"), "oauth_authorization_server", "not_found"),
    "registration": (_broken_registration, "oauth_register", "invalid_redirect_uri"),
    "authorization": (_broken_authorization, "oauth_authorize", "invalid_request"),
    "consent": (_broken_consent, "oauth_consent_identity", "wrong_browser"),
    "token": (_broken_token, "oauth_token", "invalid_grant"),
    "first list": (_broken_list, "mcp", "invalid_token"),
}


@pytest.mark.parametrize(("leg", "operation", "reason"), LEGS.values(), ids=LEGS)
async def test_the_log_says_which_leg_of_a_sign_in_failed_and_why(
    running: TestGateway, leg: Any, operation: str, reason: str
) -> None:
    """R52, contract §2: in one word each, under the id that the client was given."""
    with capture_logs(processors=[log_context.merge]) as logs:
        answer = await leg(running.http)
    (line,) = [line for line in logs if line["event"] == "request_refused"]
    assert (line["operation"], line["reason"]) == (operation, reason)
    assert line["event_id"] == answer.headers["x-request-id"]
    assert answer.status_code >= 400


@asynccontextmanager
async def three_services(
    sqlite_url: str, tmp_path: Path
) -> AsyncIterator[tuple[TestGateway, dict[str, OAuthUpstream]]]:
    services = {name: OAuthUpstream() for name in ("notes", "wiki", "mail")}
    async with AsyncExitStack() as stack:
        for service in services.values():
            service.origin = stack.enter_context(serving(service.app()))
        entries = [upstream(name, one.url, auth_type="per_user_oauth") for name, one in services.items()]
        made = running_gateway(sqlite_url, tmp_path, mcp={"client_configs": entries}, governance=people.KEYS)
        yield await stack.enter_async_context(made), services


async def test_three_services_are_connected_in_one_visit_over_one_callback(sqlite_url: str, tmp_path: Path) -> None:
    """R62, R67: one page has all of them; the state says which one the browser comes back from."""
    async with three_services(sqlite_url, tmp_path) as (running, services), running.browser() as browser:
        client = await oauth.register(running.http)
        flow_id, csrf = await people.identify(browser, client)
        page = await browser.get("/oauth/consent/mcps", params={"flow_id": flow_id})
        links = re.findall(r'href="(/api/oauth/per-user/upstream/authorize[^"]+)"', page.text)
        assert len(links) == len(services)
        for link in links:
            started = await browser.get(unescape(link))
            back = await browser.get(await people.at_the_service(started.headers["location"], "ann"))
            assert "notice=connected" in back.headers["location"]
        code = oauth.response_of(await oauth.press(browser, "submit", flow_id, csrf=csrf))["code"]
        tokens = (await client.redeem(code)).json()
        headers = {"Authorization": f"Bearer {tokens['access_token']}"}
        for name, service in services.items():
            answer = await people.whoami(running, headers, name=f"{name}-whoami")
            assert people.text_of(answer) == "ann"
            assert {asked["redirect_uri"] for asked in service.authorizations} == {f"{ISSUER}/api/oauth/callback"}
            assert {account for account, _bearer in service.calls} == {"ann"}


@pytest.mark.parametrize("administrator", ["signed in", "signed out", "never there"])
async def test_the_way_back_from_a_service_needs_no_session_of_an_administrator(
    sqlite_url: str, tmp_path: Path, administrator: str
) -> None:
    """R69: the browser of the flow and the state are all there is, and an administrator's session replaces neither."""
    guarded = OAuthUpstream()
    async with people.connected_gateway(sqlite_url, tmp_path, guarded) as running, running.browser() as browser:
        if administrator != "never there":
            await _administrates(running, browser)
        flow_id, _csrf = await people.identify(browser, await oauth.register(running.http))
        started = await browser.get(await people.connect_link(browser, flow_id))
        back = await people.at_the_service(started.headers["location"], "ann")
        if administrator == "signed out":
            await browser.post("/api/session/logout", headers={"Origin": ISSUER})
        async with running.browser() as office:
            await _administrates(running, office)
            assert (await office.get(back)).status_code == 403
        assert "notice=connected" in (await browser.get(back)).headers["location"]


async def _administrates(running: TestGateway, browser: httpx2.AsyncClient) -> None:
    answer = await browser.post("/api/session/login", json={"token": ADMIN_TOKEN}, headers={"Origin": ISSUER})
    assert answer.status_code in (200, 204), answer.text


NAMES = (
    "X-Forwarded-User",
    "X-Remote-User",
    "Remote-User",
    "X-Auth-Request-Email",
    "X-Bf-User",
    "X-Ms-Client-Principal",
)


@pytest.mark.parametrize("trusted", [[], ["203.0.113.0/24"]], ids=["from anywhere", "from the trusted proxy"])
async def test_no_header_says_who_somebody_is(sqlite_url: str, tmp_path: Path, trusted: list[str]) -> None:
    """R70: whoever they come from; a proxy is believed about the address alone."""
    named = dict.fromkeys(NAMES, "ann@example.com")
    async with (
        running_gateway(sqlite_url, tmp_path, server={"trusted_proxies": trusted}) as running,
        running.browser() as browser,
    ):
        browser.headers.update(named)
        running.http.headers.update(named)
        assert (await running.http.post("/mcp", json={})).status_code == 401
        assert (await running.http.get("/api/mcp/clients")).status_code == 401
        flow_id = await oauth.begin(browser, await oauth.register(running.http))
        page = await browser.get("/oauth/consent", params={"flow_id": flow_id})
        assert "ann@example.com" not in page.text
        (flow,) = await running.rows("pending_flows")
        assert flow["identity_kind"] is None


async def test_an_answer_that_reached_no_listener_can_be_pasted_minutes_later(
    running: TestGateway, clock: FakeClock
) -> None:
    """R71: over SSH the browser is on another machine; what it would have opened has everything, for five minutes."""
    client = await oauth.register(running.http)
    async with running.browser() as browser:
        flow_id = await oauth.begin(browser, client)
        csrf = await oauth.csrf_of(browser, flow_id)
        await oauth.press(browser, "vk", flow_id, csrf=csrf, virtual_key=VIRTUAL_KEY)
        answer = await oauth.press(browser, "submit", flow_id, csrf=csrf)
    pasted = httpx2.URL(answer.headers["location"])
    clock.advance(seconds=299)
    tokens = (await client.redeem(pasted.params["code"])).json()
    assert pasted.params["state"] == client.state
    assert await opens(running, tokens["access_token"]) == 200


async def test_whoever_asks_for_a_device_code_is_told_that_there_is_none(running: TestGateway) -> None:
    """R71: it is neither advertised nor half there, so a client takes the way that works."""
    document = (await running.http.get(SERVER)).json()
    assert "device_authorization_endpoint" not in document
    client = await oauth.register(running.http)
    form = {"grant_type": "urn:ietf:params:oauth:grant-type:device_code", "client_id": client.client_id}
    answer = await running.http.post(TOKEN, data={**form, "device_code": "x"})
    assert (answer.status_code, answer.json()["error"]) == (400, "unsupported_grant_type")


@pytest.mark.parametrize("document", ["oauth-authorization-server", "oauth-protected-resource", "openid-configuration"])
@pytest.mark.parametrize("endpoint", ["/mcp", "/mcp/notes"])
async def test_a_well_known_address_behind_an_endpoint_is_never_a_page(
    running: TestGateway, endpoint: str, document: str
) -> None:
    """R38: the issuer has no path, so there is nothing there; who looks is told so and goes on to the right place.

    A5.
    """
    answer = await running.http.get(f"{endpoint}/.well-known/{document}", headers={"Accept": "application/json"})
    assert answer.status_code in (401, 404)
    assert "html" not in answer.headers["content-type"]


async def test_a_presented_credential_that_is_wrong_is_refused_alike_for_every_method(running: TestGateway) -> None:
    """R49, contract §7: a client that opens a stream, or ends a session, learns that it has to refresh as well.

    RS11.
    """
    for method in ("POST", "GET", "DELETE"):
        bare = await running.http.request(method, "/mcp")
        assert bare.status_code == 401
        assert "error=" not in bare.headers["www-authenticate"]
        wrong = await running.http.request(method, "/mcp", headers={"Authorization": "Bearer bfat_x"})
        assert refusal(wrong, 401) == "invalid_token"
        assert 'error="invalid_token"' in wrong.headers["www-authenticate"]
