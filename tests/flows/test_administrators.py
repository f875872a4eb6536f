"""An administrator's credential: a token, or a browser's session that began with one (contract §9)."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest

from bifrost.base.ids import hash_secret
from tests.support.clock import FakeClock
from tests.support.gateway import ADMIN_TOKEN, ISSUER, TestGateway, running_gateway

pytestmark = pytest.mark.anyio

LOGIN, LOGOUT, GUARDED = "/api/session/login", "/api/session/logout", "/api/session/logout"
COOKIE = "bifrost_admin"


def _bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


@asynccontextmanager
async def _signed_in(running: TestGateway, token: str = ADMIN_TOKEN) -> AsyncIterator[httpx2.AsyncClient]:
    async with running.browser() as browser:
        answer = await browser.post(LOGIN, json={"token": token}, headers={"Origin": ISSUER})
        assert answer.status_code == 200, answer.text
        yield browser


async def test_the_configured_token_opens_the_api(running: TestGateway) -> None:
    """Contract §9, §11: BIFROST_ADMIN_TOKEN."""
    assert (await running.http.post(GUARDED, headers=_bearer(ADMIN_TOKEN))).status_code == 204
    assert (await running.http.post(GUARDED, headers={"Authorization": f"bearer  {ADMIN_TOKEN}"})).status_code == 204


async def test_a_made_token_opens_the_api_until_it_is_revoked(running: TestGateway) -> None:
    """Contract §9: felt at the next request."""
    token, value = await running.gateway.admin_tokens.create("operations")
    assert value.startswith("bfad_")
    assert (await running.http.post(GUARDED, headers=_bearer(value))).status_code == 204
    await running.gateway.admin_tokens.revoke("operations")
    assert (await running.http.post(GUARDED, headers=_bearer(value))).status_code == 401
    assert await running.rows("admin_tokens") == []
    assert token.id.startswith("adm_")


async def test_no_token_is_stored(running: TestGateway) -> None:
    """Ours: hashes of what we issue, and nothing of what an operator chose."""
    _, value = await running.gateway.admin_tokens.create("operations")
    async with _signed_in(running) as browser, _signed_in(running, value):
        session = browser.cookies[COOKIE]
    stored = str(await running.rows("admin_tokens")) + str(await running.rows("admin_sessions"))
    for secret in (value, session, ADMIN_TOKEN, hash_secret(ADMIN_TOKEN)):
        assert secret not in stored
    assert hash_secret(value) in stored


@pytest.mark.parametrize(
    "headers",
    [
        [("Authorization", f"Basic {ADMIN_TOKEN}")],
        [("Authorization", ADMIN_TOKEN)],
        [("Authorization", "Bearer")],
        [("Authorization", "Bearer ")],
        [("Authorization", f"Bearer {ADMIN_TOKEN}x")],
        [("Authorization", f"Bearer {ADMIN_TOKEN[:-1]}")],
        [("Authorization", f"Bearer {ADMIN_TOKEN}"), ("Authorization", f"Bearer {ADMIN_TOKEN}")],
        [("x-api-key", ADMIN_TOKEN)],
        [("Cookie", f"{COOKIE}={ADMIN_TOKEN}")],
        [("Cookie", f"{COOKIE}=")],
        [("Authorization", "Bearer \xe9\xff")],
    ],
    ids=str,
)
async def test_anything_but_one_right_token_is_refused(running: TestGateway, headers: list[tuple[str, str]]) -> None:
    """Contract §9: fails closed."""
    raw = [(name.encode(), value.encode("latin-1")) for name, value in headers]
    assert (await running.http.post(GUARDED, headers=raw)).status_code == 401


async def test_the_token_in_the_query_is_no_credential(running: TestGateway) -> None:
    """Contract §7: query-string tokens are ignored."""
    assert (await running.http.post(f"{GUARDED}?token={ADMIN_TOKEN}&access_token={ADMIN_TOKEN}")).status_code == 401


async def test_a_wrong_token_never_falls_back_to_the_session(running: TestGateway) -> None:
    """Ours: as at /mcp, a credential that does not verify is refused."""
    async with _signed_in(running) as browser:
        answer = await browser.post(GUARDED, headers={"Origin": ISSUER, **_bearer("wrong")})
        assert answer.status_code == 401


async def test_a_session_begins_with_a_token_and_ends_with_the_log_out(running: TestGateway) -> None:
    """Contract §9: POST /api/session/login and /logout."""
    async with _signed_in(running) as browser:
        secret = browser.cookies[COOKIE]
        answer = await browser.post(LOGOUT, headers={"Origin": ISSUER})
        assert answer.status_code == 204
        assert "Max-Age=0" in answer.headers["set-cookie"]
        assert COOKIE not in browser.cookies
    assert await running.rows("admin_sessions") == []
    headers = {"Origin": ISSUER, "Cookie": f"{COOKIE}={secret}"}
    assert (await running.http.post(LOGOUT, headers=headers)).status_code == 401


async def test_what_the_login_says(running: TestGateway) -> None:
    """Contract §9: who it is and until when; the secret is in the cookie only."""
    answer = await running.http.post(LOGIN, headers=_bearer(ADMIN_TOKEN))
    assert answer.json() == {"id": "configured", "name": "BIFROST_ADMIN_TOKEN", "expires_at": "2027-01-15T20:00:00Z"}
    assert answer.headers["cache-control"] == "no-store"


async def test_the_cookie_is_kept_from_scripts_and_from_other_sites(
    running: TestGateway, sqlite_url: str, tmp_path: Path
) -> None:
    """Contract §9; RFC 6265bis §4.1.3: `__Host-` and Secure under https."""
    plain = (await running.http.post(LOGIN, headers=_bearer(ADMIN_TOKEN))).headers["set-cookie"]
    assert plain.startswith(f"{COOKIE}=bfas_")
    assert plain.endswith("; Max-Age=43200; Path=/; HttpOnly; SameSite=Strict")
    server = {"public_urls": ["https://mcp.example.com"]}
    async with running_gateway(sqlite_url, tmp_path, server=server) as behind_tls:
        headers = {**_bearer(ADMIN_TOKEN), "Host": "mcp.example.com"}
        cookie = (await behind_tls.http.post(LOGIN, headers=headers)).headers["set-cookie"]
    assert cookie.startswith(f"__Host-{COOKIE}=bfas_")
    assert cookie.endswith("; SameSite=Strict; Secure")


@pytest.mark.parametrize("origin", [None, "null", "https://evil.example", "http://localhost:8081", f"{ISSUER}/", ""])
async def test_a_change_with_a_session_must_come_from_our_own_page(running: TestGateway, origin: str | None) -> None:
    """Contract §5: exact Origin, as for every form (SameSite alone does not stop a sibling host)."""
    async with _signed_in(running) as browser:
        answer = await browser.post(LOGOUT, headers={} if origin is None else {"Origin": origin})
        assert answer.status_code == 403
        assert answer.json()["error"]["code"] == "cross_site_request"
    assert len(await running.rows("admin_sessions")) == 1


async def test_another_site_cannot_sign_a_browser_in(running: TestGateway) -> None:
    """Login CSRF: a foreign Origin is refused even with a right token."""
    answer = await running.http.post(LOGIN, json={"token": ADMIN_TOKEN}, headers={"Origin": "https://evil.example"})
    assert answer.status_code == 403
    assert "set-cookie" not in answer.headers


async def _status(browser: httpx2.AsyncClient) -> int:
    """What a change without our Origin gets: 403 from a session, 401 from none."""
    return (await browser.post(LOGOUT)).status_code


async def test_a_session_ends_after_an_hour_without_use(running: TestGateway, clock: FakeClock) -> None:
    """Ours: idle expiry; every use counts."""
    async with _signed_in(running) as browser:
        for _ in range(3):
            clock.advance(seconds=59 * 60)
            assert await _status(browser) == 403
        clock.advance(seconds=60 * 60)
        assert await _status(browser) == 401


async def test_a_session_ends_after_twelve_hours_of_use(running: TestGateway, clock: FakeClock) -> None:
    """Ours: absolute expiry."""
    async with _signed_in(running) as browser:
        for _ in range(23):
            clock.advance(seconds=30 * 60)
            assert await _status(browser) == 403
        clock.advance(seconds=30 * 60)
        assert await _status(browser) == 401


async def test_revoking_a_token_ends_the_sessions_that_began_with_it(running: TestGateway) -> None:
    """Contract §6: revocation is felt at once."""
    await running.gateway.admin_tokens.create("other")
    _, value = await running.gateway.admin_tokens.create("lost")
    async with _signed_in(running, value) as browser, _signed_in(running) as mine:
        await running.gateway.admin_tokens.revoke("lost")
        assert await _status(browser) == 401
        assert await _status(mine) == 403


@pytest.mark.parametrize("configured", ["another-administrators-token-0123", ""])
async def test_configuring_another_token_ends_the_sessions_of_the_last_one(
    sqlite_url: str, tmp_path: Path, configured: str
) -> None:
    """Ours: the session keeps a MAC of the configured token."""
    async with running_gateway(sqlite_url, tmp_path) as before, _signed_in(before) as browser:
        secret = browser.cookies[COOKIE]
    async with running_gateway(sqlite_url, tmp_path, admin_token=configured) as after:
        assert (await after.http.post(LOGOUT, headers={"Cookie": f"{COOKIE}={secret}"})).status_code == 401


async def test_wrong_tokens_are_slowed_and_the_configured_one_from_a_strange_address_with_them(
    running: TestGateway, clock: FakeClock
) -> None:
    """Contract §5 by analogy: a chosen token may be weak, so its verdict is not told while an address is locked."""
    statuses = [(await running.http.post(GUARDED, headers=_bearer(f"wrong-{n}"))).status_code for n in range(12)]
    assert statuses == [401] * 10 + [429] * 2
    answer = await running.http.post(GUARDED, headers=_bearer(ADMIN_TOKEN))
    assert answer.status_code == 429
    assert answer.headers["retry-after"] == "300"
    clock.advance(seconds=301)
    assert (await running.http.post(GUARDED, headers=_bearer(ADMIN_TOKEN))).status_code == 204


async def _guess(running: TestGateway, times: int = 12) -> None:
    statuses = [(await running.http.post(GUARDED, headers=_bearer(f"wrong-{n}"))).status_code for n in range(times)]
    assert statuses[-1] == 429


async def test_guesses_from_an_administrators_own_address_do_not_lock_the_administrator_out(
    sqlite_url: str, tmp_path: Path, clock: FakeClock
) -> None:
    """Ours: an office or a proxy is one address for many. Who used the token there before goes on using it."""
    async with running_gateway(sqlite_url, tmp_path, clock=clock) as running:
        for _ in range(4):
            assert (await running.http.post(GUARDED, headers=_bearer(ADMIN_TOKEN))).status_code == 204
            await _guess(running)
            assert (await running.http.post(GUARDED, headers=_bearer(ADMIN_TOKEN))).status_code == 204
            clock.advance(seconds=29 * 86_400)
        assert len(await running.rows("key_guesses")) <= 4 + 1, "written once in a month, and not at every request"
        clock.advance(seconds=60 * 86_400)
        await _guess(running)
        assert (await running.http.post(GUARDED, headers=_bearer(ADMIN_TOKEN))).status_code == 429
    async with running_gateway(
        sqlite_url, tmp_path, clock=clock, admin_token="another-administrators-token-0123"
    ) as other:
        answer = await other.http.post(GUARDED, headers=_bearer("another-administrators-token-0123"))
        assert answer.status_code == 429, "another token knows no address yet"


async def test_an_address_that_only_guessed_is_not_known(running: TestGateway) -> None:
    """Ours: what makes an address known is the right token from there while it was not locked."""
    await _guess(running)
    for _ in range(2):
        assert (await running.http.post(GUARDED, headers=_bearer(ADMIN_TOKEN))).status_code == 429


async def test_a_lock_keeps_no_made_token_and_no_session_out(running: TestGateway) -> None:
    """Ours: 256 random bits cannot be guessed, so nobody can lock the administrator out by guessing."""
    _, value = await running.gateway.admin_tokens.create("operations")
    async with _signed_in(running, value) as browser:
        for number in range(12):
            await running.http.post(GUARDED, headers=_bearer(f"wrong-{number}"))
        assert (await running.http.post(GUARDED, headers=_bearer(value))).status_code == 204
        assert await _status(browser) == 403


@pytest.mark.parametrize(
    ("body", "status", "param"),
    [
        (b"", 401, ""),
        (b"{}", 400, "token"),
        (b'{"token": 7}', 400, "token"),
        (b'{"token": ""}', 400, "token"),
        (b'{"token": null}', 400, "token"),
        (b'{"token": "wrong", "more": 1}', 400, "more"),
        (b'{"token": "a", "token": "b"}', 400, ""),
        (b"[]", 400, ""),
        (b'"token"', 400, ""),
        (b"{", 400, ""),
        (b'{"token": "\\ud800"}', 400, ""),
        (b'{"token": "' + b"x" * 600 + b'"}', 400, "token"),
        (b'{"token": "' + b"x" * 5_000 + b'"}', 413, ""),
        (b'{"token": "wrong"}', 401, ""),
    ],
    ids=lambda value: str(value)[:40],
)
async def test_a_bad_login_is_refused_in_words(running: TestGateway, body: bytes, status: int, param: str) -> None:
    """Ours: a strict body; `error.param` names the member."""
    answer = await running.http.post(LOGIN, content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == status, answer.text
    error: dict[str, Any] = answer.json()["error"]
    assert error["param"] == param
    assert "set-cookie" not in answer.headers


async def test_a_form_cannot_log_in(running: TestGateway) -> None:
    """Ours: 415; what a foreign page can send without asking is not read."""
    answer = await running.http.post(LOGIN, data={"token": ADMIN_TOKEN})
    assert answer.status_code == 415
