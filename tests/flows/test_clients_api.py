"""An administrator and the OAuth clients: seeing, renaming, limiting and blocking them, and registering one by hand."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest

from bifrost.base.ids import hash_secret
from tests.contract._stores import fetch
from tests.flows._documents import SigningKey, published
from tests.flows._tokens import basic, error_of, opens, secret_of
from tests.support import oauth
from tests.support.clock import FakeClock
from tests.support.gateway import VIRTUAL_KEY, TestGateway, running_gateway
from tests.support.oauth import OAuthClient
from tests.support.web import Web

pytestmark = pytest.mark.anyio

CLIENTS = "/api/oauth2/clients"
SECRET = "a-secret-of-our-own-0123456789"


@pytest.fixture
def web() -> Iterator[Web]:
    with Web().instead_of_the_network() as standing:
        yield standing


@pytest.fixture
async def administrator(running: TestGateway) -> AsyncIterator[httpx2.AsyncClient]:
    async with running.administrator() as http:
        yield http


async def listed(administrator: httpx2.AsyncClient, **query: Any) -> list[dict[str, Any]]:
    answer = await administrator.get(CLIENTS, params=query)
    assert answer.status_code == 200, answer.text
    clients: list[dict[str, Any]] = answer.json()["clients"]
    return clients


async def tokens_of(running: TestGateway, client: OAuthClient, **changes: Any) -> dict[str, Any]:
    async with running.browser() as browser:
        code = (await oauth.approve(browser, await oauth.begin(browser, client, **changes)))["code"]
    answer = await client.redeem(code, **secret_of(client))
    assert answer.status_code == 200, answer.text
    tokens: dict[str, Any] = answer.json()
    return tokens


@asynccontextmanager
async def configured(url: str, path: Path, *clients: dict[str, Any], **more: Any) -> AsyncIterator[TestGateway]:
    async with running_gateway(url, path, client={"registered_clients": list(clients)}, **more) as running:
        yield running


def entry(**members: Any) -> dict[str, Any]:
    return {"client_id": "n8n", "client_name": "n8n", "redirect_uris": ["https://n8n.example/cb"], **members}


def hand_made(running: TestGateway, **members: Any) -> OAuthClient:
    return OAuthClient(running.http, {**entry(), **members})


async def test_a_client_has_a_row_from_its_first_consent_on(
    running: TestGateway, administrator: httpx2.AsyncClient, clock: FakeClock
) -> None:
    """Contract §3: registering and asking write none; a second consent writes no second one."""
    client = await oauth.register(running.http, client_name="Robin")
    async with running.browser() as browser:
        await oauth.begin(browser, client)
    assert await listed(administrator) == []
    for _ in range(2):
        await tokens_of(running, client)
        clock.advance(seconds=60)
    (shown,) = await listed(administrator)
    assert shown["client_id"] == client.client_id
    assert (shown["client_name"], shown["origin"], shown["verified_host"]) == ("Robin", "self_registered", None)
    assert (shown["grants"], shown["blocked"], shown["scope_limit"], shown["label"]) == (2, False, "", "")
    assert (shown["created_at"], shown["consented_at"]) == ("2027-01-15T08:00:00Z", "2027-01-15T08:01:00Z")
    assert (await administrator.get(f"{CLIENTS}/{shown['id']}")).json() == shown


async def test_nothing_is_shown_without_an_administrators_credential(running: TestGateway) -> None:
    """Contract §9."""
    for method, path in (("GET", CLIENTS), ("POST", CLIENTS), ("PUT", f"{CLIENTS}/x"), ("DELETE", f"{CLIENTS}/x")):
        assert (await running.http.request(method, path)).status_code == 401


async def test_a_blocked_client_is_out_at_once_everywhere(
    running: TestGateway, administrator: httpx2.AsyncClient
) -> None:
    """Contract §§3, 6: its tokens, its refreshing, its codes, its new requests and its open consent."""
    client, other = await oauth.register(running.http), await oauth.register(running.http, client_name="Other")
    tokens, others = await tokens_of(running, client), await tokens_of(running, other)
    async with running.browser() as browser:
        waiting = await oauth.begin(browser, client)
        csrf = await oauth.csrf_of(browser, waiting)
        await oauth.press(browser, "vk", waiting, csrf=csrf, virtual_key=VIRTUAL_KEY)
        unused = (await oauth.approve(browser, await oauth.begin(browser, client)))["code"]
        row = next(one for one in await listed(administrator) if one["client_id"] == client.client_id)
        blocked = await administrator.put(f"{CLIENTS}/{row['id']}", json={"blocked": True})
        assert (blocked.status_code, blocked.json()["blocked"], blocked.json()["grants"]) == (200, True, 0)

        assert await opens(running, tokens["access_token"]) == 401
        assert error_of(await client.refresh(tokens["refresh_token"])) == "invalid_grant"
        assert error_of(await client.redeem(unused)) == "invalid_grant"
        answer = await running.http.get(oauth.AUTHORIZE, params=client.request())
        assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalid_client")
        submitted = await oauth.press(browser, "submit", waiting, csrf=csrf)
        assert submitted.status_code == 400
        assert "location" not in submitted.headers
    assert await opens(running, others["access_token"]) == 200

    await administrator.put(f"{CLIENTS}/{row['id']}", json={"blocked": False})
    assert await opens(running, tokens["access_token"]) == 401, "what was ended stays ended"
    assert await opens(running, (await tokens_of(running, client))["access_token"]) == 200


async def test_a_block_wins_over_a_consent_at_the_same_moment(database_url: str, tmp_path: Path) -> None:
    """Contract §3: whichever comes first, no grant of a blocked client is left."""
    async with running_gateway(database_url, tmp_path) as running, running.administrator() as administrator:
        client = await oauth.register(running.http)
        await tokens_of(running, client)
        (row,) = await listed(administrator)

        async def consent(browser: httpx2.AsyncClient, flow_id: str, csrf: str) -> None:
            await oauth.press(browser, "submit", flow_id, csrf=csrf)

        browsers = [running.browser() for _ in range(6)]
        waiting = []
        for browser in browsers:
            flow_id = await oauth.begin(browser, client)
            csrf = await oauth.csrf_of(browser, flow_id)
            await oauth.press(browser, "vk", flow_id, csrf=csrf, virtual_key=VIRTUAL_KEY)
            waiting.append(consent(browser, flow_id, csrf))
        block = administrator.put(f"{CLIENTS}/{row['id']}", json={"blocked": True})
        await asyncio.gather(*waiting[:3], block, *waiting[3:])
        assert all(grant["revoked_at"] for grant in await running.rows("grants"))
        for browser in browsers:
            await browser.aclose()


async def test_a_client_that_was_allowed_before_rows_were_written_can_be_blocked(
    database_url: str, tmp_path: Path, clock: FakeClock
) -> None:
    """Contract §3: the next start finds it by its grant; also one whose id no key opens any more."""
    async with running_gateway(database_url, tmp_path, clock=clock) as running:
        client = await oauth.register(running.http, client_name="Old friend")
        tokens = await tokens_of(running, client)
        await _sql(running, "DELETE FROM oauth_clients")
        await _sql(
            running,
            "INSERT INTO grants SELECT 'grant_of_nobody', 'bfcl_lost', identity_kind, identity_id, scope, "
            "resource, created_at, expires_at, NULL, NULL FROM grants",
        )
    async with (
        running_gateway(database_url, tmp_path, clock=clock) as running,
        running.administrator() as administrator,
    ):
        shown = {one["client_name"]: one for one in await listed(administrator)}
        assert set(shown) == {"Old friend", "A client of an earlier key"}
        assert await opens(running, tokens["access_token"]) == 200
        for one in shown.values():
            assert (one["grants"], one["origin"]) == (1, "self_registered")
            await administrator.put(f"{CLIENTS}/{one['id']}", json={"blocked": True})
        assert await opens(running, tokens["access_token"]) == 401
        assert all(grant["revoked_at"] for grant in await running.rows("grants"))


async def _sql(running: TestGateway, statement: str) -> None:
    async with running.gateway.database.transaction() as connection:
        await fetch(connection, statement)


async def test_a_client_that_is_deleted_while_somebody_consents_is_gone(
    running: TestGateway, administrator: httpx2.AsyncClient
) -> None:
    """Contract §5: the consent says so, and writes nothing."""
    made = (await administrator.post(CLIENTS, json=entry(client_id=""))).json()
    async with running.browser() as browser:
        waiting = await oauth.begin(browser, OAuthClient(running.http, made))
        csrf = await oauth.csrf_of(browser, waiting)
        await oauth.press(browser, "vk", waiting, csrf=csrf, virtual_key=VIRTUAL_KEY)
        await administrator.delete(f"{CLIENTS}/{made['id']}")
        answer = await oauth.press(browser, "submit", waiting, csrf=csrf)
    assert answer.status_code == 400
    assert "location" not in answer.headers
    assert not await running.rows("grants")
    assert not await running.rows("oauth_clients")


async def test_a_limited_client_gets_no_more_than_its_limit(
    running: TestGateway, administrator: httpx2.AsyncClient
) -> None:
    """Contract §3: wider grants end, and whatever it asks for from then on is cut down."""
    client = await oauth.register(running.http)
    wide = await tokens_of(running, client)
    narrow = await tokens_of(running, client, scope="mcp:read")
    async with running.browser() as browser:
        waiting = await oauth.begin(browser, client)
        (row,) = await listed(administrator)
        changed = await administrator.put(f"{CLIENTS}/{row['id']}", json={"scope_limit": "mcp:read"})
        assert changed.json()["grants"] == 1
        code = (await oauth.approve(browser, waiting))["code"]
    assert await opens(running, wide["access_token"]) == 401
    assert await opens(running, narrow["access_token"]) == 200
    assert (await client.redeem(code)).json()["scope"] == "mcp:read"
    assert (await tokens_of(running, client))["scope"] == "mcp:read"
    await administrator.put(f"{CLIENTS}/{row['id']}", json={"scope_limit": ""})
    assert (await tokens_of(running, client))["scope"] == "mcp:read mcp:write"


async def test_grants_of_another_are_not_counted(sqlite_url: str, tmp_path: Path, clock: FakeClock) -> None:
    """Contract §9: nor those of one that is called by this one's id."""
    gateway = configured(sqlite_url, tmp_path, entry(), clock=clock)
    async with gateway as running, running.administrator() as administrator:
        await tokens_of(running, hand_made(running))
        (row,) = await listed(administrator)
        clock.advance(seconds=1)
        await tokens_of(running, await oauth.register(running.http, client_name="A friend of n8n"))
        assert (await administrator.get(f"{CLIENTS}/{row['id']}")).json()["grants"] == 1


