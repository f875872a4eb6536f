"""JWT access tokens (RFC 9068): others can check them, and here they are worth what any other token is worth."""

import base64
import json
import random
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from jwt import PyJWK

from bifrost.base import jose
from tests.flows._tokens import Signed, error_of, opens, signed_in
from tests.support.clock import FakeClock
from tests.support.gateway import ISSUER, KEY_ID, TestGateway, running_gateway, upstream

pytestmark = pytest.mark.anyio

JWKS = "/.well-known/jwks.json"
NOTES = {"client_configs": [upstream("notes", "http://127.0.0.1:9/mcp")]}
FLIPS = 400
Claims = dict[str, Any]


@pytest.fixture(params=["ES256", "RS256"])
async def running(
    request: pytest.FixtureRequest, sqlite_url: str, tmp_path: Path, clock: FakeClock
) -> AsyncIterator[TestGateway]:
    settings = {"jwt_access_tokens_for": ["*"], "jwt_signing_alg": request.param}
    async with running_gateway(sqlite_url, tmp_path, clock=clock, client=settings, mcp=NOTES) as started:
        yield started


def _segments(token: str) -> tuple[Claims, Claims, str]:
    header, claims, signature = token.split(".")
    return _decoded(header), _decoded(claims), signature


def _decoded(segment: str) -> Claims:
    value: Claims = json.loads(base64.urlsafe_b64decode(segment + "=" * (-len(segment) % 4)))
    return value


def _encoded(value: Any) -> str:
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


async def _signed_anew(running: TestGateway, token: str, header: Claims, claims: Claims) -> str:
    """As somebody would who had our own key: what the signature says is true, and still we never issued it."""
    old_header, old_claims, _ = _segments(token)
    keys = running.gateway.signing_keys
    private = keys._private(await keys._active())
    return jose.sign(private, {**old_header, **header}, {**old_claims, **claims})


async def test_somebody_else_can_check_it(running: TestGateway) -> None:
    """RFC 9068 §2, A64: type, key id, and every claim that is required; checked with the published keys."""
    client, tokens = await signed_in(running, scope="mcp:read")
    token = tokens["access_token"]
    keys = {key["kid"]: key for key in (await running.http.get(JWKS)).json()["keys"]}
    header = jwt.get_unverified_header(token)
    assert set(header) == {"alg", "kid", "typ"}
    assert header["typ"] == "at+jwt"
    now = running.clock.now() // 1_000
    claims = jwt.decode(
        token, PyJWK(keys[header["kid"]]), algorithms=[header["alg"]], audience=f"{ISSUER}/mcp", issuer=ISSUER,
        options={"verify_exp": False, "verify_iat": False},
    )  # fmt: skip
    assert claims.pop("jti")
    assert claims == {
        "iss": ISSUER,
        "sub": f"vk:{KEY_ID}",
        "aud": f"{ISSUER}/mcp",
        "client_id": client.client_id,
        "scope": "mcp:read",
        "iat": now,
        "exp": now + 86_400,
    }
    assert header["kid"] == jose.thumbprint({n: v for n, v in keys[header["kid"]].items() if n in "crv kty x y e n"})


async def test_it_opens_what_an_opaque_token_opens(running: TestGateway) -> None:
    """Contract §6: the same rules at our own endpoints; every refresh gives another one."""
    client, tokens = await signed_in(running)
    assert await opens(running, tokens["access_token"]) == 200
    assert await opens(running, tokens["access_token"], "/mcp/notes") == 401
    fresh = (await client.refresh(tokens["refresh_token"])).json()
    assert fresh["access_token"] != tokens["access_token"]
    again = (await client.refresh(tokens["refresh_token"])).json()
    assert again == fresh
    assert await opens(running, fresh["access_token"]) == 200


@pytest.mark.parametrize("how", ["the token", "the grant", "the key", "time"])
async def test_it_ends_at_once_like_any_other(running: TestGateway, how: str) -> None:
    """Contract §6, TC-147: no tail until it expires by itself."""
    client, tokens = await signed_in(running)
    assert await opens(running, tokens["access_token"]) == 200
    form = {"client_id": client.client_id, "token": tokens["access_token"]}
    if how == "the token":
        assert (await running.http.post("/api/oauth/per-user/revoke", data=form)).status_code == 200
    elif how == "the grant":
        await running.http.post("/api/oauth/per-user/revoke", data={**form, "token": tokens["refresh_token"]})
    elif how == "the key":
        await running.gateway.virtual_keys.revoke(KEY_ID)
    else:
        running.clock.advance(seconds=86_400)
    assert await opens(running, tokens["access_token"]) == 401


