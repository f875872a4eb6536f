"""Introspection (RFC 7662): whoever asks is known, and whoever is not learns nothing."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.flows._tokens import basic, error_of, signed_in
from tests.support.clock import FakeClock
from tests.support.gateway import ADMIN_TOKEN, ISSUER, KEY_ID, TestGateway, running_gateway, upstream

pytestmark = pytest.mark.anyio

INTROSPECT = "/api/oauth/per-user/introspect"
SECRET = "a-resource-servers-secret-0123456789"
OTHER_SECRET = "another-resource-servers-secret-0123"
INACTIVE = {"active": False}
ADMINISTRATOR = {"Authorization": f"Bearer {ADMIN_TOKEN}"}
SERVERS = [
    {"id": "audit", "secret": SECRET},
    {"id": "notes", "secret": OTHER_SECRET, "resources": ["/mcp/notes"]},
]


@pytest.fixture
async def asked(sqlite_url: str, tmp_path: Path, clock: FakeClock) -> AsyncIterator[TestGateway]:
    notes = upstream("notes", "http://127.0.0.1:9/mcp")
    async with running_gateway(
        sqlite_url, tmp_path, clock=clock, client={"resource_servers": SERVERS}, mcp={"client_configs": [notes]}
    ) as running:
        yield running


async def _ask(running: TestGateway, token: str, headers: dict[str, str] | None = None, **form: str) -> Any:
    answer = await _answer(running, {"token": token, **form}, headers)
    assert answer.status_code == 200, answer.text
    assert answer.headers["cache-control"] == "no-store"
    return answer.json()


async def _answer(running: TestGateway, form: dict[str, str], headers: dict[str, str] | None = None) -> httpx2.Response:
    known = {"Authorization": basic("audit", SECRET)}
    return await running.http.post(INTROSPECT, data=form, headers=known if headers is None else headers)


async def test_a_good_access_token_is_described(asked: TestGateway) -> None:
    """RFC 7662 §2.2, A91."""
    client, tokens = await signed_in(asked, scope="mcp:read")
    now = asked.clock.now() // 1_000
    expected = {
        "active": True,
        "scope": "mcp:read",
        "client_id": client.client_id,
        "sub": f"vk:{KEY_ID}",
        "aud": f"{ISSUER}/mcp",
        "iss": ISSUER,
        "iat": now,
        "exp": now + 86_400,
        "token_type": "Bearer",
    }
    assert await _ask(asked, tokens["access_token"]) == expected
    assert await _ask(asked, tokens["access_token"], ADMINISTRATOR) == expected


@pytest.mark.parametrize("hint", ["access_token", "refresh_token", "anything"])
async def test_a_hint_is_only_a_hint(asked: TestGateway, hint: str) -> None:
    """RFC 7662 §2.1."""
    _client, tokens = await signed_in(asked)
    for kind in ("access_token", "refresh_token"):
        assert (await _ask(asked, tokens[kind], ADMINISTRATOR, token_type_hint=hint))["active"] is True
    assert "token_type" not in await _ask(asked, tokens["refresh_token"], ADMINISTRATOR, token_type_hint=hint)


async def test_a_refresh_token_is_no_token_for_a_resource_server(asked: TestGateway) -> None:
    """RFC 7662 §§2.2, 4; RFC 9700 §2.2: a server that trusts "active" would take it as an access token."""
    _client, tokens = await signed_in(asked)
    assert await _ask(asked, tokens["refresh_token"]) == INACTIVE
    assert await _ask(asked, tokens["refresh_token"], token_type_hint="refresh_token") == INACTIVE


@pytest.mark.parametrize("why", ["unknown", "expired", "revoked", "used", "key gone", "a virtual key", "its hash"])
async def test_every_token_that_is_not_good_gets_one_answer(asked: TestGateway, why: str) -> None:
    """RFC 7662 §2.2, A91: `active` false and nothing else."""
    client, tokens = await signed_in(asked)
    presented = tokens["access_token"]
    if why == "unknown":
        presented = "bfat_unknown"
    elif why == "expired":
        asked.clock.advance(seconds=86_400)
    elif why == "revoked":
        form = {"client_id": client.client_id, "token": tokens["refresh_token"]}
        await asked.http.post("/api/oauth/per-user/revoke", data=form)
    elif why == "used":
        assert (await client.refresh(tokens["refresh_token"])).status_code == 200
        presented = tokens["refresh_token"]
    elif why == "key gone":
        await asked.gateway.virtual_keys.revoke(KEY_ID)
    elif why == "a virtual key":
        presented = "sk-bf-test-0123456789abcdefghijklmnopqrstuvwxyz"
    else:
        presented = (await asked.rows("access_tokens"))[0]["token_hash"]
    assert await _ask(asked, presented) == INACTIVE


async def test_a_server_learns_only_of_tokens_for_itself(asked: TestGateway) -> None:
    """RFC 7662 §4: a server of one endpoint cannot look into another's tokens."""
    notes = {"Authorization": basic("notes", OTHER_SECRET)}
    _client, everywhere = await signed_in(asked)
    _client, for_notes = await signed_in(asked, resource=f"{ISSUER}/mcp/notes")
    assert await _ask(asked, everywhere["access_token"], notes) == INACTIVE
    assert (await _ask(asked, for_notes["access_token"], notes))["aud"] == f"{ISSUER}/mcp/notes"


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": basic("audit", OTHER_SECRET)},
        {"Authorization": basic("nobody", SECRET)},
        {"Authorization": basic("audit", "")},
        {"Authorization": "Bearer wrong"},
        {"Authorization": "Bearer "},
        {"Authorization": "Basic %%%"},
        {"Authorization": "Digest x"},
    ],
)
async def test_whoever_is_not_known_is_refused_before_anything_else(
    asked: TestGateway, headers: dict[str, str]
) -> None:
    """A91, contract §6, RFC 7662 §2.1: 401, whether there is a token in the request or not."""
    _client, tokens = await signed_in(asked)
    for form in ({"token": tokens["access_token"]}, {}):
        answer = await _answer(asked, form, headers)
        assert error_of(answer, 401) == "invalid_client"
        scheme = "Bearer" if headers.get("Authorization", "").startswith("Bearer") else "Basic"
        assert answer.headers["www-authenticate"].startswith(f"{scheme} ")


