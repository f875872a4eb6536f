"""What is chosen for one client and no other: the form of its access tokens, and that its requests are pushed."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.flows._documents import published
from tests.flows._tokens import error_of, opens
from tests.support import oauth
from tests.support.clock import FakeClock
from tests.support.gateway import TestGateway, running_gateway
from tests.support.oauth import AUTHORIZE, REDIRECT_URI, OAuthClient
from tests.support.web import Web

pytestmark = pytest.mark.anyio

CLIENTS = "/api/oauth2/clients"
PAR = "/api/oauth/per-user/par"
DEFINED = {"client_id": "report", "client_name": "Report", "redirect_uris": [REDIRECT_URI]}
CONSENTED = "a client that registered itself"


@pytest.fixture
def web() -> Iterator[Web]:
    with Web().instead_of_the_network() as standing:
        yield standing


@pytest.fixture
async def administrator(running: TestGateway) -> AsyncIterator[httpx2.AsyncClient]:
    async with running.administrator() as http:
        yield http


async def _tokens(running: TestGateway, client: OAuthClient) -> dict[str, Any]:
    async with running.browser() as browser:
        code = (await oauth.approve(browser, await oauth.begin(browser, client)))["code"]
    answer = await client.redeem(code)
    assert answer.status_code == 200, answer.text
    tokens: dict[str, Any] = answer.json()
    return tokens


async def _plain(running: TestGateway, client: OAuthClient) -> tuple[int, str]:
    """What an authorization request that was not pushed gets."""
    answer = await running.http.get(AUTHORIZE, params=client.request())
    return answer.status_code, "" if answer.status_code == 302 else answer.json()["error"]["param"]


async def _by_name(running: TestGateway, client: OAuthClient) -> int:
    pushed = await running.http.post(PAR, data=client.request())
    assert pushed.status_code == 201, pushed.text
    query = {"client_id": client.client_id, "request_uri": pushed.json()["request_uri"]}
    return int((await running.http.get(AUTHORIZE, params=query)).status_code)


def _configured(**members: Any) -> dict[str, Any]:
    return {"registered_clients": [{**DEFINED, **members}]}


async def test_the_configuration_chooses_jwts_for_one_client(database_url: str, tmp_path: Path) -> None:
    """Contract §6: a per-client option; the others' tokens stay opaque."""
    async with running_gateway(database_url, tmp_path, client=_configured(access_token_format="jwt")) as running:
        token = (await _tokens(running, OAuthClient(running.http, DEFINED)))["access_token"]
        assert token.startswith("eyJ")
        assert await opens(running, token) == 200
        other = await oauth.register(running.http)
        assert (await _tokens(running, other))["access_token"].startswith("bfat_")


async def test_an_administrator_chooses_the_form_for_the_next_token(
    running: TestGateway, administrator: httpx2.AsyncClient
) -> None:
    """Contract §§6, 9: what is out stays as it is; a refresh gives the new form."""
    made = await administrator.post(CLIENTS, json={**DEFINED, "access_token_format": "jwt"})
    assert (made.status_code, made.json()["access_token_format"]) == (201, "jwt")
    client = OAuthClient(running.http, DEFINED)
    tokens = await _tokens(running, client)
    assert tokens["access_token"].startswith("eyJ")
    path = f"{CLIENTS}/{made.json()['id']}"
    changed = await administrator.put(path, json={"access_token_format": "opaque"})
    assert (changed.status_code, changed.json()["access_token_format"]) == (200, "opaque")
    fresh = (await client.refresh(tokens["refresh_token"])).json()
    assert fresh["access_token"].startswith("bfat_")
    assert await opens(running, tokens["access_token"]) == 200


async def test_a_form_that_is_none_is_refused(administrator: httpx2.AsyncClient) -> None:
    """Contract §9: nothing is taken for something else."""
    answer = await administrator.post(CLIENTS, json={**DEFINED, "access_token_format": "JWT"})
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "access_token_format")


