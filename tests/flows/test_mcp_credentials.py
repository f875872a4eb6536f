"""Who may call /mcp: every form of a credential, and every way in which one is wrong (contract §7)."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.flows._mcp import KEY, ask, call, challenge, key, names, refusal, result_of, rpc_error, with_upstreams
from tests.flows._tokens import signed_in
from tests.support.clock import FakeClock
from tests.support.gateway import ISSUER, KEY_ID, VIRTUAL_KEY, TestGateway, running_gateway, upstream

pytestmark = pytest.mark.anyio

OTHER_KEY = "sk-bf-other-0123456789abcdefghijklmnopqrstuvwxyz"
SESSION = "0123456789abcdefghijklmnopqrstuv"
KEY_HEADERS = ("x-bf-vk", "x-api-key", "x-goog-api-key", "api-key")
MODES = ("headers", "both", "oauth")
NOTES = upstream("notes", "http://127.0.0.1:9/mcp")


@pytest.fixture
async def two_keys(sqlite_url: str, tmp_path: Path, clock: FakeClock) -> AsyncIterator[TestGateway]:
    """A gateway with a second key, so that two good credentials can meet."""
    keys = [key(), {"id": "vk-other", "name": "other", "value": OTHER_KEY}]
    async with running_gateway(sqlite_url, tmp_path, clock=clock, governance={"virtual_keys": keys}) as running:
        yield running


@pytest.mark.parametrize("header", KEY_HEADERS)
async def test_a_virtual_key_is_taken_in_every_header_made_for_one(running: TestGateway, header: str) -> None:
    """Contract §7."""
    for name in (header, header.upper()):
        assert result_of(await ask(running.http, "ping", headers={name: VIRTUAL_KEY})) == {}


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER", "bEaReR"])
async def test_key_and_token_are_taken_as_bearer_in_any_case(running: TestGateway, scheme: str) -> None:
    """RS10, contract §7, TC-134: the scheme's name has no case."""
    _client, tokens = await signed_in(running)
    for value in (VIRTUAL_KEY, tokens["access_token"]):
        assert result_of(await ask(running.http, "ping", headers={"Authorization": f"{scheme} {value}"})) == {}


PAIRS: dict[str, list[tuple[str, str]]] = {
    "bearer and key header": [("Authorization", f"Bearer {VIRTUAL_KEY}"), ("x-bf-vk", OTHER_KEY)],
    "two key headers": [("x-bf-vk", VIRTUAL_KEY), ("x-api-key", OTHER_KEY)],
    "one header twice": [("x-bf-vk", VIRTUAL_KEY), ("x-bf-vk", OTHER_KEY)],
    "two Authorization headers": [("Authorization", f"Bearer {VIRTUAL_KEY}"), ("Authorization", f"Bearer {OTHER_KEY}")],
    "key and session": [("x-bf-vk", VIRTUAL_KEY), ("x-bf-mcp-session-id", SESSION)],
    "bearer and session": [("Authorization", f"Bearer {VIRTUAL_KEY}"), ("x-bf-mcp-session-id", SESSION)],
    "good and bad": [("x-bf-vk", VIRTUAL_KEY), ("Authorization", "Bearer nonsense")],
    "good and empty": [("x-bf-vk", VIRTUAL_KEY), ("Authorization", "Bearer ")],
    "key and Basic": [("x-bf-vk", VIRTUAL_KEY), ("Authorization", "Basic YTpi")],
    "all of them": [(name, f"{VIRTUAL_KEY}{number}") for number, name in enumerate(KEY_HEADERS)],
}


@pytest.mark.parametrize("pairs", PAIRS.values(), ids=PAIRS)
async def test_two_credentials_are_a_conflict(two_keys: TestGateway, pairs: list[tuple[str, str]]) -> None:
    """RS10, contract §7, TC-135, R51: 400, whichever of them would be good."""
    body = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
    answer = await two_keys.http.post("/mcp", json=body, headers=pairs)
    assert refusal(answer, 400) == "conflicting_credentials"
    assert "www-authenticate" not in answer.headers