async def test_people_see_the_name_that_an_administrator_gave(
    running: TestGateway, administrator: httpx2.AsyncClient
) -> None:
    """Contract §3: a label is shown instead of what the client calls itself; cleaned like any other name."""
    client = await oauth.register(running.http, client_name="Official Bank App")
    await tokens_of(running, client)
    (row,) = await listed(administrator)
    await administrator.put(f"{CLIENTS}/{row['id']}", json={"label": "Robin's test script"})
    async with running.browser() as browser:
        flow_id = await oauth.begin(browser, client)
        page = await browser.get("/oauth/consent", params={"flow_id": flow_id})
    assert "Robin&#39;s test script" in page.text
    assert "Official Bank App" not in page.text
    assert [one["client_id"] for one in await listed(administrator, search="ROBIN")] == [client.client_id]
    assert [one["label"] for one in await listed(administrator, search="official bank")] == ["Robin's test script"]


async def test_the_list_is_searched_and_cut(database_url: str, tmp_path: Path, clock: FakeClock) -> None:
    """Contract §9; a search finds what was written, signs included."""
    async with (
        running_gateway(database_url, tmp_path, clock=clock) as running,
        running.administrator() as administrator,
    ):
        for number in range(5):
            await administrator.post(CLIENTS, json=entry(client_id=f"app-{number}", client_name=f"100%_{number}\\"))
            clock.advance(seconds=1)
        assert [one["client_id"] for one in await listed(administrator, limit=2, offset=1)] == ["app-3", "app-2"]
        answer = (await administrator.get(CLIENTS, params={"search": "0%_", "limit": 2})).json()
        assert (answer["count"], answer["total_count"], answer["limit"], answer["offset"]) == (2, 5, 2, 0)
        for search, found in (("%_3\\", 1), ("1_0", 0), ("%%", 0), ("app-4", 1), ("app", 0), ("'", 0)):
            assert len(await listed(administrator, search=search)) == found, search


