"""Clients that prove themselves with a signed JWT (private_key_jwt)."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bifrost.authserver.limits import Limit
from bifrost.http.client import Fetched, OutboundClient
from tests.flows._documents import KEYS_URL, URL, SigningKey, ask, client_of, document, published
from tests.flows._tokens import error_of
from tests.support import oauth
from tests.support.clock import FakeClock
from tests.support.gateway import ISSUER, TestGateway, running_gateway
from tests.support.oauth import OAuthClient
from tests.support.web import Web

pytestmark = pytest.mark.anyio

PAR = "/api/oauth/per-user/par"


@pytest.fixture
def web() -> Iterator[Web]:
    with Web().instead_of_the_network() as standing:
        yield standing


@pytest.fixture
def key(clock: FakeClock) -> SigningKey:
    return SigningKey(clock)


def proven(web: Web, running: TestGateway, key: SigningKey, **changes: Any) -> OAuthClient:
    """A published client that signs, with its keys in the document."""
    return published(web, running.http, token_endpoint_auth_method="private_key_jwt", **{"jwks": key.jwks, **changes})


async def code_for(running: TestGateway, client: OAuthClient) -> str:
    async with running.browser() as browser:
        return (await oauth.approve(browser, await oauth.begin(browser, client)))["code"]


@pytest.mark.parametrize("audience", [ISSUER, ISSUER + oauth.TOKEN, ISSUER + PAR, [ISSUER]])
@pytest.mark.parametrize("with_id", [True, False])
async def test_a_signed_client_gets_and_renews_tokens(
    running: TestGateway, web: Web, key: SigningKey, audience: Any, *, with_id: bool
) -> None:
    """A8, A78, RFC 7523 §2.2: for the issuer or an endpoint that asks for it (RFC 9126 §2); without client_id, too."""
    client = proven(web, running, key)
    form = {"grant_type": "authorization_code", "code": await code_for(running, client)}
    form |= {"code_verifier": client.verifier, **key.form(aud=audience)} | ({"client_id": URL} if with_id else {})
    answer = await running.http.post(oauth.TOKEN, data=form)
    assert answer.status_code == 200, answer.text
    tokens = answer.json()
    assert (await client.refresh(tokens["refresh_token"], **key.form())).status_code == 200


async def test_every_request_needs_the_proof(running: TestGateway, web: Web, key: SigningKey) -> None:
    """A78, CIMD §8.2: neither nothing, nor a secret, nor another key will do; and the code stays good."""
    client = proven(web, running, key)
    code = await code_for(running, client)
    assert error_of(await client.redeem(code), 401) == "invalid_client"
    assert error_of(await client.redeem(code, client_secret="x"), 401) == "invalid_client"
    stranger = SigningKey(key._clock)
    assert error_of(await client.redeem(code, **stranger.form()), 401) == "invalid_client"
    assert (await client.redeem(code, **key.form())).status_code == 200
    revoke = "/api/oauth/per-user/revoke"
    assert error_of(await running.http.post(revoke, data={"client_id": URL, "token": "x"}), 401) == "invalid_client"
    assert (await running.http.post(revoke, data={"token": "x", **key.form()})).status_code == 200


WRONG: list[dict[str, Any]] = [
    {"iss": "https://other.example/c.json"},
    {"iss": None},
    {"sub": None},
    {"aud": "https://other.example"},
    {"aud": [ISSUER, "https://other.example"]},
    {"aud": []},
    {"aud": None},
    {"aud": ISSUER + "/"},
    {"exp": None},
    {"exp": 1},
    {"exp": 4_000_000_000},
    {"exp": "soon"},
    {"exp": True},
    {"nbf": 4_000_000_000},
    {"iat": 4_000_000_000},
    {"jti": None},
    {"jti": ""},
    {"jti": 7},
    {"jti": "x" * 600},
]


@pytest.mark.parametrize("claims", WRONG, ids=str)
async def test_an_assertion_with_a_wrong_claim_is_refused(
    running: TestGateway, web: Web, key: SigningKey, claims: dict[str, Any]
) -> None:
    """X2, RFC 7523 §3: issuer, subject, audience, time, id."""
    client = proven(web, running, key)
    assert error_of(await client.redeem("bfac_x", **key.form(**claims)), 401) == "invalid_client"
    assert not await running.rows("used_assertions")


async def test_an_assertion_is_used_once(running: TestGateway, web: Web, key: SigningKey, clock: FakeClock) -> None:
    """X2, RFC 7523 §3: also when its request failed otherwise, and as long as it could still be valid."""
    client, form = proven(web, running, key), key.form()
    assert error_of(await client.redeem("bfac_x", **form)) == "invalid_grant"
    clock.advance(seconds=119)
    await running.gateway.sweeper.sweep()
    again = await client.redeem("bfac_x", **form)
    assert (error_of(again, 401), "before" in again.json()["error_description"]) == ("invalid_client", True)
    clock.advance(seconds=2)
    late = await client.redeem("bfac_x", **form)
    assert "exp" in late.json()["error_description"]
    clock.advance(seconds=58)
    await running.gateway.sweeper.sweep()
    assert await running.rows("used_assertions"), "another process may be a moment behind"
    clock.advance(seconds=2)
    await running.gateway.sweeper.sweep()
    assert not await running.rows("used_assertions"), "an hour of them would be many"


async def test_a_time_with_a_fraction_ends_when_it_says(
    running: TestGateway, web: Web, key: SigningKey, clock: FakeClock
) -> None:
    """RFC 7519 §2: a NumericDate may have one; it is remembered for as long as it would be taken."""
    client, began = proven(web, running, key), clock.now() // 1_000
    form = key.form(exp=began + 30.9)
    assert error_of(await client.redeem("bfac_x", **form)) == "invalid_grant"
    clock.advance(seconds=90)
    again = await client.redeem("bfac_x", **form)
    assert "before" in again.json()["error_description"]
    (row,) = await running.rows("used_assertions")
    assert row["expires_at"] == (began + 91) * 1_000


async def test_of_parallel_uses_over_two_processes_one_wins(
    database_url: str, tmp_path: Path, web: Web, key: SigningKey, clock: FakeClock
) -> None:
    """RFC 7523 §3: the id is claimed in the database, so replicas share it."""
    one = running_gateway(database_url, tmp_path, clock=clock)
    other = running_gateway(database_url, tmp_path, clock=clock)
    async with one as first, other as second:
        client, form = proven(web, first, key), key.form()
        data = {"grant_type": "refresh_token", "refresh_token": "bfrt_x", **form}
        asked = [replica.http.post(oauth.TOKEN, data=data) for replica in (first, second) for _ in range(8)]
        answers = [answer.json()["error"] for answer in await asyncio.gather(*asked)]
    assert client.client_id == URL
    assert sorted(answers) == ["invalid_client"] * 15 + ["invalid_grant"]


async def test_a_client_fills_its_own_share_of_what_is_remembered_and_no_more(
    running: TestGateway, web: Web, key: SigningKey, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """RFC 7523 §3, TC-086: none is forgotten early, which would let it be used again; the next is asked to wait."""
    monkeypatch.setattr("bifrost.authserver.client_assertions.MAX_REMEMBERED", 3)
    client, began = proven(web, running, key), clock.now() // 1_000
    forms = [key.form(exp=began + seconds) for seconds in (3_600, 30, 300)]
    for form in forms:
        assert error_of(await client.redeem("bfac_x", **form)) == "invalid_grant"
    for _ in range(5):
        full = await client.redeem("bfac_x", **key.form())
        assert error_of(full, 429) == "temporarily_unavailable"
        assert full.headers["retry-after"] == "90", "until the first of them has expired, and its leeway"
        assert "expire" in full.json()["error_description"]
    assert len(await running.rows("used_assertions")) == 3
    for form in forms:
        assert "before" in (await client.redeem("bfac_x", **form)).json()["error_description"]
    other = proven(web, running, key, client_id="https://other.example/c.json")
    assert error_of(await other.redeem("bfac_x", **key.form(client_id=other.client_id))) == "invalid_grant"
    clock.advance(seconds=90)
    assert error_of(await client.redeem("bfac_x", **key.form())) == "invalid_grant"
    assert error_of(await client.redeem("bfac_x", **key.form()), 429) == "temporarily_unavailable"


@pytest.mark.parametrize(
    "changes",
    [
        {"client_assertion_type": None},
        {"client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:saml2-bearer"},
        {"client_assertion": None},
        {"client_secret": "x"},
        {"client_id": "https://other.example/c.json"},
    ],
)
async def test_two_readings_of_who_asks_are_refused(
    running: TestGateway, web: Web, key: SigningKey, changes: dict[str, Any]
) -> None:
    """OAuth 2.1 §2.4, RFC 7521 §4.2: one way to authenticate, one client."""
    client = proven(web, running, key)
    form = {"client_id": URL, "grant_type": "refresh_token", "refresh_token": "x", **key.form(), **changes}
    answer = await client.http.post(oauth.TOKEN, data={k: v for k, v in form.items() if v is not None})
    assert error_of(answer) == "invalid_request"


async def test_an_assertion_beside_basic_is_refused(running: TestGateway, web: Web, key: SigningKey) -> None:
    """OAuth 2.1 §2.4."""
    proven(web, running, key)
    form = {"grant_type": "refresh_token", "refresh_token": "x", **key.form()}
    answer = await running.http.post(oauth.TOKEN, data=form, headers={"Authorization": "Basic eDp5"})
    assert error_of(answer) == "invalid_request"


@pytest.mark.parametrize("assertion", ["x", "a.b.c", "e30.e30.e30", "..", "W10.W10.W10"])
async def test_what_is_no_assertion_is_refused(running: TestGateway, web: Web, key: SigningKey, assertion: str) -> None:
    """RFC 7523 §3: never a crash."""
    proven(web, running, key)
    form = {**key.form(), "client_assertion": assertion, "grant_type": "refresh_token", "client_id": URL}
    assert error_of(await running.http.post(oauth.TOKEN, data=form), 401) == "invalid_client"


async def test_a_client_of_another_kind_cannot_use_an_assertion(
    running: TestGateway, web: Web, key: SigningKey
) -> None:
    """A78: a public document proves nothing, and a registered client has a secret."""
    public = published(web, running.http)
    assert error_of(await public.redeem("bfac_x", **key.form()), 401) == "invalid_client"
    registered = await oauth.register(running.http, token_endpoint_auth_method="client_secret_post")
    form = key.form(registered.client_id)
    assert error_of(await registered.redeem("bfac_x", **form), 401) == "invalid_client"


async def test_an_assertion_never_travels_in_the_url(running: TestGateway, web: Web, key: SigningKey) -> None:
    """Contract §6: secrets in the query are refused."""
    proven(web, running, key)
    form = {"grant_type": "refresh_token", "refresh_token": "bfrt_x"}
    proof = key.form()
    in_url = {"client_assertion": proof["client_assertion"]}
    answer = await running.http.post(oauth.TOKEN, params=in_url, data={**form, **proof})
    assert error_of(answer) == "invalid_request"
    assert error_of(await running.http.post(oauth.TOKEN, data={**form, **proof})) == "invalid_grant", "it was not used"


async def test_keys_are_read_from_their_address(
    running: TestGateway, web: Web, key: SigningKey, clock: FakeClock
) -> None:
    """RFC 7591 §2, A77: fetched once, again for a key id that is new, and kept while their host is down."""
    client = proven(web, running, key, jwks=None, jwks_uri=KEYS_URL)
    await code_for(running, client)
    web.publish(KEYS_URL, key.jwks)
    for _ in range(2):
        assert error_of(await client.redeem("bfac_x", **key.form())) == "invalid_grant"
    assert web.fetched == [URL, KEYS_URL]
    newer = SigningKey(clock, "two")
    web.publish(KEYS_URL, newer.jwks)
    clock.advance(seconds=31)
    assert error_of(await client.redeem("bfac_x", **newer.form())) == "invalid_grant"
    assert error_of(await client.redeem("bfac_x", **key.form()), 401) == "invalid_client"
    web.down(KEYS_URL)
    clock.advance(seconds=48 * 3_600)
    web.fetched.clear()
    for _ in range(3):
        assert error_of(await client.redeem("bfac_x", **newer.form())) == "invalid_grant"
        assert error_of(await client.redeem("bfac_x", **SigningKey(clock, "three").form()), 401) == "invalid_client"
    assert web.fetched.count(KEYS_URL) == 1, "whoever waits for it at every request has given up before it is back"
    clock.advance(seconds=31)
    stranger_id = "https://stranger.example/client.json"
    stranger = proven(web, running, key, client_id=stranger_id, jwks=None, jwks_uri=KEYS_URL)
    assert error_of(await stranger.redeem("bfac_x", **key.form(client_id=stranger_id)), 401) == "invalid_client"
    web.publish(KEYS_URL, key.jwks)
    assert error_of(await client.redeem("bfac_x", **key.form())) == "invalid_grant", "whomever it did not answer before"


async def test_keys_that_cannot_be_fetched_log_nobody_out(running: TestGateway, web: Web, key: SigningKey) -> None:
    """Contract §2: 503 and try again, because 401 would make the client register anew."""
    client = proven(web, running, key, jwks=None, jwks_uri=KEYS_URL)
    answer = await client.redeem("bfac_x", **key.form())
    assert error_of(answer, 503) == "temporarily_unavailable"
    assert int(answer.headers["retry-after"]) > 0
    web.publish(KEYS_URL, key.jwks)
    assert error_of(await client.redeem("bfac_x", **key.form())) == "invalid_grant"


async def test_nobody_can_aim_this_server_at_a_host_by_the_addresses_of_keys(
    running: TestGateway, web: Web, key: SigningKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A75, TC-095: fetches of keys count with those of documents, for their host, whatever the port."""
    monkeypatch.setattr("bifrost.authserver.fetching.FETCHES", Limit(name="t", per_minute=8, in_all=False))
    headers = {"Cache-Control": "no-store"}
    for number in range(40):
        url = f"https://victim.example:{number + 1}/keys.json"
        web.publish(url, key.jwks)
        client = proven(
            web,
            running,
            key,
            client_id=f"https://app-{number}.example.com/client.json",
            jwks=None,
            jwks_uri=url,
            headers=headers,
        )
        await client.redeem("bfac_x", **key.form(client_id=client.client_id))
    assert len([url for url in web.fetched if "victim" in url]) == 8


