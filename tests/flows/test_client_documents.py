"""A client id that is the address of a metadata document: what is taken, and what is refused."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.flows import _documents as documents
from tests.flows._documents import LOOPBACK_URI, URL, ask, client_of, document, published, refused
from tests.flows._tokens import opens
from tests.support import oauth
from tests.support.clock import FakeClock
from tests.support.gateway import TestGateway, running_gateway
from tests.support.oauth import OAuthClient
from tests.support.web import Web

pytestmark = pytest.mark.anyio

METADATA = "/.well-known/oauth-authorization-server"


@pytest.fixture
def web() -> Iterator[Web]:
    with Web().instead_of_the_network() as standing:
        yield standing


async def test_a_published_client_signs_in_without_registering(running: TestGateway, web: Web) -> None:
    """Contract §3, A70, R29: one resolver at every endpoint, from authorize to refresh and revoke."""
    client = published(web, running.http)
    client.registration["redirect_uris"] = ["http://127.0.0.1:52505/callback"]
    async with running.browser() as browser:
        code = (await oauth.approve(browser, await oauth.begin(browser, client)))["code"]
    tokens = (await client.redeem(code, redirect_uri="http://127.0.0.1:52505/callback")).json()
    assert await opens(running, tokens["access_token"]) == 200
    refreshed = (await client.refresh(tokens["refresh_token"])).json()
    gone = await running.http.post(
        "/api/oauth/per-user/revoke", data={"client_id": URL, "token": refreshed["refresh_token"]}
    )
    assert gone.status_code == 200
    assert await opens(running, refreshed["access_token"]) == 401
    assert web.fetched == [URL], "the document is fetched once"
    (grant,) = await running.rows("grants")
    assert grant["client_id"] == URL


async def test_the_person_sees_the_domain_that_vouches(running: TestGateway, web: Web) -> None:
    """Contract §5, A36, TC-077: a verified domain, and still where the sign-in goes."""
    client = published(web, running.http, client_name="Totally Official")
    async with running.browser() as browser:
        flow_id = await oauth.begin(browser, client, redirect_uri="https://app.example.com/callback")
        page = await browser.get("/oauth/consent", params={"flow_id": flow_id})
    assert "Verified domain" in page.text
    assert ">app.example.com<" in page.text
    assert "Not verified" not in page.text


@pytest.mark.parametrize("listed", ["http://127.0.0.1/callback", "http://127.0.0.1:33418/callback"])
@pytest.mark.parametrize("port", ["", ":52505", ":33418"])
async def test_a_loopback_redirect_matches_on_any_port(running: TestGateway, web: Web, listed: str, port: str) -> None:
    """R27, R28, A74: whether the document lists a port or not."""
    made = document(redirect_uris=[listed])
    web.publish(URL, made)
    client = client_of(running.http, made, f"http://127.0.0.1{port}/callback")
    assert (await ask(running, client)).status_code == 302


@pytest.mark.parametrize(
    "uri",
    ["http://127.0.0.1/other", "https://127.0.0.1/callback", "https://app.example.com:444/callback"]
    + ["https://app.example.com/callback/", "http://localhost/callback", "https://evil.example/callback"],
)
async def test_any_other_redirect_is_refused(running: TestGateway, web: Web, uri: str) -> None:
    """A74, R27: scheme, host, path and query are exact, and so is the port of a remote one."""
    client = published(web, running.http)
    answer = await ask(running, client, redirect_uri=uri)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "redirect_uri")


async def test_the_port_of_the_authorization_request_is_the_one_of_the_token_request(
    running: TestGateway, web: Web
) -> None:
    """R30: at the token endpoint the redirect is the one bound to the code, byte for byte."""
    client = published(web, running.http)
    async with running.browser() as browser:
        flow_id = await oauth.begin(browser, client, redirect_uri="http://127.0.0.1:52505/callback")
        code = (await oauth.approve(browser, flow_id))["code"]
    other = await client.redeem(code, redirect_uri="http://127.0.0.1:52506/callback")
    assert (other.status_code, other.json()["error"]) == (400, "invalid_grant")
    assert (await client.redeem(code, redirect_uri="http://127.0.0.1:52505/callback")).status_code == 200


BAD: list[tuple[dict[str, Any], str]] = [
    ({"client_id": "https://app.example.com/oauth/client.JSON"}, "its own address"),
    ({"client_id": "https://app.example.com/oauth/client.json/"}, "its own address"),
    ({"client_id": "https://app.example.com:443/oauth/client.json"}, "its own address"),
    ({"client_id": None}, "its own address"),
    ({"client_name": None}, "client_name"),
    ({"client_name": 7}, "client_name"),
    ({"redirect_uris": None}, "redirect_uris"),
    ({"redirect_uris": []}, "redirect_uris"),
    ({"redirect_uris": ["http://app.example.com/cb", "javascript:alert(1)"]}, "No redirect URI is acceptable"),
    ({"client_secret": "s3cret"}, "secret"),
    ({"client_secret_expires_at": 0}, "secret"),
    ({"token_endpoint_auth_method": "client_secret_basic"}, "token_endpoint_auth_method"),
    ({"token_endpoint_auth_method": "client_secret_post"}, "token_endpoint_auth_method"),
    ({"token_endpoint_auth_method": "client_secret_jwt"}, "token_endpoint_auth_method"),
    ({"token_endpoint_auth_method": "private_key_jwt"}, "jwks or jwks_uri"),
    ({"grant_types": ["client_credentials"]}, "grant type"),
    ({"response_types": ["token"]}, "response type"),
    ({"jwks": {"keys": [{"kty": "oct", "k": "AAAA"}]}}, "private or symmetric"),
    ({"jwks": {"keys": [{"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA", "d": "AA"}]}}, "private or symmetric"),
    ({"jwks": {"keys": "none"}}, "key set"),
]


@pytest.mark.parametrize(("changes", "reason"), BAD, ids=lambda value: str(value)[:60])
async def test_a_document_that_breaks_a_rule_is_refused(
    running: TestGateway, web: Web, changes: dict[str, Any], reason: str
) -> None:
    """TC-102, A72, A73, A79: said in words, cached by nobody, and good again as soon as it is put right."""
    client = client_of(running.http, document())
    web.publish(URL, document(**changes))
    assert reason in await refused(running, client)
    web.publish(URL, document())
    assert (await ask(running, client)).status_code == 302


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"<html>", "application/json"),
        (b"[]", "application/json"),
        (b"7", "application/json"),
        (json.dumps(document()).encode(), "text/html"),
        (json.dumps(document()).encode(), ""),
        (json.dumps(document()).encode(), "application/javascript"),
        (json.dumps(document()).replace('"client_name"', '"client_id"').encode(), "application/json"),
        (json.dumps(document()).encode("utf-16"), "application/json"),
    ],
)
async def test_what_is_not_a_json_object_is_refused(
    running: TestGateway, web: Web, body: bytes, content_type: str
) -> None:
    """TC-102, A72: the kind, one reading only, no member twice."""
    web.publish(URL, body, headers={"Content-Type": content_type})
    await refused(running, client_of(running.http, document()))


@pytest.mark.parametrize(
    "content_type", ["application/json", "application/json; charset=utf-8", "application/client-metadata+json"]
)
async def test_any_kind_of_json_is_taken(running: TestGateway, web: Web, content_type: str) -> None:
    """A72: application/json, or a type that ends in +json."""
    client = published(web, running.http, headers={"Content-Type": content_type})
    assert (await ask(running, client)).status_code == 302


async def test_grants_that_are_not_offered_here_are_left_out(running: TestGateway, web: Web) -> None:
    """R31: a document that also lists the device grant, as one well-known editor's does."""
    device = "urn:ietf:params:oauth:grant-type:device_code"
    client = published(web, running.http, grant_types=["authorization_code", "refresh_token", device])
    assert (await ask(running, client)).status_code == 302