@pytest.mark.parametrize("header", KEY_HEADERS)
async def test_an_access_token_beside_a_key_is_a_conflict(running: TestGateway, header: str) -> None:
    """Contract §7, R51."""
    _client, tokens = await signed_in(running)
    headers = {"Authorization": f"Bearer {tokens['access_token']}", header: VIRTUAL_KEY}
    assert refusal(await ask(running.http, "ping", headers=headers), 400) == "conflicting_credentials"


INVALID = {
    "unknown key": {"Authorization": "Bearer sk-bf-unknown-0123456789abcdefghijklmnop"},
    "unknown key in its header": {"x-bf-vk": "sk-bf-unknown-0123456789abcdefghijklmnop"},
    "short key": {"x-bf-vk": "sk-bf-x"},
    "key in another case": {"x-bf-vk": VIRTUAL_KEY.upper()},
    "key and a character more": {"x-bf-vk": f"{VIRTUAL_KEY}x"},
    "pattern": {"x-bf-vk": "sk-bf-%"},
    "injection": {"Authorization": "Bearer ' OR 1=1--"},
    "unknown token": {"Authorization": "Bearer bfat_unknown"},
    "JWT": {"Authorization": "Bearer eyJhbGciOiJub25lIn0.eyJzdWIiOiJ4In0."},
    "two part JWT": {"Authorization": "Bearer a.b"},
    "empty Bearer": {"Authorization": "Bearer "},
    "Bearer alone": {"Authorization": "Bearer"},
    "empty key": {"x-bf-vk": ""},
    "Basic": {"Authorization": "Basic YTpi"},
    "no scheme": {"Authorization": VIRTUAL_KEY},
    "another scheme": {"Authorization": f"Token {VIRTUAL_KEY}"},
    "something else in a key header": {"x-api-key": "AIza0123456789"},
    "short session": {"x-bf-mcp-session-id": "x" * 21},
    "empty session": {"x-bf-mcp-session-id": ""},
}


@pytest.mark.parametrize("headers", INVALID.values(), ids=INVALID)
@pytest.mark.parametrize("mode", MODES)
async def test_a_credential_that_does_not_verify_never_becomes_somebody(
    sqlite_url: str, tmp_path: Path, headers: dict[str, str], mode: str
) -> None:
    """Contract §7, TC-133, R50: 401 invalid_token in every mode, also where anonymous calls are allowed.

    RS4, RS5, RS13.
    """
    async with running_gateway(sqlite_url, tmp_path, client={"mcp_server_auth_mode": mode}) as running:
        answer = await ask(running.http, "tools/list", headers=headers)
        assert refusal(answer, 401) == "invalid_token"
        assert 'error="invalid_token"' in answer.headers["www-authenticate"]


async def test_an_access_token_is_taken_as_bearer_only(running: TestGateway) -> None:
    """Contract §7: the key headers take keys."""
    client, tokens = await signed_in(running)
    for header in KEY_HEADERS:
        answer = await ask(running.http, "ping", headers={header: tokens["access_token"]})
        assert refusal(answer, 401) == "invalid_token"
    for value in (tokens["refresh_token"], client.client_id, tokens["access_token"][:-1]):
        answer = await ask(running.http, "ping", headers={"Authorization": f"Bearer {value}"})
        assert refusal(answer, 401) == "invalid_token"


async def test_inactive_and_expired_keys_are_told_why(sqlite_url: str, tmp_path: Path, clock: FakeClock) -> None:
    """Contract §7: 403 with the reason, from the second in which the key expires."""
    keys = [key(is_active=False), {"name": "brief", "value": OTHER_KEY, "expires_at": "2027-01-15T08:00:10Z"}]
    async with running_gateway(sqlite_url, tmp_path, clock=clock, governance={"virtual_keys": keys}) as running:
        inactive = await ask(running.http, "ping")
        assert refusal(inactive, 403) == "virtual_key_inactive"
        assert rpc_error(inactive, 403, None)["message"] == "This virtual key is inactive."
        clock.advance(seconds=9)
        assert result_of(await ask(running.http, "ping", headers={"x-bf-vk": OTHER_KEY})) == {}
        clock.advance(seconds=1)
        expired = await ask(running.http, "ping", headers={"x-bf-vk": OTHER_KEY})
        assert rpc_error(expired, 403, None)["message"] == "This virtual key has expired."
        assert "www-authenticate" not in expired.headers