@pytest.mark.parametrize(
    ("method", "how"),
    [("client_secret_basic", "basic"), ("client_secret_post", "post"), ("client_secret_basic", "post"), ("none", "")],
)
async def test_a_client_of_the_configuration_signs_in(database_url: str, tmp_path: Path, method: str, how: str) -> None:
    """Contract §3, A85, R22: with a secret or without, and no row of a secret but its hash."""
    secret = {} if method == "none" else {"client_secret": SECRET}
    async with (
        configured(database_url, tmp_path, entry(token_endpoint_auth_method=method, **secret)) as running,
        running.browser() as browser,
    ):
        client = hand_made(running)
        page_flow = await oauth.begin(browser, client)
        page = await browser.get("/oauth/consent", params={"flow_id": page_flow})
        assert "Registered by whoever runs this gateway" in page.text
        code = (await oauth.approve(browser, page_flow))["code"]
        if secret:
            assert error_of(await client.redeem(code), 401) == "invalid_client"
            assert error_of(await client.redeem(code, client_secret=SECRET + "x"), 401) == "invalid_client"
        form = {"grant_type": "authorization_code", "code": code, "code_verifier": client.verifier}
        if how == "basic":
            headers = {"Authorization": basic("n8n", SECRET)}
            answer = await running.http.post(oauth.TOKEN, data=form, headers=headers)
        else:
            answer = await running.http.post(oauth.TOKEN, data=form | {"client_id": "n8n"} | secret)
        assert answer.status_code == 200, answer.text
        (row,) = await running.rows("oauth_clients")
        assert row["secret_hash"] == (hash_secret(SECRET) if secret else "")
        assert SECRET not in str(row)