async def test_a_document_without_an_authentication_method_is_public(running: TestGateway, web: Web) -> None:
    """Draft §4.1: RFC 7591's default would be a shared secret, which a document cannot have."""
    client = published(web, running.http, token_endpoint_auth_method=None)
    assert (await ask(running, client)).status_code == 302


@pytest.mark.parametrize(
    "url",
    [
        "http://app.example.com/client.json",
        "https://app.example.com",
        "https://user@app.example.com/client.json",
        "https://user:pass@app.example.com/client.json",
        "https://app.example.com/client.json#f",
        "https://app.example.com/client.json#",
        "https://app.example.com/a/../client.json",
        "https://app.example.com/a/%2e%2E/client.json",
        "https://app.example.com/./client.json",
        "https://app.example.com/..",
        "https://app.example.com\\client.json",
        "https://app.example.com./client.json",
        "https://app.example.com:0/client.json",
        "https://app.example.com /client.json",
        "https://\u0430pp.example.com/client.json",
        "https://192.0.2.7/client.json",
        "https://2130706433/client.json",
        "https://[2001:db8::1]/client.json",
        "https:///client.json",
        "https://app.example.com/" + "x" * 2_048,
    ],
)
async def test_an_address_of_the_wrong_form_is_not_fetched(running: TestGateway, web: Web, url: str) -> None:
    """A70, TC-102: https, a name, a path, nothing hidden; the host sees no request."""
    await refused(running, OAuthClient(running.http, {"client_id": url, "redirect_uris": [LOOPBACK_URI]}))
    assert not web.fetched


