"""Remembered consent: one click for a client that somebody vouches for, in the browser of the same person."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.flows._documents import LOOPBACK_URI, URL, SigningKey, document, published
from tests.flows._html import page as parsed
from tests.flows._tokens import opens
from tests.support import oauth
from tests.support.clock import FakeClock
from tests.support.gateway import ISSUER, KEY_ID, VIRTUAL_KEY, TestGateway, running_gateway
from tests.support.oauth import OAuthClient, begin, press, response_of
from tests.support.web import Web

pytestmark = pytest.mark.anyio

PERSON = "__bifrost_person"
DAY = 24 * 3_600
CONTINUE = "/api/oauth/per-user/consent/continue"
CONSENTS = "/api/oauth2/consents"
OTHER_KEY = "sk-bf-other-0123456789abcdefghijklmnopqrstuvwxyz"


@pytest.fixture
def web() -> Iterator[Web]:
    with Web().instead_of_the_network() as standing:
        yield standing


@pytest.fixture
async def browser(running: TestGateway) -> AsyncIterator[httpx2.AsyncClient]:
    async with running.browser() as opened:
        yield opened


async def allowed(browser: httpx2.AsyncClient, client: OAuthClient, **changes: Any) -> None:
    """The client, allowed once in this browser with everything shown."""
    await oauth.approve(browser, await begin(browser, client, **changes))


async def short(browser: httpx2.AsyncClient, client: OAuthClient, **changes: Any) -> bool:
    """Whether a new request of this client gets the page with one click."""
    flow_id = await begin(browser, client, **changes)
    page = await browser.get("/oauth/consent", params={"flow_id": flow_id})
    assert page.status_code == 200
    targets = parsed(page).form_targets
    assert (CONTINUE in targets) is not ("/api/oauth/per-user/consent/vk" in targets)
    return CONTINUE in targets


async def test_the_second_time_one_click_is_enough(running: TestGateway, web: Web, browser: httpx2.AsyncClient) -> None:
    """Contract §5: never straight to a code, but one click to it; as the identity of the first time."""
    client = published(web, running.http)
    await allowed(browser, client)
    flow_id = await begin(browser, client)
    page = await browser.get("/oauth/consent", params={"flow_id": flow_id})
    for shown in ("Example app", "Verified domain", "app.example.com", "127.0.0.1", "Continue as", "test", "Deny"):
        assert shown in page.text, shown
    assert not [row for row in await running.rows("authorization_codes") if row["used_at"] is None][1:]
    response = response_of(await press(browser, "continue", flow_id))
    assert (response["state"], response["iss"]) == (client.state, ISSUER)
    tokens = (await client.redeem(response["code"])).json()
    assert await opens(running, tokens["access_token"]) == 200
    assert {(row["identity_kind"], row["identity_id"]) for row in await running.rows("grants")} == {("vk", KEY_ID)}


async def test_one_click_answers_one_request(running: TestGateway, web: Web, browser: httpx2.AsyncClient) -> None:
    """Contract §5: what else the same person has open waits for a click of its own."""
    client = published(web, running.http)
    await allowed(browser, client)
    one, other = await begin(browser, client), await begin(browser, client)
    assert response_of(await press(browser, "continue", one))["code"]
    open_flows = {row["id"] for row in await running.rows("pending_flows") if row["finished_at"] is None}
    assert open_flows == {other}
    assert response_of(await press(browser, "continue", other))["code"]


async def test_a_client_that_nobody_vouches_for_is_always_shown_in_full(
    running: TestGateway, browser: httpx2.AsyncClient
) -> None:
    """A37, OAuth 2.1 §7.3.1: whoever registered itself may be anybody; and its form to continue is not taken."""
    client = await oauth.register(running.http)
    await allowed(browser, client)
    assert not await short(browser, client)
    flow_id = await begin(browser, client)
    answer = await press(browser, "continue", flow_id)
    assert answer.headers["location"] == f"/oauth/consent?flow_id={flow_id}"
    assert len(await running.rows("authorization_codes")) == 1


async def test_a_client_of_the_administrator_is_known_again(sqlite_url: str, tmp_path: Path) -> None:
    """Contract §5: pre-registered is vouched for, too."""
    entry = {"client_id": "n8n", "client_name": "n8n", "redirect_uris": ["https://n8n.example/cb"]}
    async with (
        running_gateway(sqlite_url, tmp_path, client={"registered_clients": [entry]}) as running,
        running.browser() as browser,
    ):
        client = OAuthClient(running.http, entry)
        await allowed(browser, client)
        assert await short(browser, client)


async def test_consent_is_never_inherited_by_another_client(
    running: TestGateway, web: Web, browser: httpx2.AsyncClient
) -> None:
    """G3, TC-080, R57, contract §5: not by the same name, the same host, or the same redirect URI."""
    await allowed(browser, published(web, running.http))
    other = published(web, running.http, client_id="https://app.example.com/oauth/other.json")
    assert not await short(browser, other)
    registered = await oauth.register(running.http, client_name="Example app", redirect_uris=[LOOPBACK_URI])
    assert not await short(browser, registered)


async def test_another_browser_is_shown_everything(running: TestGateway, web: Web, browser: httpx2.AsyncClient) -> None:
    """Contract §5: the browser has to be the identity's, by the cookie of the earlier consent."""
    client = published(web, running.http)
    await allowed(browser, client)
    async with running.browser() as other:
        assert not await short(other, client)
        other.cookies.set(PERSON, "planted.value", domain="localhost.local")
        assert not await short(other, client)
        flow_id = await begin(other, client)
        answer = await press(other, "continue", flow_id)
        assert answer.headers["location"].startswith("/oauth/consent?")
    assert len(await running.rows("grants")) == 1