async def test_a_key_that_is_deactivated_stops_at_the_next_request(running: TestGateway) -> None:
    """Contract §6, TC-147."""
    assert result_of(await ask(running.http, "ping")) == {}
    await running.gateway.virtual_keys.revoke(KEY_ID)
    assert refusal(await ask(running.http, "ping"), 403) == "virtual_key_inactive"


@pytest.mark.parametrize(("seconds", "status"), [(86_399, 200), (86_400, 401)])
async def test_an_expired_access_token_is_an_invalid_token(
    running: TestGateway, clock: FakeClock, seconds: int, status: int
) -> None:
    """RS4, contract §6, R49: 401, so that the client refreshes."""
    _client, tokens = await signed_in(running)
    clock.advance(seconds=seconds)
    answer = await ask(running.http, "ping", headers={"Authorization": f"Bearer {tokens['access_token']}"})
    assert answer.status_code == status
    if status == 401:
        assert answer.headers["www-authenticate"] == challenge("/mcp", error="invalid_token")


@pytest.mark.parametrize(
    ("mode", "with_key", "with_nothing"), [("headers", 200, 200), ("both", 200, 401), ("oauth", 401, 401)]
)
async def test_each_mode_takes_its_own_credentials(
    sqlite_url: str, tmp_path: Path, mode: str, with_key: int, with_nothing: int
) -> None:
    """Contract §1, modes: `headers` keys, `oauth` access tokens, `both` both; nothing at all only where it is allowed."""
    async with running_gateway(sqlite_url, tmp_path, client={"mcp_server_auth_mode": mode}) as running:
        for headers in (KEY, {"Authorization": f"Bearer {VIRTUAL_KEY}"}):
            assert (await ask(running.http, "ping", headers=headers)).status_code == with_key
        assert (await ask(running.http, "ping", headers={})).status_code == with_nothing
        if mode != "headers":
            _client, tokens = await signed_in(running)
            token = {"Authorization": f"Bearer {tokens['access_token']}"}
            assert result_of(await ask(running.http, "ping", headers=token)) == {}


async def test_in_headers_mode_a_token_of_before_opens_nothing(sqlite_url: str, tmp_path: Path) -> None:
    """Contract §1: virtual key headers only."""
    async with running_gateway(sqlite_url, tmp_path) as running:
        _client, tokens = await signed_in(running)
    async with running_gateway(sqlite_url, tmp_path, client={"mcp_server_auth_mode": "headers"}) as running:
        answer = await ask(running.http, "ping", headers={"Authorization": f"Bearer {tokens['access_token']}"})
        assert refusal(answer, 401) == "invalid_token"


async def test_in_headers_mode_with_enforcement_the_challenge_names_no_metadata(
    sqlite_url: str, tmp_path: Path
) -> None:
    """Contract §1: there is no authorization server to point to."""
    client = {"mcp_server_auth_mode": "headers", "enforce_auth_on_inference": True}
    async with running_gateway(sqlite_url, tmp_path, client=client) as running:
        answer = await ask(running.http, "ping", headers={})
        assert refusal(answer, 401) == "missing_credentials"
        assert answer.headers["www-authenticate"] == 'Bearer scope="mcp:read mcp:write"'


@pytest.mark.parametrize(
    "path",
    [
        "/.well-known/oauth-protected-resource",
        "/.well-known/oauth-protected-resource/mcp",
        "/.well-known/oauth-authorization-server",
        "/.well-known/oauth-authorization-server/mcp",
        "/.well-known/openid-configuration",
        "/api/oauth/per-user/authorize",
        "/api/oauth/per-user/token",
        "/api/oauth/per-user/register",
        "/api/oauth/per-user/consent/vk",
        "/oauth/consent",
        "/oauth/consent/mcps",
        "/authorize",
        "/token",
        "/register",
    ],
)
async def test_in_headers_mode_there_is_no_authorization_server(sqlite_url: str, tmp_path: Path, path: str) -> None:
    """Contract §1: 404 in plain text, for every method."""
    async with running_gateway(sqlite_url, tmp_path, client={"mcp_server_auth_mode": "headers"}) as running:
        for method in ("GET", "POST"):
            answer = await running.http.request(method, path, headers={"Accept": "text/html"})
            assert answer.status_code == 404
            assert answer.headers["content-type"].startswith("text/plain")