async def test_an_id_that_only_differs_in_its_port_is_another_client(running: TestGateway, web: Web) -> None:
    """A70: ids are compared as strings, so `:443` is not the same."""
    published(web, running.http)
    other = OAuthClient(running.http, {"client_id": URL.replace(".com/", ".com:443/"), "redirect_uris": [LOOPBACK_URI]})
    await refused(running, other)
    assert web.fetched == [other.client_id]


async def test_documents_can_be_switched_off(sqlite_url: str, tmp_path: Path, web: Web) -> None:
    """A9, contract §3: then they are not advertised, and an id that is one is refused with the reason."""
    switches = {"client_id_metadata_documents": False}
    async with running_gateway(sqlite_url, tmp_path, client=switches) as running:
        advertised = (await running.http.get(METADATA)).json()
        assert "client_id_metadata_document_supported" not in advertised
        assert "switched off" in await refused(running, published(web, running.http))
        answer = await published(web, running.http).redeem("bfac_x")
        assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")
    assert not web.fetched


@pytest.mark.parametrize(
    ("policy", "url", "admitted"),
    [
        ({"client_id_metadata_allowed_hosts": ["app.example.com"]}, URL, True),
        ({"client_id_metadata_allowed_hosts": ["example.com"]}, URL, False),
        ({"client_id_metadata_allowed_hosts": ["*.example.com"]}, URL, True),
        ({"client_id_metadata_allowed_hosts": ["*.example.com"]}, "https://example.com/c.json", False),
        ({"client_id_metadata_allowed_hosts": ["*.example.com"]}, "https://evilexample.com/c.json", False),
        ({"client_id_metadata_blocked_hosts": ["app.example.com"]}, URL, False),
        ({"client_id_metadata_blocked_hosts": ["*.example.com"]}, URL, False),
        ({"client_id_metadata_blocked_hosts": ["APP.example.com"]}, URL.replace("app", "App"), False),
        ({"client_id_metadata_blocked_hosts": ["app.example.com"]}, URL.replace(".com/", ".com:8443/"), False),
        ({"client_id_metadata_blocked_hosts": ["other.example.com"]}, URL, True),
    ],
)
async def test_an_operator_says_whose_documents_are_read(
    sqlite_url: str, tmp_path: Path, web: Web, policy: dict[str, Any], url: str, *, admitted: bool
) -> None:
    """A80, R34: allowed and blocked hosts; a host that is not allowed is not asked."""
    async with running_gateway(sqlite_url, tmp_path, client=policy) as running:
        client = published(web, running.http, client_id=url)
        if admitted:
            assert (await ask(running, client)).status_code == 302
        else:
            assert "not allowed" in await refused(running, client)
    assert bool(web.fetched) is admitted


async def test_a_client_that_is_unknown_at_the_token_endpoint_is_told_to_register(
    running: TestGateway, web: Web
) -> None:
    """R15, contract §6: 401 invalid_client for a document that is gone, or that nobody could ever read."""
    client = client_of(running.http, document())
    for silent in (False, True):
        web.publish(URL, b"", status=404)
        if silent:
            web.down(URL)
        answer = await client.redeem("bfac_x")
        assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")


async def test_the_rows_of_a_stranger_fill_nothing(running: TestGateway, web: Web, clock: FakeClock) -> None:
    """Contract §3: a document is kept in the database only once somebody has allowed its client."""
    for number in range(5):
        client = published(web, running.http, client_id=f"https://app.example.com/{number}.json")
        assert (await ask(running, client)).status_code == 302
    assert not await running.rows("oauth_clients")
    async with running.browser() as browser:
        await oauth.approve(browser, await oauth.begin(browser, client))
    (row,) = await running.rows("oauth_clients")
    assert (row["client_id"], row["origin"], row["consented_at"]) == (client.client_id, "document", clock.now())
    assert documents.LOOPBACK_URI in row["metadata"]
