"""DPoP at the authorization server (RFC 9449): tokens that are bound to a key of their client."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx2
import jwt
import pytest

from bifrost.authserver.grants.backoff import MAX_REFUSALS
from tests.flows._documents import published
from tests.flows._dpop import bound, ping, redeem, refresh
from tests.flows._tokens import another_code, error_of
from tests.support import oauth
from tests.support.clock import FakeClock
from tests.support.dpop import ProofKey
from tests.support.gateway import ISSUER, TestGateway, running_gateway
from tests.support.oauth import AUTHORIZE, REDIRECT_URI, TOKEN, OAuthClient
from tests.support.web import Web

pytestmark = pytest.mark.anyio

PAR = "/api/oauth/per-user/par"
INTROSPECT = "/api/oauth/per-user/introspect"
METADATA = "/.well-known/oauth-authorization-server"
DEFINED = {"client_id": "report", "client_name": "Report", "redirect_uris": [REDIRECT_URI]}
BINDING = {"dpop_bound_access_tokens": True}


@pytest.fixture
def key(clock: FakeClock) -> ProofKey:
    return ProofKey(clock)


@pytest.fixture
def thief(clock: FakeClock) -> ProofKey:
    """Somebody else's key."""
    return ProofKey(clock)


@pytest.fixture
def web() -> Iterator[Web]:
    with Web().instead_of_the_network() as standing:
        yield standing


@pytest.fixture
async def on_both(database_url: str, tmp_path: Path, clock: FakeClock) -> AsyncIterator[TestGateway]:
    async with running_gateway(database_url, tmp_path, clock=clock) as started:
        yield started


async def _facts(running: TestGateway, token: str) -> dict[str, Any]:
    async with running.administrator() as administrator:
        answer = await administrator.post(INTROSPECT, data={"token": token})
    facts: dict[str, Any] = answer.json()
    return facts


async def test_the_server_says_what_it_takes(running: TestGateway) -> None:
    """RFC 9449 §5.1, RFC 9728 §2: asymmetric algorithms, in both documents."""
    for path in (METADATA, "/.well-known/oauth-protected-resource/mcp"):
        offered = (await running.http.get(path)).json()["dpop_signing_alg_values_supported"]
        assert "ES256" in offered
        assert not [alg for alg in offered if alg.startswith("HS") or alg == "none"]


@pytest.mark.parametrize("alg", ["ES256", "RS256", "PS256", "EdDSA"])
async def test_a_token_request_with_a_proof_gets_a_bound_token(
    running: TestGateway, clock: FakeClock, alg: str
) -> None:
    """RFC 9449 §5: token_type DPoP, with every algorithm that is advertised; introspection shows the key (§6.2).

    A63.
    """
    key = ProofKey(clock, alg)
    client, tokens = await bound(running, key)
    assert (await ping(running, key.at_mcp(tokens["access_token"]))).status_code == 200
    facts = await _facts(running, tokens["access_token"])
    assert (facts["active"], facts["token_type"], facts["cnf"]) == (True, "DPoP", {"jkt": key.jkt})
    assert (await _facts(running, tokens["refresh_token"]))["cnf"] == {"jkt": key.jkt}
    plain = (await client.redeem(await another_code(running, client))).json()
    assert plain["token_type"] == "Bearer"
    assert "cnf" not in await _facts(running, plain["access_token"])


async def test_a_jwt_says_to_which_key_it_is_bound(
    sqlite_url: str, tmp_path: Path, clock: FakeClock, key: ProofKey
) -> None:
    """RFC 9449 §6.1."""
    chosen = {"jwt_access_tokens_for": ["*"]}
    async with running_gateway(sqlite_url, tmp_path, clock=clock, client=chosen) as running:
        _, tokens = await bound(running, key)
        claims = jwt.decode(tokens["access_token"], options={"verify_signature": False})
        assert claims["cnf"] == {"jkt": key.jkt}
        assert (await ping(running, key.at_mcp(tokens["access_token"]))).status_code == 200
        async with running.browser() as browser:
            client, code = await oauth.authorized(running.http, browser)
        plain = (await client.redeem(code)).json()["access_token"]
        assert "cnf" not in jwt.decode(plain, options={"verify_signature": False})


WRONG: dict[str, dict[str, Any]] = {
    "another method": {"method": "GET"},
    "another address": {"url": f"{ISSUER}/mcp"},
    "another server": {"url": f"https://evil.example{TOKEN}"},
    "too old": {"iat": 1_000},
    "no id": {"jti": None},
    "another type": {"header": {"typ": "JWT"}},
}