@pytest.mark.parametrize(
    ("mode", "enforced", "status"),
    [("both", False, 200), ("headers", False, 200), ("both", True, 401), ("oauth", False, 401)],
)
async def test_a_session_id_is_an_identity_only_where_anonymous_calls_are_allowed(
    sqlite_url: str, tmp_path: Path, mode: str, status: int, *, enforced: bool
) -> None:
    """Contract §7."""
    client = {"mcp_server_auth_mode": mode, "enforce_auth_on_inference": enforced}
    async with running_gateway(sqlite_url, tmp_path, client=client) as running:
        answer = await ask(running.http, "ping", headers={"x-bf-mcp-session-id": SESSION})
        assert answer.status_code == status
        if status == 401:
            assert refusal(answer, 401) == "invalid_token"


@pytest.mark.parametrize("session", [SESSION, "x" * 22])
async def test_a_session_id_of_two_kinds_at_once_is_refused(running: TestGateway, session: str) -> None:
    """Contract §7: two session ids are two credentials."""
    pairs = [("x-bf-mcp-session-id", session), ("x-bf-mcp-session-id", "y" * 30), *KEY.items()]
    answer = await running.http.post("/mcp", json={"jsonrpc": "2.0", "id": 1, "method": "ping"}, headers=pairs)
    assert refusal(answer, 400) == "conflicting_credentials"


async def test_an_mcp_session_id_is_no_credential(running: TestGateway) -> None:
    """RS11, TC-148: the transport's session id opens nothing."""
    answer = await ask(running.http, "ping", headers={"Mcp-Session-Id": SESSION})
    assert refusal(answer, 401) == "missing_credentials"


@pytest.mark.parametrize("name", ["access_token", "token", "api_key", "key", "x-bf-vk"])
async def test_credentials_in_the_url_are_ignored(running: TestGateway, name: str) -> None:
    """RS10, contract §7, TC-135: alone they open nothing, and beside a good one they change nothing."""
    _client, tokens = await signed_in(running)
    for value in (VIRTUAL_KEY, tokens["access_token"]):
        answer = await ask(running.http, "ping", path=f"/mcp?{name}={value}", headers={})
        assert refusal(answer, 401) == "missing_credentials"
        assert result_of(await ask(running.http, "ping", path=f"/mcp?{name}={value}")) == {}


async def test_a_token_is_for_the_endpoint_it_was_asked_for(sqlite_url: str, tmp_path: Path) -> None:
    """A61, RS9, contract §§1, 6, R73: pairwise; /mcp/ is /mcp, and every other pair is a 401 invalid_token."""
    async with with_upstreams(sqlite_url, tmp_path, NOTES, upstream("tasks", "http://127.0.0.1:9/mcp")) as running:
        paths = ("/mcp", "/mcp/notes", "/mcp/tasks")
        for granted in paths:
            _client, tokens = await signed_in(running, resource=f"{ISSUER}{granted}")
            token = {"Authorization": f"Bearer {tokens['access_token']}"}
            for path in paths:
                for spelled in (path, f"{path}/"):
                    answer = await ask(running.http, "ping", path=spelled, headers=token)
                    assert answer.status_code == (200 if path == granted else 401), (granted, spelled)
                    if path != granted:
                        assert answer.headers["www-authenticate"] == challenge(spelled, error="invalid_token")


async def test_a_key_is_taken_at_every_endpoint(sqlite_url: str, tmp_path: Path) -> None:
    """Contract §7: a virtual key has no audience; what it may use is decided by its filters."""
    async with with_upstreams(sqlite_url, tmp_path, NOTES) as running:
        for path in ("/mcp", "/mcp/", "/mcp/notes", "/mcp/notes/"):
            assert result_of(await ask(running.http, "ping", path=path)) == {}


async def test_an_anonymous_call_is_possible_in_headers_mode_only(sqlite_url: str, tmp_path: Path) -> None:
    """Contract §1: without an authorization server, and without enforcement, nobody is asked."""
    async with with_upstreams(sqlite_url, tmp_path, client={"mcp_server_auth_mode": "headers"}) as running:
        assert await names(running.http, headers={}) == []
        assert rpc_error(await call(running.http, "notes-x", headers={}))["code"] == -32602