async def test_the_cookie_comes_only_after_an_approval(
    running: TestGateway, web: Web, browser: httpx2.AsyncClient
) -> None:
    """MCP security best practices: host-only, HttpOnly, set once something was approved; only its hash is kept."""
    client = published(web, running.http)
    flow_id = await begin(browser, client)
    csrf = await oauth.csrf_of(browser, flow_id)
    await press(browser, "vk", flow_id, csrf=csrf, virtual_key=VIRTUAL_KEY)
    assert PERSON not in browser.cookies
    denied = await begin(browser, client)
    await press(browser, "deny", denied)
    assert PERSON not in browser.cookies
    answer = await press(browser, "submit", flow_id, csrf=csrf)
    (cookie,) = [value for value in answer.headers.get_list("set-cookie") if value.startswith(PERSON)]
    assert cookie.split("; ")[1:] == [f"Max-Age={30 * DAY}", "Path=/", "HttpOnly", "SameSite=Lax"]
    secret = browser.cookies[PERSON]
    (row,) = await running.rows("known_browsers")
    assert secret not in str(row)
    await allowed(browser, client)
    assert browser.cookies[PERSON] == secret, "a browser keeps it"


async def test_under_https_the_cookie_belongs_to_this_host_alone(sqlite_url: str, tmp_path: Path, web: Web) -> None:
    """G3, RFC 6265bis §4.1.3.2: `__Host-` and Secure."""
    server = {"public_urls": ["https://localhost:8080"]}
    async with running_gateway(sqlite_url, tmp_path, server=server) as running, running.browser() as browser:
        browser.base_url = httpx2.URL("https://localhost:8080")
        client = published(web, running.http)
        flow_id = await begin(browser, client, resource=None)
        csrf = await oauth.csrf_of(browser, flow_id)
        form = {"flow_id": flow_id, "csrf": csrf, "virtual_key": VIRTUAL_KEY}
        origin = {"Origin": "https://localhost:8080"}
        await browser.post(f"{oauth.CONSENT}/vk", data=form, headers=origin)
        answer = await browser.post(f"{oauth.CONSENT}/submit", data=form, headers=origin)
        (cookie,) = [value for value in answer.headers.get_list("set-cookie") if PERSON in value]
    assert cookie.startswith(f"__Host-{PERSON}=")
    assert cookie.endswith("; Secure")