async def test_it_is_for_chosen_clients_only(sqlite_url: str, tmp_path: Path, clock: FakeClock) -> None:
    """Contract §6: a per-client option; everybody else gets opaque tokens."""
    async with running_gateway(sqlite_url, tmp_path, clock=clock) as plain:
        client, tokens = await signed_in(plain)
        assert tokens["access_token"].startswith("bfat_")
    chosen = {"jwt_access_tokens_for": [client.client_id]}
    async with running_gateway(sqlite_url, tmp_path, clock=clock, client=chosen) as running:
        client.http = running.http
        assert (await client.refresh(tokens["refresh_token"])).json()["access_token"].startswith("eyJ")
        _other, opaque = await signed_in(running, metadata={"client_name": "Other"})
        assert opaque["access_token"].startswith("bfat_")


async def test_only_its_hash_is_stored(running: TestGateway) -> None:
    """Contract §6, TC-145: like every token; the hash itself is none."""
    _client, tokens = await signed_in(running)
    (row,) = await running.rows("access_tokens")
    assert tokens["access_token"] not in str(row)
    assert await opens(running, row["token_hash"]) == 401
    assert await opens(running, tokens["access_token"].upper()) == 401


async def _refused(running: TestGateway, *tokens: str) -> None:
    for token in tokens:
        assert await opens(running, token) == 401, token[:200]


async def _good(running: TestGateway) -> str:
    _client, tokens = await signed_in(running)
    assert await opens(running, tokens["access_token"]) == 200
    token: str = tokens["access_token"]
    return token


async def test_no_signature_is_no_token(running: TestGateway) -> None:
    """TC-136: `alg` none in every spelling, and a signature that was taken off."""
    token = await _good(running)
    header, claims, _ = _segments(token)
    body = token.split(".")[1]
    for alg in ("none", "None", "nOnE", "NONE", ""):
        unsigned = f"{_encoded({**header, 'alg': alg})}.{_encoded(claims)}"
        await _refused(running, f"{unsigned}.", unsigned, f"{unsigned}.{token.split('.')[2]}")
    await _refused(running, f"{token.split('.')[0]}.{body}.", f"{token.split('.')[0]}.{body}")


async def test_the_public_key_is_no_password(running: TestGateway) -> None:
    """TC-137: HS256 with the published key in every form as the secret."""
    token = await _good(running)
    header, claims, _ = _segments(token)
    (jwk,) = [key for key in (await running.http.get(JWKS)).json()["keys"] if key["kid"] == header["kid"]]
    public = PyJWK(jwk).key
    secrets = [
        public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo),
        public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo),
        public.public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH),
        (jwk.get("n") or jwk["x"]).encode(),
        json.dumps(jwk).encode(),
        b"",
    ]
    for secret in secrets:
        await _refused(running, _hs256({**header, "alg": "HS256"}, claims, secret))


def _hs256(header: Claims, claims: Claims, secret: bytes) -> str:
    signed = f"{_encoded(header)}.{_encoded(claims)}"
    import hmac  # noqa: PLC0415 - the attack, not the test

    return f"{signed}.{_encoded(hmac.digest(secret, signed.encode(), 'sha256'))}"


@pytest.mark.parametrize("member", ["jwk", "jku", "x5u", "x5c"])
async def test_a_key_that_the_token_brings_along_is_not_used(running: TestGateway, member: str) -> None:
    """TC-138: and nothing is fetched; an address that nobody may ask would be asked."""
    token = await _good(running)
    header, claims, _ = _segments(token)
    thief = jose.new_private_key(header["alg"])
    value = {"jwk": jose.public_jwk(thief), "x5c": ["MIIB"]}.get(member, "http://127.0.0.1:9/keys")
    await _refused(running, jose.sign(thief, {**header, member: value}, claims), jose.sign(thief, header, claims))


@pytest.mark.parametrize("kid", ["../../dev/null", "' UNION SELECT 'x", "\0", "k" * 4_000, None, "unknown", 7, "AAAA"])
async def test_a_key_id_leads_nowhere(running: TestGateway, kid: Any) -> None:
    """TC-139: neither a file nor a query nor another fetch, also when the signature is right."""
    token = await _good(running)
    await _refused(running, await _signed_anew(running, token, {"kid": kid}, {}))