@pytest.mark.parametrize("wrong", WRONG)
async def test_a_wrong_proof_is_refused_and_the_code_is_not_used_up(
    running: TestGateway, key: ProofKey, wrong: str
) -> None:
    """RFC 9449 §5, A94: invalid_dpop_proof; the client may try again with a right one."""
    client = await oauth.register(running.http)
    code = await another_code(running, client)
    assert error_of(await redeem(client, code, key.at_token(**WRONG[wrong]))) == "invalid_dpop_proof"
    assert (await redeem(client, code, key.at_token())).status_code == 200


async def test_two_proofs_are_none(running: TestGateway, key: ProofKey) -> None:
    """RFC 9449 §4.3: not more than one DPoP field."""
    client = await oauth.register(running.http)
    form = f"grant_type=authorization_code&client_id={client.client_id}&code=x&code_verifier=y"
    headers = [("content-type", "application/x-www-form-urlencoded"), ("dpop", key.proof()), ("dpop", key.proof())]
    assert error_of(await running.http.post(TOKEN, content=form, headers=headers)) == "invalid_dpop_proof"


async def test_a_proof_is_used_once(on_both: TestGateway, key: ProofKey) -> None:
    """RFC 9449 §11.1: on both databases."""
    client, tokens = await bound(on_both, key)
    headers = key.at_token()
    assert (await refresh(client, tokens["refresh_token"], headers)).status_code == 200
    assert error_of(await refresh(client, tokens["refresh_token"], headers)) == "invalid_dpop_proof"


async def test_a_proof_is_used_once_over_all_processes(
    database_url: str, tmp_path: Path, clock: FakeClock, key: ProofKey
) -> None:
    """A94, RFC 9449 §11.1: what one process has seen, no other takes."""
    async with (
        running_gateway(database_url, tmp_path, clock=clock) as here,
        running_gateway(database_url, tmp_path, clock=clock) as there,
    ):
        client, tokens = await bound(here, key)
        headers = key.at_mcp(tokens["access_token"])
        assert (await ping(here, headers)).status_code == 200
        assert (await ping(there, headers)).status_code == 401
        assert (await ping(there, key.at_mcp(tokens["access_token"]))).status_code == 200
        assert client


async def test_what_was_used_is_forgotten_when_it_is_too_old(
    running: TestGateway, clock: FakeClock, key: ProofKey
) -> None:
    """docs/storage.md."""
    await bound(running, key)
    assert len(await running.rows("used_proofs")) == 1
    clock.advance(seconds=361)
    await running.gateway.sweeper.sweep()
    assert await running.rows("used_proofs") == []


async def test_proofs_for_nothing_are_not_remembered(on_both: TestGateway, key: ProofKey) -> None:
    """RFC 9449 §11.1: anybody can make proofs, so they cannot fill the store; one that was for something is used up."""
    client, tokens = await bound(on_both, key)
    spent = await on_both.rows("used_proofs")
    for _ in range(3):
        assert error_of(await redeem(client, "bfac_unknown", key.at_token())) == "invalid_grant"
        assert error_of(await refresh(client, "bfrt_unknown", key.at_token())) == "invalid_grant"
        assert error_of(await _push(client, key, redirect_uri="https://elsewhere.example/cb")) == "invalid_redirect_uri"
    assert await on_both.rows("used_proofs") == spent
    code, kept = await another_code(on_both, client), key.at_token()
    assert error_of(await redeem(client, "bfac_unknown", kept)) == "invalid_grant"
    assert (await redeem(client, code, kept)).status_code == 200
    assert error_of(await refresh(client, tokens["refresh_token"], kept)) == "invalid_dpop_proof"