@pytest.mark.parametrize("how", ["configuration", "API", "registration", "document"])
async def test_a_client_that_pushes_takes_part_in_no_other_way(
    sqlite_url: str, tmp_path: Path, clock: FakeClock, web: Web, how: str
) -> None:
    """RFC 9126 §6, A93: honoured wherever the client says so, and of nobody else."""
    pushing = {"require_pushed_authorization_requests": True}
    configured = _configured(**pushing) if how == "configuration" else {}
    async with running_gateway(sqlite_url, tmp_path, clock=clock, client=configured) as running:
        if how == "API":
            async with running.administrator() as administrator:
                shown = (await administrator.post(CLIENTS, json={**DEFINED, **pushing})).json()
                assert shown["require_pushed_authorization_requests"] is True
        client = OAuthClient(running.http, DEFINED)
        if how == "registration":
            client = await oauth.register(running.http, **pushing)
            assert client.registration["require_pushed_authorization_requests"] is True
        elif how == "document":
            client = published(web, running.http, **pushing)
        assert await _plain(running, client) == (400, "request_uri")
        assert await _by_name(running, client) == 302
        assert await _plain(running, await oauth.register(running.http)) == (302, "")


async def test_an_administrator_lets_a_client_go_on_without_pushing(
    running: TestGateway, administrator: httpx2.AsyncClient
) -> None:
    """Contract §9: changed like any other member of a pre-registered client."""
    made = await administrator.post(CLIENTS, json={**DEFINED, "require_pushed_authorization_requests": True})
    client = OAuthClient(running.http, DEFINED)
    assert await _plain(running, client) == (400, "request_uri")
    path = f"{CLIENTS}/{made.json()['id']}"
    assert (await administrator.put(path, json={"require_pushed_authorization_requests": False})).status_code == 200
    assert await _plain(running, client) == (302, "")


async def test_the_choices_of_a_client_that_defines_itself_are_its_own(
    running: TestGateway, administrator: httpx2.AsyncClient
) -> None:
    """Contract §3: an administrator renames, limits and blocks it."""
    await _tokens(running, await oauth.register(running.http, client_name=CONSENTED))
    (row,) = (await administrator.get(CLIENTS, params={"search": CONSENTED})).json()["clients"]
    for change in ({"access_token_format": "jwt"}, {"require_pushed_authorization_requests": True}):
        answer = await administrator.put(f"{CLIENTS}/{row['id']}", json=change)
        assert (answer.status_code, answer.json()["error"]["param"]) == (400, next(iter(change)))


async def test_a_choice_that_is_no_truth_value_is_refused(running: TestGateway) -> None:
    """RFC 7591 §3.2.2: not guessed at."""
    body = {"redirect_uris": [REDIRECT_URI], "require_pushed_authorization_requests": "true"}
    assert error_of(await running.http.post(oauth.REGISTER, json=body)) == "invalid_client_metadata"


@pytest.mark.parametrize("wish", ["require_signed_request_object", "tls_client_certificate_bound_access_tokens"])
async def test_a_wish_that_is_not_kept_is_refused(running: TestGateway, web: Web, wish: str) -> None:
    """RFC 9101 §10.5, RFC 8705 §3.4: a client that relies on it must not believe that it is heard."""
    body = {"redirect_uris": [REDIRECT_URI], wish: True}
    refused = await running.http.post(oauth.REGISTER, json=body)
    assert error_of(refused) == "invalid_client_metadata"
    assert wish in refused.json()["error_description"]
    plain = await running.http.get(AUTHORIZE, params=published(web, running.http, **{wish: True}).request())
    assert (plain.status_code, plain.json()["error"]["param"]) == (400, "client_id")
    for harmless in (False, None):
        registered = await oauth.register(running.http, **{wish: harmless})
        assert wish not in registered.registration
        assert await _plain(running, registered) == (302, "")


@pytest.mark.parametrize("value", ["eyJhbGciOiJub25lIn0.e30.", "x"])
async def test_a_request_object_is_never_passed_over(running: TestGateway, value: str) -> None:
    """RFC 9101 §6.3, OpenID Connect Core §3.1.2.6: what was signed is what is meant, not what stands beside it."""
    client = await oauth.register(running.http)
    answer = await running.http.get(AUTHORIZE, params=client.request(request=value))
    assert answer.status_code == 400
    assert (answer.json()["error"]["code"], answer.json()["error"]["param"]) == ("request_not_supported", "request")
    empty = await running.http.get(AUTHORIZE, params=client.request(request=""))
    assert empty.status_code == 302, "an empty value counts as absent"
