"""The sample services' own authorization server: what it gives, and what it refuses."""

from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx2
import pytest

from bifrost.quickstart import accounts, upstream
from bifrost.quickstart.accounts import Accounts
from tests.support.oauth import pkce

pytestmark = pytest.mark.anyio

ORIGIN = "http://127.0.0.1:8181"
ISSUER, RESOURCE = f"{ORIGIN}/diary", f"{ORIGIN}/diary/mcp"
BACK = "http://localhost:8080/api/oauth/callback"
VERIFIER, CHALLENGE = pkce()
LIST = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}


@pytest.fixture
async def http() -> AsyncIterator[httpx2.AsyncClient]:
    transport = httpx2.ASGITransport(app=upstream.create_app(origin=ORIGIN))
    async with httpx2.AsyncClient(transport=transport, base_url=ORIGIN) as client:
        yield client


async def _request(http: httpx2.AsyncClient, **changes: Any) -> dict[str, Any]:
    registered = await http.post("/diary/register", json={"redirect_uris": [BACK]})
    assert registered.status_code == 201
    query = {
        "response_type": "code",
        "client_id": registered.json()["client_id"],
        "redirect_uri": BACK,
        "code_challenge": CHALLENGE,
        "code_challenge_method": "S256",
        "state": "s t",
        "resource": RESOURCE,
        **changes,
    }
    return {name: value for name, value in query.items() if value is not None}


async def _form(http: httpx2.AsyncClient, account: str = "ann", **changes: Any) -> dict[str, str]:
    """A token request with a fresh code."""
    query = await _request(http)
    answer = await http.post("/diary/sign-in", params=query, data={"account": account})
    assert answer.status_code == 303, answer.text
    response = dict(parse_qsl(urlsplit(answer.headers["location"]).query))
    assert (response["state"], response["iss"]) == ("s t", ISSUER)
    form = {"grant_type": "authorization_code", "client_id": query["client_id"], "code": response["code"]}
    return {**form, "redirect_uri": BACK, "code_verifier": VERIFIER, **changes}


async def test_a_token_opens_the_notebook_of_its_account_alone(http: httpx2.AsyncClient) -> None:
    """RFC 9728 §5.1: without one the answer says where to learn how to get it."""
    refused = await http.post("/diary/mcp", json=LIST)
    assert refused.status_code == 401
    document = refused.headers["www-authenticate"].split('"')[1]
    assert (await http.get(document)).json() == {"resource": RESOURCE, "authorization_servers": [ISSUER]}
    metadata = (await http.get(f"{ORIGIN}/.well-known/oauth-authorization-server/diary")).json()
    assert (metadata["issuer"], metadata["code_challenge_methods_supported"]) == (ISSUER, ["S256"])
    for account in ("ann", "ben"):
        tokens = (await http.post("/diary/token", data=await _form(http, account))).json()
        bearer = {"Authorization": f"Bearer {tokens['access_token']}"}
        for name, arguments in (("add_note", {"text": account}), ("list_notes", {})):
            call = {**LIST, "method": "tools/call", "params": {"name": name, "arguments": arguments}}
            answer = (await http.post("/diary/mcp", json=call, headers=bearer)).json()["result"]
        assert answer["structuredContent"]["notes"] == [{"id": 1, "text": account}]
        assert (await http.post("/recipes/mcp", json=LIST, headers=bearer)).status_code == 401, "another service's"


@pytest.mark.parametrize(
    "changes",
    [
        {"client_id": "unknown"},
        {"redirect_uri": "http://localhost:8080/other"},
        {"redirect_uri": None},
        {"response_type": "token"},
        {"code_challenge_method": "plain"},
        {"code_challenge_method": None},
        {"code_challenge": "short"},
        {"resource": "https://other.example/mcp"},
    ],
)
async def test_a_request_that_is_not_right_leads_nowhere(http: httpx2.AsyncClient, changes: dict[str, Any]) -> None:
    """OAuth 2.1 §4.1.2.1: no page to sign in at, and no redirect."""
    for method in ("GET", "POST"):
        answer = await http.request(method, "/diary/sign-in", params=await _request(http, **changes))
        assert (answer.status_code, "location" in answer.headers) == (400, False)


@pytest.mark.parametrize("account", ["", "  ", "x" * 41])
async def test_the_page_is_shown_again_without_a_usable_name(http: httpx2.AsyncClient, account: str) -> None:
    """And it cannot be framed."""
    answer = await http.post("/diary/sign-in", params=await _request(http), data={"account": account})
    assert answer.status_code == 200
    assert "Sample diary" in answer.text
    assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"code": "guessed"}, "invalid_grant"),
        ({"client_id": "other"}, "invalid_grant"),
        ({"redirect_uri": "http://localhost:8080/other"}, "invalid_grant"),
        ({"code_verifier": "v" * 43}, "invalid_grant"),
        ({"grant_type": "password"}, "unsupported_grant_type"),
        ({"grant_type": "refresh_token", "refresh_token": "guessed"}, "invalid_grant"),
    ],
)
async def test_a_token_request_that_is_not_right_is_refused(
    http: httpx2.AsyncClient, changes: dict[str, str], error: str
) -> None:
    """OAuth 2.1 §3.2.4."""
    answer = await http.post("/diary/token", data=await _form(http, **changes))
    assert (answer.status_code, answer.json()) == (400, {"error": error})


async def test_a_code_and_a_refresh_token_work_once(http: httpx2.AsyncClient) -> None:
    """OAuth 2.1 §§4.1.3, 4.3.1."""
    form = await _form(http)
    tokens = (await http.post("/diary/token", data=form)).json()
    assert (await http.post("/diary/token", data=form)).status_code == 400
    renew = {"grant_type": "refresh_token", "client_id": form["client_id"], "refresh_token": tokens["refresh_token"]}
    assert (await http.post("/diary/token", data=renew)).json()["refresh_token"] != tokens["refresh_token"]
    assert (await http.post("/diary/token", data=renew)).status_code == 400


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"redirect_uris": 5}', b"x" * 70_000])
async def test_a_registration_that_cannot_be_read_is_refused(http: httpx2.AsyncClient, body: bytes) -> None:
    """RFC 7591 §3.2.2."""
    answer = await http.post("/diary/register", content=body)
    assert (answer.status_code, answer.json()) == (400, {"error": "invalid_client_metadata"})


@pytest.mark.parametrize("body", [b"a=1&" * 30, b"\xff=\xff", b"x" * 70_000])
async def test_a_form_that_cannot_be_read_is_refused(http: httpx2.AsyncClient, body: bytes) -> None:
    """Bounded like everything else here."""
    assert (await http.post("/diary/token", content=body)).json() == {"error": "invalid_request"}
    page = await http.post("/diary/sign-in", params=await _request(http), content=body)
    assert (page.status_code, "<form" in page.text) == (200, True)


async def test_only_so_many_clients_are_kept(http: httpx2.AsyncClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """A loop fills the sample and not the machine."""
    monkeypatch.setattr(accounts, "MAX_KEPT", 2)
    first, *_ = [await _request(http) for _ in range(3)]
    assert (await http.get("/diary/sign-in", params=first)).status_code == 400
    assert Accounts("x", ISSUER, RESOURCE).account_of("Bearer x") is None