async def test_a_request_that_was_seen_changes_nothing_when_it_comes_again(running: TestGateway, key: ProofKey) -> None:
    """RFC 9449 §11.1, contract §6: sent again as it was, it neither gives tokens nor ends the grant."""
    client = await oauth.register(running.http)
    code, headers = await another_code(running, client), key.at_token()
    tokens = (await redeem(client, code, headers)).json()
    assert error_of(await redeem(client, code, headers)) == "invalid_dpop_proof"
    pushed = key.proof(url=f"{ISSUER}{PAR}")
    answers = [await client.http.post(PAR, data=client.request(), headers={"DPoP": pushed}) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [201, 400]
    assert (await refresh(client, tokens["refresh_token"], key.at_token())).status_code == 200


async def test_a_public_clients_refresh_token_is_bound_to_the_key(
    running: TestGateway, key: ProofKey, thief: ProofKey
) -> None:
    """RFC 9449 §5: stolen without the key it is worth nothing, and whoever tries it ends nothing."""
    client, tokens = await bound(running, key)
    for headers in (None, thief.at_token()):
        assert error_of(await refresh(client, tokens["refresh_token"], headers)) == "invalid_grant"
    fresh = (await refresh(client, tokens["refresh_token"], key.at_token())).json()
    assert fresh["token_type"] == "DPoP"
    assert (await ping(running, key.at_mcp(fresh["access_token"]))).status_code == 200


async def test_a_client_that_tried_a_wrong_key_many_times_is_not_asked_to_wait_with_the_right_one(
    running: TestGateway, key: ProofKey, thief: ProofKey
) -> None:
    """R10, RFC 9449 §5: whoever has the client id and a stolen token cannot keep its owner waiting."""
    client, tokens = await bound(running, key)
    for _ in range(MAX_REFUSALS + 1):
        refused = await refresh(client, tokens["refresh_token"], thief.at_token())
        assert error_of(refused) == "invalid_grant"
        assert "retry-after" not in refused.headers
    assert (await refresh(client, tokens["refresh_token"], key.at_token())).status_code == 200


async def test_a_confidential_client_may_change_its_key(running: TestGateway, key: ProofKey, thief: ProofKey) -> None:
    """RFC 9449 §5: its refresh token is bound to the client already, the access token to the key of each request."""
    client = await oauth.register(running.http, token_endpoint_auth_method="client_secret_post")
    _, tokens = await bound(running, key, client)
    new_key = thief
    fresh = (await refresh(client, tokens["refresh_token"], new_key.at_token())).json()
    assert (await ping(running, new_key.at_mcp(fresh["access_token"]))).status_code == 200
    assert (await ping(running, key.at_mcp(fresh["access_token"]))).status_code == 401


async def test_a_repeated_refresh_gives_the_same_pair_to_the_same_key(running: TestGateway, key: ProofKey) -> None:
    """Contract §6, R1, R5: within the window, each time with a proof of its own."""
    client, tokens = await bound(running, key)
    first = (await refresh(client, tokens["refresh_token"], key.at_token())).json()
    again = (await refresh(client, tokens["refresh_token"], key.at_token())).json()
    assert again == first
    assert again["token_type"] == "DPoP"


@pytest.mark.parametrize("whose", ["nobody's", "another's"])
async def test_a_used_refresh_token_with_another_key_ends_the_grant(
    running: TestGateway, key: ProofKey, thief: ProofKey, whose: str
) -> None:
    """R5: the window is for the same client and the same key."""
    client, tokens = await bound(running, key)
    fresh = (await refresh(client, tokens["refresh_token"], key.at_token())).json()
    headers = thief.at_token() if whose == "another's" else None
    assert error_of(await refresh(client, tokens["refresh_token"], headers)) == "invalid_grant"
    assert (await ping(running, key.at_mcp(fresh["access_token"]))).status_code == 401
    (grant,) = await running.rows("grants")
    assert grant["revoked_reason"] == "refresh_token_reused_by_another_key"


async def test_a_confidential_clients_replay_with_another_key_ends_the_grant(
    running: TestGateway, key: ProofKey, thief: ProofKey
) -> None:
    """RFC 9449 §5, R5: the pair is bound to the first key, so it is no answer to the second."""
    client = await oauth.register(running.http, token_endpoint_auth_method="client_secret_post")
    _, tokens = await bound(running, key, client)
    assert (await refresh(client, tokens["refresh_token"], key.at_token())).status_code == 200
    assert error_of(await refresh(client, tokens["refresh_token"], thief.at_token())) == "invalid_grant"
    (grant,) = await running.rows("grants")
    assert grant["revoked_reason"] == "refresh_token_reused_by_another_key"


async def test_a_bearers_refresh_token_becomes_bound_with_the_first_proof(running: TestGateway, key: ProofKey) -> None:
    """RFC 9449 §5: from then on there is no way back."""
    async with running.browser() as browser:
        client, tokens = await oauth.signed_in(running.http, browser)
    fresh = (await refresh(client, tokens["refresh_token"], key.at_token())).json()
    assert fresh["token_type"] == "DPoP"
    assert error_of(await refresh(client, fresh["refresh_token"])) == "invalid_grant"


@pytest.mark.parametrize("how", ["configuration", "API", "registration", "document"])
async def test_a_client_that_wants_bound_tokens_gets_no_others(
    sqlite_url: str, tmp_path: Path, clock: FakeClock, key: ProofKey, web: Web, how: str
) -> None:
    """RFC 9449 §5.2: honoured wherever the client says so, at the code and at the refresh."""
    configured = {"registered_clients": [{**DEFINED, **BINDING}]} if how == "configuration" else {}
    async with running_gateway(sqlite_url, tmp_path, clock=clock, client=configured) as running:
        client = await _binding(running, web, how)
        code = await another_code(running, client)
        assert error_of(await redeem(client, code)) == "invalid_dpop_proof"
        tokens = (await redeem(client, code, key.at_token())).json()
        assert tokens["token_type"] == "DPoP"
        assert error_of(await refresh(client, tokens["refresh_token"])) == "invalid_dpop_proof"
        assert (await refresh(client, tokens["refresh_token"], key.at_token())).status_code == 200


async def _binding(running: TestGateway, web: Web, how: str) -> OAuthClient:
    if how == "registration":
        client = await oauth.register(running.http, **BINDING)
        assert client.registration["dpop_bound_access_tokens"] is True
        return client
    if how == "document":
        return published(web, running.http, **BINDING)
    if how == "API":
        async with running.administrator() as administrator:
            made = await administrator.post("/api/oauth2/clients", json={**DEFINED, **BINDING})
            assert made.json()["dpop_bound_access_tokens"] is True
    return OAuthClient(running.http, DEFINED)


@pytest.mark.parametrize("at", ["authorization", "PAR", "PAR by its proof"])
async def test_a_code_can_be_bound_to_the_key_beforehand(
    running: TestGateway, key: ProofKey, thief: ProofKey, at: str
) -> None:
    """RFC 9449 §10: an intercepted code needs the key as well."""
    client = await oauth.register(running.http)
    code = await _bound_code(running, client, key, at)
    assert error_of(await redeem(client, code)) == "invalid_grant"
    assert error_of(await redeem(client, code, thief.at_token())) == "invalid_grant"
    answer = await redeem(client, code, key.at_token())
    assert (answer.status_code, answer.json()["token_type"]) == (200, "DPoP")


async def _bound_code(running: TestGateway, client: OAuthClient, key: ProofKey, at: str) -> str:
    if at == "authorization":
        return await another_code(running, client, dpop_jkt=key.jkt)
    pushed = await _push(client, key, **({"dpop_jkt": key.jkt} if at == "PAR" else {}))
    query = {"client_id": client.client_id, "request_uri": pushed.json()["request_uri"]}
    async with running.browser() as browser:
        begun = await browser.get(AUTHORIZE, params=query)
        return (await oauth.approve(browser, oauth.flow_id_of(begun)))["code"]


async def _push(client: OAuthClient, key: ProofKey, **changes: Any) -> httpx2.Response:
    return await client.http.post(PAR, data=client.request(**changes), headers={"DPoP": key.proof(f"{ISSUER}{PAR}")})


async def test_a_pushed_request_names_one_key(running: TestGateway, key: ProofKey, thief: ProofKey) -> None:
    """RFC 9449 §10.1: the parameter and the proof must agree; the proof is for this address."""
    client = await oauth.register(running.http)
    assert error_of(await _push(client, key, dpop_jkt=thief.jkt)) == "invalid_dpop_proof"
    assert (await _push(client, key, dpop_jkt=key.jkt)).status_code == 201
    elsewhere = await client.http.post(PAR, data=client.request(), headers={"DPoP": key.proof()})
    assert error_of(elsewhere) == "invalid_dpop_proof"


@pytest.mark.parametrize("value", ["x", "A" * 42, "A" * 44, "+" * 43])
async def test_a_key_that_can_be_none_is_refused_at_the_authorization_endpoint(
    running: TestGateway, value: str
) -> None:
    """RFC 9449 §10, contract §4: 400, and the parameter is named."""
    client = await oauth.register(running.http)
    answer = await running.http.get(AUTHORIZE, params=client.request(dpop_jkt=value))
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "dpop_jkt")


