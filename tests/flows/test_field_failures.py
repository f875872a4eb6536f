"""What broke for people in the field with other servers, each told once from the outside."""

from pathlib import Path
from typing import Any

import pytest

from tests.flows._hostile_upstream import hostile
from tests.flows._mcp import call, challenge
from tests.flows._tokens import error_of, opens, signed_in
from tests.support import oauth
from tests.support.clock import FakeClock
from tests.support.gateway import ISSUER, VIRTUAL_KEY, TestGateway, running_gateway, upstream
from tests.support.oauth import AUTHORIZE, REGISTER, TOKEN

pytestmark = pytest.mark.anyio

PUBLIC = "https://mcp.example.com"
INTERNAL = "https://mcp.internal.example"
SERVER, RESOURCE, OPENID = (
    "/.well-known/oauth-authorization-server",
    "/.well-known/oauth-protected-resource",
    "/.well-known/openid-configuration",
)


async def test_every_form_of_a_well_known_address_answers(sqlite_url: str, tmp_path: Path) -> None:
    """A5, RS2, R38: with the path inserted for each endpoint; an unknown one is a 404 in JSON and never a page."""
    notes = upstream("notes", "http://127.0.0.1:9/mcp")
    async with running_gateway(sqlite_url, tmp_path, mcp={"client_configs": [notes]}) as running:
        for document in (SERVER, RESOURCE, OPENID):
            for suffix in ("", "/mcp", "/mcp/notes"):
                for method in ("GET", "HEAD", "OPTIONS"):
                    answer = await running.http.request(
                        method,
                        document + suffix,
                        headers={"Origin": "https://page.test", "Access-Control-Request-Method": "GET"},
                    )
                    assert answer.status_code in (200, 204), (method, document, suffix)
            unknown = await running.http.get(f"{document}/mcp/nothing")
            assert unknown.status_code == 404
            assert unknown.headers["content-type"].startswith("application/json")


async def test_the_issuer_is_the_same_bytes_wherever_it_stands(sqlite_url: str, tmp_path: Path) -> None:
    """A4, R39: in both documents, in the authorization response, in a token and in what introspection says of it."""
    async with running_gateway(sqlite_url, tmp_path, client={"jwt_access_tokens_for": ["*"]}) as running:
        said = {
            (await running.http.get(SERVER)).json()["issuer"],
            (await running.http.get(f"{RESOURCE}/mcp")).json()["authorization_servers"][0],
        }
        async with running.browser() as browser, running.administrator() as administrator:
            client = await oauth.register(running.http)
            response = await oauth.approve(browser, await oauth.begin(browser, client))
            said.add(response["iss"])
            tokens = (await client.redeem(response["code"])).json()
            form = {"token": tokens["access_token"]}
            described = (await administrator.post("/api/oauth/per-user/introspect", data=form)).json()
        assert described["aud"] == f"{described['iss']}/mcp"
        assert said | {described["iss"]} == {ISSUER}


@pytest.mark.parametrize("headers", [{}, {"X-Forwarded-Host": "evil.test"}, {"X-Forwarded-Proto": "http"}])
async def test_behind_a_proxy_every_address_is_the_public_one(
    sqlite_url: str, tmp_path: Path, headers: dict[str, str]
) -> None:
    """R40, R41: the request comes over plain http; what it or a forged header says is in no document."""
    async with running_gateway(sqlite_url, tmp_path, server={"public_urls": [PUBLIC]}) as running:
        for path in (SERVER, f"{RESOURCE}/mcp", OPENID):
            answer = await running.http.get(path, headers={"Host": "mcp.example.com", **headers})
            addresses = [value for value in _texts(answer.json()) if "://" in value]
            assert addresses
            assert all(address.startswith(PUBLIC) for address in addresses)
        refused = await running.http.post("/mcp", headers={"Host": "mcp.example.com", **headers})
        assert PUBLIC in refused.headers["www-authenticate"]


async def test_two_names_do_not_mix(sqlite_url: str, tmp_path: Path) -> None:
    """R42: whoever comes by one name is told of the resource by that name; there is one issuer; no third name."""
    async with running_gateway(sqlite_url, tmp_path, server={"public_urls": [PUBLIC, INTERNAL]}) as running:
        for origin in (PUBLIC, INTERNAL):
            host = {"Host": origin.removeprefix("https://")}
            document = (await running.http.get(f"{RESOURCE}/mcp", headers=host)).json()
            assert document["resource"] == f"{origin}/mcp"
            assert document["authorization_servers"] == [PUBLIC]
            refused = await running.http.post("/mcp", headers=host)
            assert f'resource_metadata="{origin}{RESOURCE}/mcp"' in refused.headers["www-authenticate"]
        assert (await running.http.get(SERVER, headers={"Host": "other.example"})).status_code == 421


async def test_a_pasted_address_is_all_that_a_client_needs_to_know(running: TestGateway) -> None:
    """R45, R37, TC-134: no resource, no scope, no state; the challenge leads to the document, that to the server."""
    refused = await running.http.post("/mcp")
    assert refused.headers["www-authenticate"] == challenge("/mcp")
    document = (await running.http.get(f"{RESOURCE}/mcp")).json()
    server = (await running.http.get(f"{RESOURCE.replace('protected-resource', 'authorization-server')}")).json()
    assert document["authorization_servers"] == [server["issuer"]]
    client = await oauth.register(running.http)
    async with running.browser() as browser:
        flow_id = await oauth.begin(browser, client, resource=None, scope=None, state=None)
        response = await oauth.approve(browser, flow_id)
    assert set(response) == {"code", "iss"}
    tokens = (await client.redeem(response["code"])).json()
    assert tokens["scope"] == "mcp:read mcp:write"
    assert await opens(running, tokens["access_token"]) == 200


