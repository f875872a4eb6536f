"""DPoP at the MCP endpoints (RFC 9449 §7): a bound token is worth something only with its key, request by request."""

import asyncio
import re
from collections.abc import AsyncIterator, MutableMapping
from pathlib import Path
from typing import Any

import httpx2
import pytest

from bifrost.identity.callers import Callers
from tests.flows._dpop import PING, bound, ping
from tests.flows._hostile_upstream import hostile
from tests.flows._mcp import ERAS, call
from tests.flows._raw import HOST
from tests.flows._tokens import signed_in
from tests.support.clock import FakeClock
from tests.support.dpop import ProofKey
from tests.support.gateway import ISSUER, VIRTUAL_KEY, TestGateway, running_gateway, upstream

pytestmark = pytest.mark.anyio

NOTES = {"client_configs": [upstream("notes", "http://127.0.0.1:9/mcp")]}
SCOPE = {
    "type": "http",
    "http_version": "1.1",
    "path": "/mcp",
    "query_string": b"",
    "root_path": "",
    "scheme": "http",
    "server": ("127.0.0.1", 8080),
    "client": ("203.0.113.7", 40_000),
}
PRM = f"{ISSUER}/.well-known/oauth-protected-resource/mcp"


@pytest.fixture
def key(clock: FakeClock) -> ProofKey:
    return ProofKey(clock)


@pytest.fixture
async def running(sqlite_url: str, tmp_path: Path, clock: FakeClock) -> AsyncIterator[TestGateway]:
    async with running_gateway(sqlite_url, tmp_path, clock=clock, mcp=NOTES) as started:
        yield started


@pytest.fixture
async def token(running: TestGateway, key: ProofKey) -> str:
    return str((await bound(running, key))[1]["access_token"])


def challenge(answer: httpx2.Response, status: int = 401) -> tuple[list[str], dict[str, str]]:
    """The schemes of the challenge in their order, and every parameter in it."""
    assert answer.status_code == status, answer.text
    (value,) = answer.headers.get_list("www-authenticate")
    return re.findall(r"(?:^|, )([A-Za-z]+) ", value), dict(re.findall(r'([a-z_]+)="([^"]*)"', value))


async def test_a_bound_token_with_a_proof_for_this_request_opens(
    running: TestGateway, key: ProofKey, token: str
) -> None:
    """RFC 9449 §7.1: the name of the scheme in any case; each request has a proof of its own."""
    for scheme in ("DPoP", "dpop", "DPOP"):
        assert (await ping(running, key.at_mcp(token, scheme=scheme))).status_code == 200
    assert (await ping(running, key.at_mcp(token, url=f"{ISSUER}/mcp?ignored=1#either"))).status_code == 200


async def test_a_bound_token_as_bearer_is_refused(running: TestGateway, key: ProofKey, token: str) -> None:
    """RFC 9449 §7.2, A95: with its proof beside it or without; the answer says what would be right."""
    for headers in ({"Authorization": f"Bearer {token}"}, key.at_mcp(token, scheme="Bearer")):
        schemes, said = challenge(await ping(running, headers))
        assert schemes == ["Bearer", "DPoP"]
        assert (said["error"], said["resource_metadata"]) == ("invalid_token", PRM)
        assert "ES256" in said["algs"].split(" ")


async def test_a_bearers_token_is_no_dpop_token(running: TestGateway, key: ProofKey) -> None:
    """RFC 9449 §7.1: what is not bound to a key proves nothing about one."""
    _, tokens = await signed_in(running)
    schemes, said = challenge(await ping(running, key.at_mcp(tokens["access_token"])))
    assert (schemes, said["error"]) == (["DPoP"], "invalid_token")


async def test_a_virtual_key_is_no_dpop_token(running: TestGateway, key: ProofKey) -> None:
    """Contract §7: no credential becomes another by its scheme."""
    schemes, said = challenge(await ping(running, key.at_mcp(VIRTUAL_KEY)))
    assert (schemes, said["error"]) == (["DPoP"], "invalid_token")


async def test_a_bound_token_in_a_key_header_is_refused(running: TestGateway, token: str) -> None:
    """Contract §7: those headers take virtual keys."""
    assert (await ping(running, {"x-api-key": token})).status_code == 401


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "another method": ({"method": "GET"}, "invalid_dpop_proof"),
    "another endpoint": ({"url": f"{ISSUER}/mcp/notes"}, "invalid_dpop_proof"),
    "another server": ({"url": "https://evil.example/mcp"}, "invalid_dpop_proof"),
    "another token": ({"ath": "x" * 43}, "invalid_dpop_proof"),
    "no token": ({"ath": None}, "invalid_dpop_proof"),
    "too old": ({"iat": 1_000}, "invalid_dpop_proof"),
    "no id": ({"jti": None}, "invalid_dpop_proof"),
    "another type": ({"header": {"typ": "JWT"}}, "invalid_dpop_proof"),
    "a key that is not whole": ({"header": {"jwk": {"kty": "EC"}}}, "invalid_dpop_proof"),
}