async def test_the_configuration_may_hold_a_hash_or_keys(sqlite_url: str, tmp_path: Path, clock: FakeClock) -> None:
    """Contract §3: neither is a secret."""
    key = SigningKey(clock)
    hashed = entry(client_id="hashed", client_secret_hash=hash_secret(SECRET))
    signing = entry(client_id="signing", jwks=key.jwks)
    async with configured(sqlite_url, tmp_path, hashed, signing, clock=clock) as running:
        known = hand_made(running, client_id="hashed")
        assert error_of(await known.redeem("bfac_x", client_secret=SECRET)) == "invalid_grant"
        assert error_of(await known.redeem("bfac_x", client_secret=hash_secret(SECRET)), 401) == "invalid_client"
        signer = hand_made(running, client_id="signing")
        assert error_of(await signer.redeem("bfac_x", **key.form("signing"))) == "invalid_grant"
        assert error_of(await signer.redeem("bfac_x"), 401) == "invalid_client"


async def test_the_configuration_is_followed_until_the_api_redefines_a_client(
    database_url: str, tmp_path: Path
) -> None:
    """Contract §10: a change of the file counts, and the database wins over it for what was changed otherwise."""
    async with configured(database_url, tmp_path, entry()) as running, running.administrator() as administrator:
        (row,) = await listed(administrator)
        await administrator.put(f"{CLIENTS}/{row['id']}", json={"label": "Workflows"})
    async with (
        configured(database_url, tmp_path, entry(client_name="n8n cloud")) as running,
        running.administrator() as administrator,
    ):
        (row,) = await listed(administrator)
        assert (row["client_name"], row["label"]) == ("n8n cloud", "Workflows")
        await administrator.put(f"{CLIENTS}/{row['id']}", json={"redirect_uris": ["https://n8n.example/new"]})
    async with configured(database_url, tmp_path, entry()) as running, running.administrator() as administrator:
        (row,) = await listed(administrator)
        assert (row["client_name"], row["redirect_uris"]) == ("n8n cloud", ["https://n8n.example/new"])