GROWN: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({}, {"scope": "mcp:read mcp:write"}),
    ({"redirect_uris": [LOOPBACK_URI, "https://app.example.com/callback", "https://new.example/cb"]}, {}),
    ({"redirect_uris": [LOOPBACK_URI, "com.example.app:/cb"]}, {}),
    ({"token_endpoint_auth_method": "private_key_jwt", "jwks_uri": "https://app.example.com/jwks"}, {}),
]


@pytest.mark.parametrize(("changes", "asked"), GROWN, ids=["scope", "host", "scheme", "method"])
async def test_what_has_grown_is_shown_again_in_full(
    running: TestGateway, web: Web, browser: httpx2.AsyncClient, changes: dict[str, Any], asked: dict[str, Any]
) -> None:
    """Contract §5, TC-103: more scopes, another place to go to, another proof; once allowed, one click is enough again."""
    client = published(web, running.http, headers={"Cache-Control": "no-store"})
    await allowed(browser, client, scope="mcp:read")
    assert await short(browser, client, scope="mcp:read")
    web.publish(URL, document(**changes), headers={"Cache-Control": "no-store"})
    assert not await short(browser, client, **{"scope": "mcp:read", **asked})
    await allowed(browser, client, **{"scope": "mcp:read", **asked})
    assert await short(browser, client, **{"scope": "mcp:read", **asked})


async def test_other_keys_are_shown_again(
    running: TestGateway, web: Web, browser: httpx2.AsyncClient, clock: FakeClock
) -> None:
    """Contract §5: keys in the document that are others than before."""
    proof = {"token_endpoint_auth_method": "private_key_jwt", "headers": {"Cache-Control": "no-store"}}
    client = published(web, running.http, **proof, jwks=SigningKey(clock).jwks)
    await allowed(browser, client)
    assert await short(browser, client)
    published(web, running.http, **proof, jwks=SigningKey(clock).jwks)
    assert not await short(browser, client)


async def test_less_than_was_allowed_needs_one_click(
    running: TestGateway, web: Web, browser: httpx2.AsyncClient
) -> None:
    """Contract §5: narrower scopes and fewer redirect hosts are no news, and a narrow consent takes nothing back."""
    client = published(web, running.http, headers={"Cache-Control": "no-store"})
    await allowed(browser, client)
    await allowed(browser, client, scope="mcp:read")
    assert await short(browser, client)
    assert await short(browser, client, scope="mcp:read")
    published(web, running.http, redirect_uris=[LOOPBACK_URI])
    assert await short(browser, client)


async def test_another_endpoint_is_shown_again(sqlite_url: str, tmp_path: Path, web: Web) -> None:
    """Contract §5: a resource that was not allowed before."""
    entry = {"name": "notes", "connection_string": "http://127.0.0.1:9/mcp", "tools_to_execute": ["*"]}
    upstreams = {"client_configs": [{**entry, "allow_on_all_virtual_keys": True}]}
    async with running_gateway(sqlite_url, tmp_path, mcp=upstreams) as running, running.browser() as browser:
        client = published(web, running.http)
        await allowed(browser, client)
        slug = {"resource": f"{ISSUER}/mcp/notes"}
        assert not await short(browser, client, **slug)
        await allowed(browser, client, **slug)
        assert await short(browser, client, **slug)
        assert await short(browser, client)


async def test_what_was_allowed_at_one_endpoint_is_not_allowed_at_another(
    sqlite_url: str, tmp_path: Path, web: Web
) -> None:
    """Contract §5: reading here and writing there is not writing here, which nobody was ever shown."""
    entry = {"name": "notes", "connection_string": "http://127.0.0.1:9/mcp", "tools_to_execute": ["*"]}
    upstreams = {"client_configs": [{**entry, "allow_on_all_virtual_keys": True}]}
    async with running_gateway(sqlite_url, tmp_path, mcp=upstreams) as running, running.browser() as browser:
        client, slug = published(web, running.http), f"{ISSUER}/mcp/notes"
        await allowed(browser, client, scope="mcp:read")
        await allowed(browser, client, resource=slug)
        assert await short(browser, client, resource=slug)
        assert not await short(browser, client)
        await allowed(browser, client)
        assert await short(browser, client)
        assert await short(browser, client, resource=slug, scope="mcp:read")