@pytest.mark.parametrize("wrong", WRONG)
async def test_a_wrong_proof_is_refused(running: TestGateway, key: ProofKey, token: str, wrong: str) -> None:
    """RFC 9449 §§4.3, 7.1, A94, A95: 401 with the scheme, the reason and the algorithms."""
    changes, code = WRONG[wrong]
    schemes, said = challenge(await ping(running, key.at_mcp(token, **changes)))
    assert (schemes, said["error"], said["resource_metadata"]) == (["DPoP"], code, PRM)
    assert said["scope"] == "mcp:read mcp:write"
    assert "ES256" in said["algs"].split(" ")


async def test_no_proof_and_two_proofs_are_refused(running: TestGateway, key: ProofKey, token: str) -> None:
    """RFC 9449 §4.3: exactly one."""
    schemes, said = challenge(await ping(running, {"Authorization": f"DPoP {token}"}))
    assert (schemes, said["error"]) == (["DPoP"], "invalid_dpop_proof")
    both = [("Authorization", f"DPoP {token}")]
    both += [("DPoP", key.at_mcp(token)["DPoP"]) for _ in range(2)]
    assert challenge(await ping(running, both))[1]["error"] == "invalid_dpop_proof"


async def test_a_proof_with_another_key_is_refused(running: TestGateway, clock: FakeClock, token: str) -> None:
    """RFC 9449 §7.1: a stolen token with a proof of the thief's own key."""
    schemes, said = challenge(await ping(running, ProofKey(clock).at_mcp(token)))
    assert (schemes, said["error"]) == (["DPoP"], "invalid_token")


async def test_a_seen_request_cannot_be_sent_again(running: TestGateway, key: ProofKey, token: str) -> None:
    """RFC 9449 §11.1: token and proof together are good once, also when both come at the same moment."""
    headers = key.at_mcp(token)
    answers = await asyncio.gather(*(ping(running, headers) for _ in range(10)))
    assert sorted(answer.status_code for answer in answers) == [200] + [401] * 9
    assert challenge(await ping(running, headers))[1]["error"] == "invalid_dpop_proof"


async def test_a_proof_that_came_with_a_dead_token_is_not_remembered(
    running: TestGateway, key: ProofKey, token: str
) -> None:
    """Ours: nobody without a good token makes the server write."""
    known = len(await running.rows("used_proofs"))
    assert (await ping(running, key.at_mcp("bfat_unknown"))).status_code == 401
    assert (await ping(running, key.at_mcp(token), "/mcp/notes")).status_code == 401
    assert len(await running.rows("used_proofs")) == known


async def test_the_scheme_is_one_credential_like_any_other(running: TestGateway, key: ProofKey, token: str) -> None:
    """Contract §7: more than one is 400, also the same token in two ways."""
    for more in ([("Authorization", f"Bearer {token}")], [("x-bf-vk", VIRTUAL_KEY)], [("x-api-key", token)]):
        answer = await ping(running, [*key.at_mcp(token).items(), *more])
        assert (answer.status_code, answer.json()["error"]["data"]["code"]) == (400, "conflicting_credentials")


async def test_a_revoked_bound_token_is_dead_at_once(running: TestGateway, key: ProofKey) -> None:
    """Contract §6."""
    client, tokens = await bound(running, key)
    form = {"client_id": client.client_id, "token": tokens["refresh_token"]}
    assert (await running.http.post("/api/oauth/per-user/revoke", data=form)).status_code == 200
    schemes, said = challenge(await ping(running, key.at_mcp(tokens["access_token"])))
    assert (schemes, said["error"]) == (["DPoP"], "invalid_token")


async def test_without_credentials_the_challenge_is_the_same_as_ever(running: TestGateway) -> None:
    """Contract §7: no client that knows Bearer alone sees anything new; the metadata says the rest."""
    answer = await ping(running, {})
    assert answer.headers["www-authenticate"] == f'Bearer resource_metadata="{PRM}", scope="mcp:read mcp:write"'


@pytest.mark.parametrize("era", ERAS)
async def test_a_missing_scope_is_said_in_the_scheme_that_was_used(
    sqlite_url: str, tmp_path: Path, clock: FakeClock, key: ProofKey, era: str
) -> None:
    """Contract §7, RFC 9449 §7.1: 403 insufficient_scope."""
    with hostile() as server:
        sections = {"client_configs": [upstream("one", server.url)]}
        async with running_gateway(sqlite_url, tmp_path, clock=clock, mcp=sections) as running:
            _, tokens = await bound(running, key, scope="mcp:read")
            answer = await call(running.http, "one-write", headers=key.at_mcp(tokens["access_token"]), era=era)
    schemes, said = challenge(answer, 403)
    assert (schemes, said["error"], said["scope"]) == (["DPoP"], "insufficient_scope", "mcp:read mcp:write")