async def test_an_administrator_registers_a_client_and_deletes_it(
    running: TestGateway, administrator: httpx2.AsyncClient
) -> None:
    """Contract §9, A85: the secret is shown once, and a deleted client is unknown."""
    made = await administrator.post(CLIENTS, json={**_new(), "token_endpoint_auth_method": "client_secret_post"})
    assert made.status_code == 201, made.text
    shown = made.json()
    secret = shown.pop("client_secret")
    assert len(secret) >= 22
    assert not shown["client_id"].startswith(("https://", "bfcl_"))
    assert secret not in (await administrator.get(CLIENTS)).text
    registration = {**shown, "client_secret": secret}
    tokens = await tokens_of(running, OAuthClient(running.http, registration))
    assert await opens(running, tokens["access_token"]) == 200
    gone = await administrator.delete(f"{CLIENTS}/{shown['id']}")
    assert gone.status_code == 204
    assert await opens(running, tokens["access_token"]) == 401
    again = await OAuthClient(running.http, registration).refresh(tokens["refresh_token"], client_secret=secret)
    assert error_of(again, 401) == "invalid_client"
    assert (await administrator.get(f"{CLIENTS}/{shown['id']}")).status_code == 404


def _new(**members: Any) -> dict[str, Any]:
    return {"client_name": "Workflows", "redirect_uris": ["https://n8n.example/cb"], **members}


@pytest.mark.parametrize(
    ("members", "param"),
    [
        ({"client_id": "https://n8n.example/c.json"}, "client_id"),
        ({"client_id": "bfcl_x"}, "client_id"),
        ({"client_id": "a b"}, "client_id"),
        ({"redirect_uris": []}, "redirect_uris"),
        ({"redirect_uris": ["https://n8n.example/cb", "http://n8n.example/cb"]}, "redirect_uris"),
        ({"redirect_uris": ["javascript:alert(1)"]}, "redirect_uris"),
        ({"client_secret": "short"}, "client_secret"),
        ({"client_secret": SECRET, "token_endpoint_auth_method": "none"}, "client_secret"),
        ({"token_endpoint_auth_method": "tls_client_auth"}, "token_endpoint_auth_method"),
        ({"token_endpoint_auth_method": "private_key_jwt"}, "jwks"),
        ({"jwks": {"keys": []}}, "jwks"),
        ({"jwks_uri": "ftp://x"}, "jwks"),
        ({"grant_types": ["password"]}, "grant_types"),
        ({"grant_types": ["refresh_token"]}, "grant_types"),
    ],
    ids=str,
)
async def test_what_an_administrator_cannot_register_is_said(
    running: TestGateway, administrator: httpx2.AsyncClient, members: dict[str, Any], param: str
) -> None:
    """Contract §9: nothing is dropped in silence."""
    answer = await administrator.post(CLIENTS, json=_new(**members))
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)
    assert not await running.rows("oauth_clients")


async def test_a_client_id_is_given_once(administrator: httpx2.AsyncClient) -> None:
    """Contract §2: 409."""
    assert (await administrator.post(CLIENTS, json=entry())).status_code == 201
    answer = await administrator.post(CLIENTS, json=entry(client_name="another"))
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "client_taken")


async def test_what_a_client_says_of_itself_is_not_changed_by_others(
    running: TestGateway, administrator: httpx2.AsyncClient, web: Web
) -> None:
    """Contract §3: rename, limit, block; its redirect URIs are in its id or in its document."""
    await tokens_of(running, published(web, running.http))
    (row,) = await listed(administrator)
    for change in ({"redirect_uris": ["https://evil.example/cb"]}, {"client_name": "x"}, {"scope_limit": "admin"}):
        assert (await administrator.put(f"{CLIENTS}/{row['id']}", json=change)).status_code == 400
    assert (await administrator.delete(f"{CLIENTS}/{row['id']}")).status_code == 400
    assert (await administrator.put(f"{CLIENTS}/nobody", json={"blocked": True})).status_code == 404
    assert await listed(administrator) == [row]
