"""Pushed authorization requests (RFC 9126): the browser carries a name, and what it stands for cannot be changed."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import httpx2
import pytest

from bifrost.authserver.pushed import LIVES_SECONDS
from tests.flows._tokens import basic, error_of, opens, secret_of
from tests.support import oauth
from tests.support.clock import FakeClock
from tests.support.gateway import ISSUER, TestGateway, running_gateway
from tests.support.oauth import AUTHORIZE, OAuthClient

pytestmark = pytest.mark.anyio

PAR = "/api/oauth/per-user/par"
METADATA = "/.well-known/oauth-authorization-server"


@pytest.fixture
async def client(running: TestGateway) -> OAuthClient:
    return await oauth.register(running.http)


async def _push(client: OAuthClient, **changes: Any) -> httpx2.Response:
    return await client.http.post(PAR, data={**client.request(**changes), **secret_of(client)})


async def _pushed(client: OAuthClient, **changes: Any) -> str:
    answer = await _push(client, **changes)
    assert answer.status_code == 201, answer.text
    assert answer.headers["cache-control"] == "no-store"
    assert set(answer.json()) == {"request_uri", "expires_in"}
    assert answer.json()["expires_in"] == LIVES_SECONDS
    return str(answer.json()["request_uri"])


async def _open(running: TestGateway, client: OAuthClient, request_uri: str, **more: str) -> httpx2.Response:
    query = {"client_id": client.client_id, "request_uri": request_uri, **more}
    return await running.http.get(AUTHORIZE, params=query)


async def _refused(running: TestGateway, client: OAuthClient, request_uri: str) -> None:
    answer = await _open(running, client, request_uri)
    assert answer.status_code == 400
    assert "location" not in answer.headers
    assert (answer.json()["error"]["code"], answer.json()["error"]["param"]) == ("invalid_request_uri", "request_uri")


async def test_a_pushed_request_leads_to_tokens(running: TestGateway, client: OAuthClient) -> None:
    """RFC 9126 §§2.2, 4, A92: from the name alone; state and everything else come from what was pushed."""
    request_uri = await _pushed(client, scope="mcp:read")
    async with running.browser() as browser:
        query = {"client_id": client.client_id, "request_uri": request_uri}
        begun = await browser.get(AUTHORIZE, params=query)
        assert begun.status_code == 302
        response = await oauth.approve(browser, oauth.flow_id_of(begun))
    assert response["state"] == client.state
    tokens = (await client.redeem(response["code"])).json()
    assert tokens["scope"] == "mcp:read"
    assert await opens(running, tokens["access_token"]) == 200


async def test_what_stands_beside_the_name_changes_nothing(running: TestGateway, client: OAuthClient) -> None:
    """RFC 9126 §4, RFC 9101 §6.3: only what was pushed counts."""
    request_uri = await _pushed(client, scope="mcp:read")
    more = {"scope": "mcp:write", "state": "other", "redirect_uri": "https://evil.test/", "code_challenge": "x" * 43}
    assert (await _open(running, client, request_uri, **more)).status_code == 302
    (flow,) = await running.rows("pending_flows")
    assert (flow["scope"], flow["state"], flow["redirect_uri"]) == ("mcp:read", client.state, oauth.REDIRECT_URI)
    assert flow["code_challenge"] == client.challenge


async def test_each_name_leads_to_what_was_pushed_for_it(running: TestGateway, client: OAuthClient) -> None:
    """RFC 9126 §2.2: and using one leaves the others."""
    reading, writing = await _pushed(client, scope="mcp:read"), await _pushed(client, scope="mcp:write")
    assert (await _open(running, client, writing)).status_code == 302
    assert (await _open(running, client, reading)).status_code == 302
    assert sorted(flow["scope"] for flow in await running.rows("pending_flows")) == ["mcp:read", "mcp:write"]


async def test_a_name_is_good_once(running: TestGateway, client: OAuthClient) -> None:
    """A92, RFC 9126 §7.3: a link that was seen is worth nothing afterwards."""
    request_uri = await _pushed(client)
    assert (await _open(running, client, request_uri)).status_code == 302
    await _refused(running, client, request_uri)


@pytest.mark.parametrize(("seconds", "status"), [(LIVES_SECONDS - 1, 302), (LIVES_SECONDS, 400)])
async def test_a_name_is_good_for_a_moment(
    running: TestGateway, clock: FakeClock, client: OAuthClient, seconds: int, status: int
) -> None:
    """A92, RFC 9126 §4: expired names are refused."""
    request_uri = await _pushed(client)
    clock.advance(seconds=seconds)
    assert (await _open(running, client, request_uri)).status_code == status


async def test_a_name_is_its_clients_alone(running: TestGateway, client: OAuthClient) -> None:
    """A92, RFC 9126 §2.2: bound to the client that pushed; who tries it does not use it up."""
    request_uri = await _pushed(client)
    other = await oauth.register(running.http, client_name="Other")
    await _refused(running, other, request_uri)
    without = await running.http.get(AUTHORIZE, params={"request_uri": request_uri})
    assert without.json()["error"]["param"] == "client_id"
    assert (await _open(running, client, request_uri)).status_code == 302


@pytest.mark.parametrize(
    "name", ["urn:ietf:params:oauth:request_uri:unknown", "https://evil.test/request", "http://127.0.0.1:9/", "x"]
)
async def test_a_name_that_was_not_given_leads_nowhere(running: TestGateway, client: OAuthClient, name: str) -> None:
    """RFC 9126 §7.1, RFC 9101 §10.4: nothing is fetched from an address in a request."""
    await _refused(running, client, name)


async def test_names_cannot_be_guessed(running: TestGateway, client: OAuthClient) -> None:
    """RFC 9126 §7.1: 256 random bits, of which a hash is kept."""
    names = {await _pushed(client) for _ in range(20)}
    assert len(names) == 20
    assert {len(name.rpartition(":")[2]) for name in names} == {43}
    stored = repr(await running.rows("pushed_requests"))
    assert not [name for name in names if name in stored]


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "no challenge": ({"code_challenge": None}, "invalid_request"),
    "plain": ({"code_challenge_method": "plain"}, "invalid_request"),
    "response type": ({"response_type": "token"}, "unsupported_response_type"),
    "redirect": ({"redirect_uri": "https://evil.test/"}, "invalid_redirect_uri"),
    "resource": ({"resource": "https://evil.test/mcp"}, "invalid_target"),
    "a name": ({"request_uri": "urn:ietf:params:oauth:request_uri:x"}, "invalid_request"),
    "an object": ({"request": "eyJ"}, "invalid_request"),
    "much too long": ({"state": "s" * 4_000, "scope": "x" * 4_000, "resource": "y" * 4_000}, "invalid_request"),
}


@pytest.mark.parametrize("wrong", WRONG)
async def test_a_wrong_request_is_refused_when_it_is_pushed(
    running: TestGateway, client: OAuthClient, wrong: str
) -> None:
    """A92, RFC 9126 §2.3: as the authorization endpoint would, and in the form of the token endpoint."""
    changes, code = WRONG[wrong]
    assert error_of(await _push(client, **changes)) == code
    assert await running.rows("pushed_requests") == []


async def test_a_client_that_is_not_known_pushes_nothing(running: TestGateway, client: OAuthClient) -> None:
    """RFC 9126 §2.1: client authentication as at the token endpoint."""
    assert error_of(await _push(client, client_id="bfcl_unknown"), 401) == "invalid_client"
    assert error_of(await _push(client, client_id=None)) == "invalid_request"
    confidential = await oauth.register(running.http, token_endpoint_auth_method="client_secret_basic")
    form = confidential.request()
    assert error_of(await running.http.post(PAR, data=form), 401) == "invalid_client"
    secret = confidential.registration["client_secret"]
    headers = {"Authorization": basic(confidential.client_id, secret)}
    form.pop("client_id")
    assert (await running.http.post(PAR, data=form, headers=headers)).status_code == 201
    assert secret not in repr(await running.rows("pushed_requests"))


async def test_a_secret_in_the_form_is_not_kept(running: TestGateway) -> None:
    """TC-179."""
    confidential = await oauth.register(running.http, token_endpoint_auth_method="client_secret_post")
    await _pushed(confidential)
    assert confidential.registration["client_secret"] not in repr(await running.rows("pushed_requests"))


async def test_other_methods_and_repetitions_are_refused(running: TestGateway, client: OAuthClient) -> None:
    """RFC 9126 §2.3: 405 for anything but POST; one meaning for every parameter."""
    assert (await running.http.get(PAR)).status_code == 405
    body = urlencode([*client.request().items(), ("state", "second")])
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    assert error_of(await running.http.post(PAR, content=body, headers=headers)) == "invalid_request"


async def test_pushing_can_be_required(sqlite_url: str, tmp_path: Path) -> None:
    """RFC 9126 §5, A93: and the metadata says so."""
    required = {"require_pushed_authorization_requests": True}
    async with running_gateway(sqlite_url, tmp_path, client=required) as running:
        client = await oauth.register(running.http)
        plain = await running.http.get(AUTHORIZE, params=client.request())
        assert (plain.status_code, plain.json()["error"]["param"]) == (400, "request_uri")
        assert (await _open(running, client, await _pushed(client))).status_code == 302
        assert (await running.http.get(METADATA)).json()["require_pushed_authorization_requests"] is True


async def test_metadata_says_where_to_push(running: TestGateway) -> None:
    """RFC 9126 §5: offered, and not required."""
    document = (await running.http.get(METADATA)).json()
    assert document["pushed_authorization_request_endpoint"] == f"{ISSUER}{PAR}"
    assert "require_pushed_authorization_requests" not in document


async def test_what_nobody_came_for_is_swept_away(running: TestGateway, clock: FakeClock, client: OAuthClient) -> None:
    """TC-086: a minute after it has expired, and not an hour, in which anybody may push some more."""
    await _pushed(client)
    clock.advance(seconds=120)
    late = await _pushed(client)
    await running.gateway.sweeper.sweep()
    assert len(await running.rows("pushed_requests")) == 2, "another process may still take it"
    clock.advance(seconds=31)
    await running.gateway.sweeper.sweep()
    assert len(await running.rows("pushed_requests")) == 1
    assert (await _open(running, client, late)).status_code == 302
    assert await running.rows("pushed_requests") == []


@pytest.fixture
async def on_both(database_url: str, tmp_path: Path, clock: FakeClock) -> AsyncIterator[TestGateway]:
    async with running_gateway(database_url, tmp_path, clock=clock) as started:
        yield started


async def test_of_browsers_that_come_at_once_one_gets_in(on_both: TestGateway) -> None:
    """RFC 9126 §7.3: taken in one statement, on both databases."""

    client = await oauth.register(on_both.http)
    request_uri = await _pushed(client)
    answers = await asyncio.gather(*(_open(on_both, client, request_uri) for _ in range(10)))
    assert sorted(answer.status_code for answer in answers) == [302] + [400] * 9