async def test_a_client_that_guesses_the_addresses_gets_in(running: TestGateway) -> None:
    """A14, R44: `/register`, `/authorize` and `/token` at the root, as clients of 2025-03-26 do without discovery."""
    answer = await running.http.post("/register", json={"client_name": "Old", "redirect_uris": [oauth.REDIRECT_URI]})
    client = oauth.OAuthClient(running.http, answer.json())
    async with running.browser() as browser:
        begun = await browser.get("/authorize", params=client.request(resource=None))
        code = (await oauth.approve(browser, oauth.flow_id_of(begun)))["code"]
    form = {
        "grant_type": "authorization_code",
        "client_id": client.client_id,
        "code": code,
        "code_verifier": client.verifier,
    }
    tokens = (await running.http.post("/token", data=form)).json()
    assert await opens(running, tokens["access_token"]) == 200


async def test_one_step_up_is_enough(sqlite_url: str, tmp_path: Path, clock: FakeClock) -> None:
    """TC-162, R46: a 403 names every scope that is needed, so that nobody who asks for them is sent round again.

    RS7.
    """
    with hostile() as one:
        upstreams = {"client_configs": [upstream("one", one.url)]}
        async with running_gateway(sqlite_url, tmp_path, clock=clock, mcp=upstreams) as running:
            client, tokens = await signed_in(running, scope="mcp:read")
            refused = await _write(running, tokens)
            assert refused.status_code == 403
            asked = refused.headers["www-authenticate"]
            assert 'error="insufficient_scope"' in asked
            scope = asked.partition('scope="')[2].partition('"')[0]
            _client, more = await signed_in(running, scope=scope)
            assert (await _write(running, more)).status_code == 200
            assert error_of(await client.refresh(tokens["refresh_token"], scope=scope)) == "invalid_scope"


async def _write(running: TestGateway, tokens: dict[str, Any]) -> Any:
    return await call(running.http, "one-write", headers={"Authorization": f"Bearer {tokens['access_token']}"})


def _texts(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [text for member in value.values() for text in _texts(member)]
    if isinstance(value, list):
        return [text for member in value for text in _texts(member)]
    return [value] if isinstance(value, str) else []


PAGES = ("/oauth/consent", "/oauth/consent/mcps", AUTHORIZE, "/api/oauth/callback", "/api/oauth2/sessions")
FOR_PROGRAMS = (REGISTER, TOKEN, "/api/oauth/per-user/revoke", SERVER, f"{RESOURCE}/mcp", "/.well-known/jwks.json")


@pytest.mark.parametrize("path", PAGES)
async def test_no_other_origin_reads_what_is_for_people(running: TestGateway, path: str) -> None:
    """A12, TC-157: neither pages nor the management API, also when asked beforehand."""
    origin = {"Origin": "https://evil.test", "Access-Control-Request-Method": "GET"}
    for method in ("GET", "POST", "OPTIONS"):
        answer = await running.http.request(method, path, headers=origin)
        assert not [name for name in answer.headers if name.startswith("access-control-")]


@pytest.mark.parametrize("path", FOR_PROGRAMS)
async def test_a_page_of_any_origin_may_use_what_is_for_programs(running: TestGateway, path: str) -> None:
    """A12, TC-157, R43: without credentials of the browser, and the preflight before anything else."""
    origin = {"Origin": "https://page.test", "Access-Control-Request-Method": "POST"}
    preflight = await running.http.options(path, headers=origin)
    assert preflight.status_code in (200, 204)
    assert preflight.headers["access-control-allow-origin"] in ("*", "https://page.test")
    assert "access-control-allow-credentials" not in preflight.headers


async def test_the_start_page_answers_whoever_only_looks_whether_it_is_there(running: TestGateway) -> None:
    """RFC 9110 §9.1: monitors and previews ask with HEAD."""
    page, head = await running.http.get("/"), await running.http.head("/")
    assert (head.status_code, head.headers["content-type"]) == (200, page.headers["content-type"])


@pytest.mark.parametrize(
    "path",
    ["/docs", "/openapi.json", "/debug", "/.git/config", "/admin", "/api/docs", "/.env", "/static/../config.json"],
)
async def test_nothing_of_the_inside_is_exposed(running: TestGateway, path: str) -> None:
    """TC-161: to nobody who has shown no credential."""
    answer = await running.http.get(path)
    assert answer.status_code in (401, 404)
    assert VIRTUAL_KEY not in answer.text


async def test_no_code_exists_without_a_challenge(running: TestGateway) -> None:
    """TC-029, TC-032: a request whose challenge was taken out on the way starts nothing, and S256 is all there is.

    A27.
    """
    client = await oauth.register(running.http)
    async with running.browser() as browser:
        for stripped in ({"code_challenge": None}, {"code_challenge": None, "code_challenge_method": None}):
            answer = await browser.get(AUTHORIZE, params=client.request(**stripped))
            assert answer.status_code == 400
    assert await running.rows("pending_flows") == []
    assert (await running.http.get(SERVER)).json()["code_challenge_methods_supported"] == ["S256"]
