"""POST register: what the answer says, what an id carries, and that nothing is remembered."""

import hashlib
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest

from bifrost.app import build
from bifrost.base.sealing import KeyRing
from bifrost.settings import load
from tests.flows._raw import ask, everything
from tests.support import oauth
from tests.support.clock import START, FakeClock
from tests.support.gateway import ISSUER, TestGateway, configuration
from tests.support.oauth import REGISTER, OAuthClient

pytestmark = pytest.mark.anyio

CURSOR = [
    "cursor://anysphere.cursor-mcp/oauth/callback",
    "https://www.cursor.com/agents/mcp/oauth/callback",
    "http://localhost:8787/callback",
]
BASE = {"client_name": "Test client", "redirect_uris": ["http://127.0.0.1/cb"]}


def members(value: Any) -> list[Any]:
    """Every value in a JSON document, at any depth."""
    if isinstance(value, dict):
        return [value, *(inner for member in value.values() for inner in members(member))]
    if isinstance(value, list):
        return [value, *(inner for member in value for inner in members(member))]
    return [value]


@asynccontextmanager
async def _with_keys(directory: Path, *keys: bytes) -> AsyncIterator[httpx2.AsyncClient]:
    """A server with a database of its own and these keys, the sealing one first."""
    url = f"sqlite:///{directory / keys[0].hex()[:8]}-{len(keys)}.db"
    gateway = build(load(None, {}, configuration(url, directory)), clock=FakeClock(), ring=KeyRing(keys))
    transport = httpx2.ASGITransport(app=gateway.app)
    async with gateway.lifespan(), httpx2.AsyncClient(transport=transport, base_url=ISSUER) as http:
        yield http


@pytest.mark.parametrize("path", [REGISTER, "/register"])
async def test_the_answer_says_everything_that_was_accepted(running: TestGateway, path: str) -> None:
    """A79, A81, contract §3, RFC 7591 §3.2.1, TC-093; also at the root, for clients that skip discovery."""
    answer = await running.http.post(path, json=BASE)
    assert answer.status_code == 201
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["x-request-id"]
    assert "location" not in answer.headers
    assert "set-cookie" not in answer.headers
    body = answer.json()
    client_id = body.pop("client_id")
    assert 22 <= len(client_id) <= 2_048
    assert not client_id.startswith("https://")
    assert body == {
        "client_id_issued_at": START // 1_000,
        "client_name": "Test client",
        "redirect_uris": ["http://127.0.0.1/cb"],
        "grant_types": ["authorization_code", "refresh_token"],
        "response_types": ["code"],
        "token_endpoint_auth_method": "none",
    }


async def test_every_informative_member_is_echoed(running: TestGateway) -> None:
    """A83, contract §3: every accepted member is echoed as it was sent, and what is unknown is not."""
    sent = {
        "client_name": 'Zoë\'s "Client" 😀 <b>',
        "redirect_uris": ["https://app.test/cb?x=%7E", "com.example.app:/cb"],
        "grant_types": ["authorization_code"],
        "response_types": ["code"],
        "token_endpoint_auth_method": "none",
        "scope": "mcp:read openid",
        "client_uri": "https://app.test/",
        "logo_uri": "https://app.test/logo.png",
        "policy_uri": "https://app.test/policy",
        "tos_uri": "https://app.test/tos",
        "software_id": "4NRB1-0XZABZI9E6-5SM3R",
        "software_version": "2.2",
        "application_type": "native",
    }
    answer = await running.http.post(REGISTER, json={**sent, "x_unknown": {"deep": [1, None, {"y": True}]}})
    assert answer.status_code == 201, answer.text
    body = answer.json()
    assert {name: body.get(name) for name in sent} == sent
    assert body.keys() == {*sent, "client_id", "client_id_issued_at"}


@pytest.mark.parametrize("method", ["none", "client_secret_post", "client_secret_basic"])
async def test_the_answer_has_no_nulls(running: TestGateway, method: str) -> None:
    """Contract §3 and R20: some clients die of a null, also where they sent one themselves."""
    nulls = dict.fromkeys(("client_name", "scope", "client_uri", "logo_uri", "software_id", "grant_types", "jwks"))
    answer = await running.http.post(REGISTER, json={**nulls, **BASE, "token_endpoint_auth_method": method})
    assert answer.status_code == 201
    assert None not in members(answer.json())
    assert [] not in members(answer.json())
    assert "" not in members(answer.json())


async def test_a_name_is_not_needed(running: TestGateway) -> None:
    """RFC 7591 §2: only redirect_uris is required here."""
    answer = await running.http.post(REGISTER, json={"redirect_uris": ["http://127.0.0.1/cb"]})
    assert answer.status_code == 201
    assert "client_name" not in answer.json()