@pytest.mark.parametrize(
    "header",
    [
        {"crit": ["exp"]},
        {"crit": ["x"], "x": 1},
        {"alg": "ES256K"},
        {"alg": "foo"},
        {"typ": "JWT"},
        {"typ": "dpop+jwt"},
    ],
)
async def test_what_the_header_claims_is_not_believed(running: TestGateway, header: Claims) -> None:
    """TC-140: critical extensions, other algorithms, other kinds of token."""
    await _refused(running, await _signed_anew(running, await _good(running), header, {}))


async def test_other_kinds_of_token_are_no_access_token(running: TestGateway) -> None:
    """TC-140: a refresh token, a token in a token, an encrypted one."""
    _client, tokens = await signed_in(running)
    token = tokens["access_token"]
    header, _, signature = token.split(".")
    await _refused(
        running,
        tokens["refresh_token"],
        f"{header}.{_encoded(token.encode())}.{signature}",
        f"{_encoded({'alg': 'dir', 'enc': 'A256GCM', 'zip': 'DEF'})}..{'A' * 16}.{'A' * 64}.{'A' * 22}",
    )


@pytest.mark.parametrize(
    "claims",
    [
        {"aud": None},
        {"aud": f"{ISSUER}/mcp/notes"},
        {"aud": [f"{ISSUER}/mcp", "https://evil.test"]},
        {"aud": f"{ISSUER}/mcp-evil"},
        {"aud": ISSUER},
    ],
)
async def test_another_audience_is_refused(running: TestGateway, claims: Claims) -> None:
    """RS9, TC-141: also when our own key has signed it."""
    await _refused(running, await _signed_anew(running, await _good(running), {}, claims))


@pytest.mark.parametrize("issuer", [None, ISSUER[:-1], f"{ISSUER}/", "https://other.test", ISSUER.upper()])
async def test_another_issuer_is_refused(running: TestGateway, issuer: str | None) -> None:
    """TC-142: compared whole."""
    await _refused(running, await _signed_anew(running, await _good(running), {}, {"iss": issuer}))


@pytest.mark.parametrize(
    "claims",
    [
        {"exp": 1},
        {"exp": None},
        {"exp": "9999999999"},
        {"exp": -1},
        {"exp": 1e300},
        {"nbf": 9_999_999_999},
        {"iat": 1e12},
    ],
)
async def test_another_lifetime_is_refused(running: TestGateway, claims: Claims) -> None:
    """TC-143: nobody gives a token more time than it was given."""
    await _refused(running, await _signed_anew(running, await _good(running), {}, claims))


async def test_no_byte_of_it_may_change(running: TestGateway) -> None:
    """TC-144: flipped, cut, lengthened, with blanks, and far too long; never anything but a 401."""
    token = await _good(running)
    chance = random.Random(144)  # noqa: S311 - which byte is flipped is no secret
    for _ in range(FLIPS):
        place = chance.randrange(len(token))
        other = chance.choice([c for c in "ABCxyz019-_.=" if c != token[place]])
        await _refused(running, token[:place] + other + token[place + 1 :])
    shapes: list[Callable[[str], str]] = [
        lambda t: t[:-1],
        lambda t: t[1:],
        lambda t: f"{t}.",
        lambda t: f"{t}=",
        lambda t: t.replace(".", ". "),
        lambda t: t + "A" * 60_000,
        lambda _: "eyJ" + "A" * 60_000,
        lambda _: "eyJ",
        lambda _: "..",
    ]
    await _refused(running, *(shape(token) for shape in shapes))


async def test_metadata_says_where_the_keys_are(running: TestGateway) -> None:
    """RFC 8414 §2, TC-158."""
    document = (await running.http.get("/.well-known/oauth-authorization-server")).json()
    assert document["jwks_uri"] == f"{ISSUER}{JWKS}"
    answer = await running.http.get(JWKS, headers={"Origin": "https://page.test"})
    assert answer.headers["access-control-allow-origin"]


async def test_introspection_and_revocation_know_it(running: TestGateway) -> None:
    """RFC 7662, RFC 7009: by the token itself, whatever its form."""
    signed: Signed = await signed_in(running)
    client, tokens = signed
    async with running.administrator() as administrator:
        form = {"token": tokens["access_token"]}
        answer = await administrator.post("/api/oauth/per-user/introspect", data=form)
        assert answer.json()["active"] is True
        await client.http.post("/api/oauth/per-user/revoke", data={"client_id": client.client_id, **form})
        answer = await administrator.post("/api/oauth/per-user/introspect", data=form)
        assert answer.json() == {"active": False}
    assert error_of(await client.refresh("bfrt_x")) == "invalid_grant"