async def test_a_nonce_is_given_and_wanted_when_it_is_configured(
    sqlite_url: str, tmp_path: Path, clock: FakeClock, key: ProofKey
) -> None:
    """A94, RFC 9449 §8: 400 use_dpop_nonce with the nonce in a field; the same request with it succeeds."""
    async with running_gateway(sqlite_url, tmp_path, clock=clock, client={"dpop_nonces": True}) as running:
        client = await oauth.register(running.http)
        code = await another_code(running, client)
        first = await redeem(client, code, key.at_token())
        assert error_of(first) == "use_dpop_nonce"
        nonce = first.headers["dpop-nonce"]
        assert (await redeem(client, code, key.at_token(nonce=nonce))).status_code == 200
        assert "dpop-nonce" not in (await running.http.post(TOKEN, data={})).headers


async def test_another_name_of_the_server_is_its_address_too(running: TestGateway, key: ProofKey) -> None:
    """RFC 9449 §4.3, contract §1: the address is the configured one that Host names, and /token is another address."""
    client = await oauth.register(running.http)
    code = await another_code(running, client)
    form = {"grant_type": "authorization_code", "client_id": client.client_id, "code": code}
    form["code_verifier"] = client.verifier
    local = {"Host": "127.0.0.1:8080", "X-Forwarded-Host": "localhost:8080"}
    answer = await running.http.post("/token", data=form, headers={**local, **key.at_token(url=f"{ISSUER}/token")})
    assert error_of(answer) == "invalid_dpop_proof"
    proof = key.at_token(url="http://127.0.0.1:8080/token")
    assert (await running.http.post("/token", data=form, headers={**local, **proof})).status_code == 200