async def test_a_person_may_look_at_everything_again(
    running: TestGateway, web: Web, browser: httpx2.AsyncClient
) -> None:
    """Contract §5: the short page leads to the full one, where another identity can be chosen."""
    client = published(web, running.http)
    await allowed(browser, client)
    flow_id = await begin(browser, client)
    shown = parsed(await browser.get("/oauth/consent", params={"flow_id": flow_id}))
    (link,) = [str(a["href"]) for a in shown.all("a") if "full" in str(a["href"])]
    assert "/api/oauth/per-user/consent/vk" in parsed(await browser.get(link)).form_targets
    wrong = await press(browser, "vk", flow_id, virtual_key="sk-bf-wrong-0123456789abcdefghijklmnopq")
    assert "/api/oauth/per-user/consent/vk" in parsed(await browser.get(wrong.headers["location"])).form_targets


async def test_deny_forgets_what_was_allowed(running: TestGateway, web: Web, browser: httpx2.AsyncClient) -> None:
    """Ours: whoever says no on the short page is asked in full the next time; what works goes on working."""
    client = published(web, running.http)
    await allowed(browser, client)
    response = response_of(await press(browser, "deny", await begin(browser, client)))
    assert response["error"] == "access_denied"
    assert not await short(browser, client)
    assert not [row for row in await running.rows("grants") if row["revoked_at"]]


async def test_of_parallel_clicks_one_gives_a_code(database_url: str, tmp_path: Path, web: Web) -> None:
    """Contract §5, TC-057: exactly one wins, the others get 409."""
    async with running_gateway(database_url, tmp_path) as running, running.browser() as browser:
        client = published(web, running.http)
        await allowed(browser, client)
        flow_id = await begin(browser, client)
        csrf = await oauth.csrf_of(browser, flow_id)
        answers = await asyncio.gather(*(press(browser, "continue", flow_id, csrf=csrf) for _ in range(8)))
        assert sorted(answer.status_code for answer in answers) == [303] + [409] * 7
        assert len(await running.rows("grants")) == 2


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://localhost:8081"])
async def test_another_site_cannot_click(
    running: TestGateway, web: Web, browser: httpx2.AsyncClient, origin: str
) -> None:
    """TC-062, TC-063, contract §5: own CSRF token and exact Origin, as on every form."""
    client = published(web, running.http)
    await allowed(browser, client)
    flow_id = await begin(browser, client)
    csrf = await oauth.csrf_of(browser, flow_id)
    form = {"flow_id": flow_id, "csrf": csrf}
    assert (await browser.post(CONTINUE, data=form, headers={"Origin": origin})).status_code == 403
    forged = await browser.post(CONTINUE, data={**form, "csrf": "0" * 64}, headers={"Origin": ISSUER})
    assert forged.status_code == 403
    assert (await browser.get(CONTINUE)).status_code == 405
    assert len(await running.rows("grants")) == 1


async def test_a_key_that_may_not_be_used_any_more_is_not_offered(
    sqlite_url: str, tmp_path: Path, web: Web, clock: FakeClock
) -> None:
    """Contract §6: revoked is revoked, also between the page and the click."""
    async with running_gateway(sqlite_url, tmp_path, clock=clock) as running, running.browser() as browser:
        client = published(web, running.http)
        await allowed(browser, client)
        flow_id = await begin(browser, client)
        csrf = await oauth.csrf_of(browser, flow_id)
        await running.gateway.virtual_keys.revoke(KEY_ID)
        answer = await press(browser, "continue", flow_id, csrf=csrf)
        assert answer.headers["location"].startswith("/oauth/consent?")
        assert not await short(browser, client)