@pytest.mark.parametrize("method", ["client_secret_post", "client_secret_basic"])
async def test_a_confidential_client_gets_a_secret_that_does_not_expire(running: TestGateway, method: str) -> None:
    """A81, contract §3: client_secret_expires_at is 0 whenever there is a secret."""
    first, second = [
        (await running.http.post(REGISTER, json={**BASE, "token_endpoint_auth_method": method})).json()
        for _client in range(2)
    ]
    assert first["token_endpoint_auth_method"] == method
    assert first["client_secret_expires_at"] == 0
    assert len(first["client_secret"]) >= 22
    # a nonce in the id: two confidential clients that call themselves the same do not share a secret
    assert first["client_id"] != second["client_id"]
    assert first["client_secret"] != second["client_secret"]
    assert first["client_secret"] not in first["client_id"]


async def test_a_public_client_gets_no_secret(running: TestGateway) -> None:
    """A82, contract §3: `none` is the default."""
    for method in ({}, {"token_endpoint_auth_method": "none"}, {"token_endpoint_auth_method": None}):
        body = (await running.http.post(REGISTER, json={**BASE, **method})).json()
        assert body["token_endpoint_auth_method"] == "none"
        assert not {"client_secret", "client_secret_expires_at"} & body.keys()


@pytest.mark.parametrize("method", ["private_key_jwt", "tls_client_auth", "NONE", "client_secret_jwt", "x"])
async def test_an_authentication_method_that_is_not_offered_is_refused(running: TestGateway, method: str) -> None:
    """Contract §3, TC-092: not silently replaced by another."""
    answer = await running.http.post(REGISTER, json={**BASE, "token_endpoint_auth_method": method})
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_client_metadata")


KEPT: list[tuple[dict[str, list[str]], list[str]]] = [
    ({"grant_types": ["authorization_code"]}, ["authorization_code"]),
    ({"grant_types": ["refresh_token", "authorization_code"]}, ["authorization_code", "refresh_token"]),
    ({"grant_types": ["authorization_code", "client_credentials", "password"]}, ["authorization_code"]),
    (
        {"grant_types": ["authorization_code", "refresh_token", "urn:ietf:params:oauth:grant-type:device_code"]},
        ["authorization_code", "refresh_token"],
    ),
    ({"response_types": ["code", "token", "code id_token"]}, ["authorization_code", "refresh_token"]),
]


@pytest.mark.parametrize(("asked", "grants"), KEPT)
async def test_what_is_not_supported_is_dropped_and_the_rest_is_echoed(
    running: TestGateway, asked: dict[str, list[str]], grants: list[str]
) -> None:
    """A82, contract §3: VS Code, for example, lists the device grant as well."""
    answer = await running.http.post(REGISTER, json={**BASE, **asked})
    assert answer.status_code == 201
    assert sorted(answer.json()["grant_types"]) == grants
    assert answer.json()["response_types"] == ["code"]


@pytest.mark.parametrize(
    "asked",
    [
        {"grant_types": ["client_credentials"]},
        {"grant_types": ["password", "implicit"]},
        {"grant_types": ["refresh_token"]},
        {"response_types": ["token"]},
        {"response_types": ["id_token", "code id_token"]},
    ],
)
async def test_when_nothing_usable_is_left_it_is_an_error(running: TestGateway, asked: dict[str, list[str]]) -> None:
    """A82, contract §3, TC-092."""
    answer = await running.http.post(REGISTER, json={**BASE, **asked})
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_client_metadata")


async def test_cursor_registers_its_three_redirect_uris_and_uses_each(running: TestGateway) -> None:
    """R23 and R25: an app scheme with an authority, a website and a loopback address, called `web`."""
    body = {"client_name": "Cursor", "application_type": "web", "redirect_uris": CURSOR}
    client = await oauth.register(running.http, **body)
    assert client.registration["redirect_uris"] == CURSOR
    for uri in CURSOR:
        async with running.browser() as browser:
            await oauth.begin(browser, client, redirect_uri=uri)
    assert [row["redirect_uri"] for row in await running.rows("pending_flows")] == CURSOR


async def test_identical_metadata_gives_the_identical_id_at_any_time(running: TestGateway) -> None:
    """Contract §3: the id carries the registration, so a client that registers on every start stays one client."""
    first = await oauth.register(running.http, **BASE)
    running.clock.advance(seconds=86_400 * 365)
    raw = json.dumps(dict(reversed(BASE.items())), indent=3).encode()
    second = (await running.http.post(REGISTER, content=raw, headers={"Content-Type": "application/json"})).json()
    assert second["client_id"] == first.client_id
    assert second["client_id_issued_at"] - first.registration["client_id_issued_at"] == 86_400 * 365
    for change in (
        {"client_name": "Other"},
        {"redirect_uris": ["http://127.0.0.1/other"]},
        {"grant_types": ["authorization_code"]},
    ):
        assert (await oauth.register(running.http, **{**BASE, **change})).client_id != first.client_id


@pytest.mark.parametrize("method", ["none", "client_secret_post"])
async def test_registering_writes_nothing_to_the_database(running: TestGateway, method: str) -> None:
    """A84, contract §3: a flood of registrations fills nothing; also with the database gone the answer is the same."""
    before = await everything(running)
    client = await oauth.register(running.http, **BASE, token_endpoint_auth_method=method)
    await running.http.post(REGISTER, json={"redirect_uris": ["javascript:alert(1)"]})
    assert await everything(running) == before
    await running.gateway.database.close()
    again = await oauth.register(running.http, **BASE)
    assert (again.client_id == client.client_id) == (method == "none")