async def test_a_nonce_is_given_and_wanted_when_it_is_configured(
    sqlite_url: str, tmp_path: Path, clock: FakeClock, key: ProofKey
) -> None:
    """RFC 9449 §9: 401 use_dpop_nonce with the nonce in a field, which browsers may read."""
    async with running_gateway(sqlite_url, tmp_path, clock=clock) as running:
        _, tokens = await bound(running, key)
    token = tokens["access_token"]
    async with running_gateway(sqlite_url, tmp_path, clock=clock, client={"dpop_nonces": True}) as running:
        answer = await ping(running, {**key.at_mcp(token), "Origin": "http://localhost:6274"})
        schemes, said = challenge(answer)
        assert (schemes, said["error"]) == (["DPoP"], "use_dpop_nonce")
        assert "DPoP-Nonce" in answer.headers["access-control-expose-headers"]
        nonce = answer.headers["dpop-nonce"]
        for _ in range(2):
            assert (await ping(running, key.at_mcp(token, nonce=nonce))).status_code == 200
        assert challenge(await ping(running, key.at_mcp(token, nonce="x")))[1]["error"] == "use_dpop_nonce"


async def test_a_page_may_send_proofs(running: TestGateway) -> None:
    """Contract §7: the preflight allows the field."""
    asked = {"Origin": "http://localhost:6274", "Access-Control-Request-Method": "POST"}
    answer = await running.http.options("/mcp", headers={**asked, "Access-Control-Request-Headers": "dpop"})
    allowed = answer.headers["access-control-allow-headers"].lower().split(", ")
    assert "dpop" in allowed


GREETING = {
    **PING,
    "method": "initialize",
    "params": {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}},
}


async def _session(running: TestGateway, key: ProofKey, token: str) -> dict[str, str]:
    greeted = await running.http.post("/mcp", json=GREETING, headers=key.at_mcp(token))
    return {"Mcp-Session-Id": greeted.headers["mcp-session-id"]}


async def test_every_request_of_a_session_has_a_proof_of_its_own(
    running: TestGateway, key: ProofKey, token: str
) -> None:
    """RFC 9449 §7: a session is no credential."""
    session = await _session(running, key, token)
    assert (await ping(running, {**key.at_mcp(token), **session})).status_code == 200
    assert (await ping(running, {"Authorization": f"DPoP {token}", **session})).status_code == 401
    ended = await running.http.delete("/mcp", headers={**key.at_mcp(token, method="DELETE"), **session})
    assert ended.status_code == 204


async def test_a_stream_outlives_the_proof_that_opened_it_and_ends_with_its_token(
    running: TestGateway, clock: FakeClock, key: ProofKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    """RFC 9449 §7, TC-147: a proof is for one request, and a stream is one; what is revoked is still felt."""
    client, tokens = await bound(running, key)
    session = await _session(running, key, tokens["access_token"])
    monkeypatch.setattr("bifrost.gateway.endpoints.answer.CHECK_SECONDS", 0.01)
    looked = asyncio.Semaphore(0)
    authenticate = Callers.authenticate

    async def counted(self: Callers, *presented: Any) -> Any:
        looked.release()
        return await authenticate(self, *presented)

    monkeypatch.setattr(Callers, "authenticate", counted)
    headers = {**key.at_mcp(tokens["access_token"], method="GET"), **session, "Accept": "text/event-stream"}
    stream = asyncio.create_task(_listen(running, headers))
    async with asyncio.timeout(30):
        for _ in range(4):
            await looked.acquire()
            clock.advance(seconds=200)  # after two of them the proof is too old, and it is used anyway
        assert not stream.done()
        form = {"client_id": client.client_id, "token": tokens["refresh_token"]}
        await running.http.post("/api/oauth/per-user/revoke", data=form)
        assert await stream == 200


async def _listen(running: TestGateway, headers: dict[str, str]) -> int:
    """A GET stream until the server ends it: its status. Its client never goes."""
    answered: list[int] = []

    async def receive() -> dict[str, Any]:
        await asyncio.Event().wait()
        raise AssertionError

    async def send(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            answered.append(message["status"])

    sent = {"host": HOST, **headers}
    raw = [(name.lower().encode(), value.encode()) for name, value in sent.items()]
    await running.gateway.app({**SCOPE, "method": "GET", "headers": raw}, receive, send)
    return answered[0]