async def test_a_key_with_a_new_value_has_to_be_shown_again(
    sqlite_url: str, tmp_path: Path, web: Web, clock: FakeClock
) -> None:
    """Ours: a key is given a new value because somebody else may know the old one; both may begin alike."""
    entry, client = {"id": "vk-2", "name": "rotated", "value": OTHER_KEY}, published(web, httpx2.AsyncClient())
    first = running_gateway(sqlite_url, tmp_path, clock=clock, governance={"virtual_keys": [entry]})
    async with first as running, running.browser() as browser:
        client.http = running.http
        await oauth.approve(browser, await begin(browser, client), key=OTHER_KEY)
        assert await short(browser, client)
        person = browser.cookies[PERSON]
    entry = {**entry, "value": OTHER_KEY.replace("0123456789", "9876543210")}
    second = running_gateway(sqlite_url, tmp_path, clock=clock, governance={"virtual_keys": [entry]})
    async with second as running, running.browser() as browser:
        client.http = running.http
        browser.cookies.set(PERSON, person, domain="localhost.local", path="/")
        assert not await short(browser, client)


async def test_a_browser_and_a_consent_are_forgotten_in_time(
    running: TestGateway, web: Web, browser: httpx2.AsyncClient, clock: FakeClock
) -> None:
    """Ours: a browser after 30 days without a consent, a consent after 180, and their rows with them."""
    client = published(web, running.http)
    await allowed(browser, client)
    clock.advance(seconds=30 * DAY - 1)
    assert await short(browser, client)
    clock.advance(seconds=1)
    assert not await short(browser, client)
    clock.advance(seconds=150 * DAY + 3_601)
    await running.gateway.sweeper.sweep()
    assert not await running.rows("known_browsers")
    assert not await running.rows("remembered_consents")


async def test_an_administrator_sees_and_forgets_consents(database_url: str, tmp_path: Path, web: Web) -> None:
    """Contract §5: listed and revocable, for every client; what a consent adds up to is one row."""
    async with (
        running_gateway(database_url, tmp_path) as running,
        running.browser() as browser,
        running.administrator() as administrator,
    ):
        client = published(web, running.http)
        await allowed(browser, client, scope="mcp:read")
        await allowed(browser, client)
        await allowed(browser, await oauth.register(running.http))
        listed = (await administrator.get(CONSENTS)).json()
        assert (listed["count"], listed["total_count"]) == (2, 2)
        shown = next(one for one in listed["consents"] if one["client_id"] == URL)
        assert (shown["identity_kind"], shown["identity_id"]) == ("vk", KEY_ID)
        assert (shown["client_name"], shown["scope"]) == ("Example app", "mcp:read mcp:write")
        assert (shown["resources"], shown["redirect_hosts"]) == (["/mcp"], ["app.example.com", "loopback"])
        assert await short(browser, client)
        assert (await administrator.delete(f"{CONSENTS}/{shown['id']}")).status_code == 204
        assert not await short(browser, client)
        assert (await administrator.delete(f"{CONSENTS}/{shown['id']}")).status_code == 404
        assert (await running.http.get(CONSENTS)).status_code == 401


async def test_a_blocked_client_has_no_short_page(running: TestGateway, web: Web, browser: httpx2.AsyncClient) -> None:
    """Contract §3: also not for a flow that is open."""
    client = published(web, running.http)
    await allowed(browser, client)
    flow_id = await begin(browser, client)
    csrf = await oauth.csrf_of(browser, flow_id)
    async with running.administrator() as administrator:
        (row,) = (await administrator.get("/api/oauth2/clients")).json()["clients"]
        await administrator.put(f"/api/oauth2/clients/{row['id']}", json={"blocked": True})
    answer = await press(browser, "continue", flow_id, csrf=csrf)
    assert answer.status_code == 400
    assert "location" not in answer.headers