async def test_neither_a_clients_secret_nor_the_token_itself_may_ask(asked: TestGateway) -> None:
    """A91, RFC 7662 §2.1: credentials of its own; a client would test stolen tokens."""
    client, tokens = await signed_in(asked, metadata={"token_endpoint_auth_method": "client_secret_basic"})
    secret = client.registration["client_secret"]
    for value in (basic(client.client_id, secret), f"Bearer {tokens['access_token']}"):
        answer = await _answer(asked, {"token": tokens["access_token"]}, {"Authorization": value})
        assert error_of(answer, 401) == "invalid_client"


async def test_what_is_not_an_introspection_request_is_refused(asked: TestGateway) -> None:
    """RFC 7662 §2.1 and §4: a form by POST with one token, and no token in a URL; no page of another origin may ask."""
    assert error_of(await _answer(asked, {"token": ""})) == "invalid_request"
    known = {"Authorization": basic("audit", SECRET)}
    twice = await asked.http.post(
        INTROSPECT,
        content="token=a&token=b",
        headers={**known, "Content-Type": "application/x-www-form-urlencoded"},
    )
    assert error_of(twice) == "invalid_request"
    in_url = await asked.http.post(f"{INTROSPECT}?token=a", data={"token": "a"}, headers=known)
    assert error_of(in_url) == "invalid_request"
    assert (await asked.http.get(INTROSPECT, headers=ADMINISTRATOR)).status_code == 405
    answer = await _answer(asked, {"token": "bfat_x"}, {**known, "Origin": "https://page.test"})
    assert "access-control-allow-origin" not in answer.headers


async def test_a_refusal_names_the_scheme_that_was_used(asked: TestGateway) -> None:
    """RFC 7662 §2.3, RFC 6750 §3: a bearer token that is not good here is told so in its own words."""
    for value, challenge in ((basic("audit", "wrong"), "Basic "), ("Bearer wrong", 'Bearer error="invalid_token"')):
        answer = await _answer(asked, {"token": "bfat_x"}, {"Authorization": value})
        assert error_of(answer, 401) == "invalid_client"
        assert answer.headers["www-authenticate"].startswith(challenge)


async def test_guessing_an_administrators_token_here_is_counted_too(asked: TestGateway) -> None:
    """A54: the same count as in front of the management API."""
    answers = [await _answer(asked, {"token": "x"}, {"Authorization": f"Bearer {n}"}) for n in range(12)]
    assert answers[0].status_code == 401
    assert error_of(answers[-1], 429) == "temporarily_unavailable"
    assert (await _answer(asked, {"token": "x"})).json() == INACTIVE