async def test_an_id_outlives_the_database_and_the_rotation_of_keys(tmp_path: Path) -> None:
    """Contract §3: nothing can invalidate an id that a client still holds, as long as its key is in the ring."""
    old, new = b"o" * 32, b"n" * 32
    async with _with_keys(tmp_path, old) as http:
        public = await oauth.register(http, **BASE)
        secret = await oauth.register(http, **BASE, token_endpoint_auth_method="client_secret_post")
    async with _with_keys(tmp_path, new, old) as http:
        for client in (public, secret):
            assert (await http.get(oauth.AUTHORIZE, params=client.request())).status_code == 302
        moved, key = OAuthClient(http, secret.registration), secret.registration["client_secret"]
        assert (await moved.redeem("bfac_x", client_secret=key)).json()["error"] == "invalid_grant"
        assert (await moved.redeem("bfac_x", client_secret=key + "x")).json()["error"] == "invalid_client"
        assert (await oauth.register(http, **BASE)).client_id != public.client_id
    async with _with_keys(tmp_path, new) as http:
        answer = await http.get(oauth.AUTHORIZE, params=public.request(), headers={"Accept": "application/json"})
        assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalid_client")


def _noise(seed: int, length: int) -> str:
    """Text that does not compress below half its length."""
    return "".join(hashlib.sha256(f"{seed} {part}".encode()).hexdigest() for part in range(length // 64 + 1))[:length]


@pytest.mark.parametrize(("length", "fits"), [(64, True), (1_900, False)])
async def test_an_id_has_at_most_2048_characters(running: TestGateway, length: int, fits: bool) -> None:
    """Contract §3: ten redirect URIs of ordinary length fit; what does not fit is refused, never cut."""
    uris = [f"https://app.test/{_noise(number, length)}" for number in range(10)]
    answer = await running.http.post(REGISTER, json={"redirect_uris": uris, "client_name": "n" * 64})
    assert answer.status_code == (201 if fits else 400)
    if fits:
        assert answer.json()["redirect_uris"] == uris
        assert len(answer.json()["client_id"]) <= 2_048
    else:
        assert answer.json()["error"] == "invalid_client_metadata"


@pytest.mark.parametrize("path", [REGISTER, "/register"])
@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "PATCH", "DELETE", "BREW"])
async def test_only_post_registers(running: TestGateway, method: str, path: str) -> None:
    """Contract §2: 405 with Allow, in the form of RFC 6749 §5.2; there is no reading of a registration (TC-097)."""
    answer = await ask(running, path, method=method, headers=[("accept", "text/html")])
    assert answer.status_code == 405
    assert answer.headers["allow"] == "POST"
    assert answer.headers["cache-control"] == "no-store"
    if method != "HEAD":
        assert answer.json().keys() == {"error", "error_description"}


@pytest.mark.parametrize("path", [REGISTER, "/register"])
async def test_a_browser_based_client_may_register(running: TestGateway, path: str) -> None:
    """Contract §7: CORS on register; the preflight is answered before anything else, and errors can be read too."""
    origin = ("origin", "https://inspector.test")
    asked = [origin, ("access-control-request-method", "POST"), ("access-control-request-headers", "content-type")]
    preflight = await ask(running, path, method="OPTIONS", headers=asked)
    assert preflight.status_code in (200, 204)
    assert preflight.headers["access-control-allow-origin"] == "*"
    assert "POST" in preflight.headers["access-control-allow-methods"]
    assert "content-type" in preflight.headers["access-control-allow-headers"].lower()
    for body, status in ((BASE, 201), ({}, 400)):
        answer = await running.http.post(path, json=body, headers=dict([origin]))
        assert answer.status_code == status
        assert answer.headers["access-control-allow-origin"] == "*"
        assert "access-control-allow-credentials" not in answer.headers


async def test_registering_at_another_host_is_misdirected(running: TestGateway) -> None:
    """Contract §1: 421, in the form of RFC 6749 §5.2."""
    answer = await running.http.post(REGISTER, json=BASE, headers={"Host": "evil.test"})
    assert answer.status_code == 421
    assert answer.json().keys() == {"error", "error_description"}


async def test_metadata_is_never_fetched_but_must_be_a_web_address(running: TestGateway) -> None:
    """TC-075 and TC-095: a logo or a policy is a link for a person, so it cannot be a script."""
    for name in ("client_uri", "logo_uri", "policy_uri", "tos_uri"):
        for value in (
            "javascript:alert(1)",
            "data:image/svg+xml,x",
            "JAVASCRIPT:x",
            "file:///x",
            " https://a.test",
            "x",
        ):
            answer = await running.http.post(REGISTER, json={**BASE, name: value})
            assert (answer.status_code, answer.json()["error"]) == (400, "invalid_client_metadata"), (name, value)