async def test_clients_that_are_invented_on_a_host_keep_no_allowed_one_from_its_keys(
    running: TestGateway, web: Web, key: SigningKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A75, TC-095: what strangers may have fetched from a host is used up by them alone."""
    monkeypatch.setattr("bifrost.authserver.fetching.FETCHES", Limit(name="t", per_minute=8, in_all=False))
    client = proven(web, running, key, jwks=None, jwks_uri=KEYS_URL)
    web.publish(KEYS_URL, key.jwks)
    code = await code_for(running, client)
    invented = [document(client_id=f"https://app.example.com/{number}.json") for number in range(8)]
    assert [(await ask(running, client_of(running.http, one))).status_code for one in invented] == [400] * 7 + [429]
    answer = await client.redeem(code, **key.form())
    assert answer.status_code == 200, answer.text


async def test_a_stranger_who_names_the_keys_of_an_allowed_client_is_not_waited_for(
    running: TestGateway, web: Web, key: SigningKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A75, TC-095: also when both are after the same keys at the same moment."""
    client = proven(web, running, key, jwks=None, jwks_uri=KEYS_URL)
    web.publish(KEYS_URL, key.jwks)
    code = await code_for(running, client)
    stranger_id = "https://stranger.example/client.json"
    stranger = proven(web, running, key, client_id=stranger_id, jwks=None, jwks_uri=KEYS_URL)
    asked, answer = asyncio.Event(), OutboundClient.fetch

    async def slow_at_first(outside: OutboundClient, url: str, **given: Any) -> Fetched:
        if url == KEYS_URL and not asked.is_set():
            asked.set()
            await asyncio.Event().wait()
        return await answer(outside, url, **given)

    monkeypatch.setattr(OutboundClient, "fetch", slow_at_first)
    waiting = asyncio.create_task(stranger.redeem("bfac_x", **key.form(client_id=stranger_id)))
    await asked.wait()
    assert (await client.redeem(code, **key.form())).status_code == 200
    waiting.cancel()


async def test_key_sets_in_memory_are_bounded(
    running: TestGateway, web: Web, key: SigningKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ours: anybody may publish keys; the ones in use stay."""
    monkeypatch.setattr("bifrost.authserver.client_assertions.MAX_SETS", 3)

    async def proves_itself(number: int) -> None:
        url, client_id = f"https://keys.example/{number}.json", f"https://app.example.com/{number}.json"
        web.publish(url, key.jwks)
        client = proven(web, running, key, client_id=client_id, jwks=None, jwks_uri=url)
        assert error_of(await client.redeem("bfac_x", **key.form(client_id=client_id))) == "invalid_grant"

    for number in (0, 1, 2, 0, 3, 0, 4, 0):
        await proves_itself(number)
    fetched = [url for url in web.fetched if "keys.example" in url]
    assert fetched.count("https://keys.example/0.json") == 1
    await proves_itself(1)
    assert web.fetched.count("https://keys.example/1.json") == 2, "it was forgotten"


@pytest.mark.parametrize(
    "url", ["http://keys.example/jwks.json", "https://127.0.0.1/../x y", "https://[::1", "https://[x]/"]
)
async def test_keys_are_fetched_by_the_same_guarded_client(
    running: TestGateway, web: Web, key: SigningKey, url: str
) -> None:
    """A75, TC-095: the address of keys is a stranger's too."""
    client = proven(web, running, key, jwks=None, jwks_uri=url)
    assert error_of(await client.redeem("bfac_x", **key.form()), 503) == "temporarily_unavailable"
    assert web.fetched == [URL]
