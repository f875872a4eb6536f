"""How this gateway proves itself to authorization servers of upstreams, and what it asks them for."""

import base64
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from bifrost.base.clock import SECOND
from tests.flows import _connecting as people
from tests.support import oauth
from tests.support.clock import FakeClock
from tests.support.gateway import ISSUER, VIRTUAL_KEY, running_gateway, upstream
from tests.support.oauth_upstream import OAuthUpstream
from tests.support.servers import serving

pytestmark = pytest.mark.anyio

BY_SIGNATURE = {"token_endpoint_auth_methods_supported": ["private_key_jwt", "tls_client_auth"]}
JWT_BEARER = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


@dataclass
class SigningServer(OAuthUpstream):
    """Takes nothing but signatures at its token endpoint, each once, and checks them against the registered key."""

    keys: list[dict[str, str]] = field(default_factory=list)
    used: set[str] = field(default_factory=set)
    now: int = 0

    async def _register(self, request: Request) -> Response:
        self.keys = (await request.json())["jwks"]["keys"]
        return await super()._register(request)

    async def _token(self, request: Request) -> Response:
        form = {name: str(value) for name, value in (await request.form()).items()}
        if form.get("client_assertion_type") != JWT_BEARER or not self._proven(form.get("client_assertion", "")):
            return JSONResponse({"error": "invalid_client"}, 401)
        return await super()._token(request)

    def _proven(self, assertion: str) -> bool:
        header, claims, signature = (_decoded(part) for part in assertion.split("."))
        (key,) = [one for one in self.keys if one["kid"] == json.loads(header)["kid"]]
        said = json.loads(claims)
        if said["jti"] in self.used or said["aud"] != self.origin or not self.now < said["exp"] <= self.now + 300:
            return False
        self.used.add(said["jti"])
        return said["iss"] == said["sub"] == "client-1" and _verifies(key, assertion.rpartition(".")[0], signature)


def _decoded(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


def _verifies(key: dict[str, str], signed: str, signature: bytes) -> bool:
    x, y = (int.from_bytes(_decoded(key[name]), "big") for name in ("x", "y"))
    public = ec.EllipticCurvePublicNumbers(x, y, ec.SECP256R1()).public_key()
    r, s = (int.from_bytes(half, "big") for half in (signature[:32], signature[32:]))
    try:
        public.verify(encode_dss_signature(r, s), signed.encode(), ec.ECDSA(hashes.SHA256()))
    except InvalidSignature:
        return False
    return True


async def test_a_server_that_wants_signatures_gets_them(database_url: str, tmp_path: Path, clock: FakeClock) -> None:
    """RFC 7523 §2.2: registered with our public key, a fresh assertion for the code, the renewal and the revocation."""
    guarded = SigningServer(metadata=BY_SIGNATURE, revokes=True, now=clock.now() // SECOND)
    async with people.connected_gateway(database_url, tmp_path, guarded, clock=clock) as running:
        alice = await people.signed_in_with(running, VIRTUAL_KEY, "alice")
        assert people.text_of(await people.whoami(running, alice)) == "alice"
        clock.advance(seconds=3_600)
        guarded.now = clock.now() // SECOND
        assert people.text_of(await people.whoami(running, alice)) == "alice"
        (registered,) = guarded.registrations
        assert (registered["token_endpoint_auth_method"], registered["token_endpoint_auth_signing_alg"]) == (
            "private_key_jwt",
            "ES256",
        )
        assert "d" not in registered["jwks"]["keys"][0], "the private half stays here"
        assert len(guarded.used) == 2
        assert all("client_secret" not in form for form in guarded.token_requests)
        (stored,) = [row["value"] for row in await running.rows("installation") if row["name"] == "upstream_client_key"]
        assert stored.startswith("v1."), "sealed"


async def test_all_processes_sign_with_one_key(database_url: str, tmp_path: Path) -> None:
    """One installation, one key: the first that is written counts, also when many ask at once."""
    guarded = OAuthUpstream()
    async with people.connected_gateway(database_url, tmp_path, guarded) as first:
        entry = upstream("guarded", guarded.url, auth_type="per_user_oauth")
        async with running_gateway(
            database_url, tmp_path, clock=first.clock, mcp={"client_configs": [entry]}, governance=people.KEYS
        ) as second:
            found = [(await one.http.get("/oauth/client-jwks.json")).json() for one in (first, second, first)]
            assert found[0] == found[1] == found[2]
            (key,) = found[0]["keys"]
            assert set(key) == {"kty", "crv", "x", "y", "use", "alg", "kid"}


@pytest.mark.parametrize(
    ("methods", "algorithms", "method"),
    [
        (["none", "private_key_jwt"], None, "none"),
        (["private_key_jwt", "client_secret_post"], None, "client_secret_post"),
        (["private_key_jwt"], ["ES256"], "private_key_jwt"),
        (["private_key_jwt"], ["RS256"], "none"),
    ],
)
async def test_the_simplest_way_that_is_offered_is_taken(
    sqlite_url: str, tmp_path: Path, methods: list[str], algorithms: list[str] | None, method: str
) -> None:
    """Contract §8; RFC 8414 §2: a signature only where nothing simpler is offered and our algorithm is taken."""
    metadata: dict[str, Any] = {"token_endpoint_auth_methods_supported": methods}
    if algorithms:
        metadata["token_endpoint_auth_signing_alg_values_supported"] = algorithms
    guarded = OAuthUpstream(metadata=metadata)
    async with people.connected_gateway(sqlite_url, tmp_path, guarded) as running, running.browser() as browser:
        flow_id, _csrf = await people.identify(browser, await oauth.register(running.http))
        await browser.get(await people.connect_link(browser, flow_id))
        (registered,) = guarded.registrations
        assert registered["token_endpoint_auth_method"] == method
        assert registered["application_type"] == "native", "its callback is on this computer"


async def test_a_client_registered_by_hand_signs_where_it_has_no_secret(
    sqlite_url: str, tmp_path: Path, clock: FakeClock
) -> None:
    """Contract §8, pre-registered first: an administrator gives the address of our keys, and no secret."""
    guarded = SigningServer(metadata=BY_SIGNATURE, registers=False, now=clock.now() // SECOND)
    async with people.connected_gateway(
        sqlite_url, tmp_path, guarded, clock=clock, oauth_config={"client_id": "client-1"}
    ) as running:
        guarded.keys = (await running.http.get("/oauth/client-jwks.json")).json()["keys"]
        alice = await people.signed_in_with(running, VIRTUAL_KEY, "alice")
        assert people.text_of(await people.whoami(running, alice)) == "alice"


@pytest.mark.parametrize(("methods", "document"), [(["none"], ""), (["private_key_jwt"], "-signed")])
async def test_our_own_document_is_the_client_id_where_it_is_understood(
    sqlite_url: str, tmp_path: Path, methods: list[str], document: str
) -> None:
    """Contract §8, client id metadata documents: the one for public clients, or the one with our keys."""
    guarded = OAuthUpstream(
        metadata={
            "client_id_metadata_document_supported": True,
            "token_endpoint_auth_methods_supported": methods,
        }
    )
    origin = "https://gateway.example"
    with serving(guarded.app()) as at:
        guarded.origin = at
        entry = upstream("guarded", guarded.url, auth_type="per_user_oauth")
        async with running_gateway(
            sqlite_url,
            tmp_path,
            client={"client_id_metadata_document_url": f"{ISSUER}/oauth/client-metadata.json"},
            mcp={"client_configs": [entry]},
            governance=people.KEYS,
        ) as running:
            async with running.browser() as browser:
                flow_id, _csrf = await people.identify(browser, await oauth.register(running.http))
                started = await browser.get(await people.connect_link(browser, flow_id))
            sent = dict(parse_qsl(urlsplit(started.headers["location"]).query))
            assert sent["client_id"] == f"{ISSUER}/oauth/client-metadata{document}.json"
            assert guarded.registrations == []
            said = (await running.http.get(f"/oauth/client-metadata{document}.json")).json()
            assert said["client_id"] == sent["client_id"]
            assert said["redirect_uris"] == [sent["redirect_uri"]]
            assert said["token_endpoint_auth_method"] == methods[0]
            if document:
                keys = urlsplit(said["jwks_uri"])
                assert (await running.http.get(keys.path)).json()["keys"][0]["alg"] == "ES256"
    assert origin not in str(said)


async def test_a_secret_that_has_expired_is_registered_anew(sqlite_url: str, tmp_path: Path, clock: FakeClock) -> None:
    """RFC 7591 §3.2.1: client_secret_expires_at."""

    class Expiring(OAuthUpstream):
        async def _register(self, request: Request) -> Response:
            answer = await super()._register(request)
            body = json.loads(bytes(answer.body)) | {
                "client_secret": "s",
                "client_secret_expires_at": clock.now() // SECOND + 60,
            }
            return JSONResponse(body, 201)

    guarded = Expiring(metadata={"token_endpoint_auth_methods_supported": ["client_secret_post"]})
    async with people.connected_gateway(sqlite_url, tmp_path, guarded, clock=clock) as running:
        for people_key, count in ((VIRTUAL_KEY, 1), (people.SECOND_KEY, 1)):
            await people.signed_in_with(running, people_key, "alice")
            assert len(guarded.registrations) == count
        clock.advance(seconds=61)
        await people.signed_in_with(running, VIRTUAL_KEY, "alice")
        assert len(guarded.registrations) == 2


async def test_what_an_administrator_wrote_into_the_url_is_kept_and_nothing_is_said_twice(
    sqlite_url: str, tmp_path: Path
) -> None:
    """RFC 6749 §3.1: byte for byte; what the flow stands on is never the configuration's."""
    guarded = OAuthUpstream(iss=None)
    with serving(guarded.app()) as origin:
        guarded.origin = origin
        query = "tenant=a%2Fb&prompt=login&client_id=evil&state=fixed&state=twice&flag&scope=x"
        config = {
            "client_id": "us",
            "authorize_url": f"{origin}/authorize?{query}",
            "token_url": f"{origin}/token",
            "scopes": ["a", "offline_access"],
        }
        entry = upstream("guarded", guarded.url, auth_type="per_user_oauth", oauth_config=config)
        async with (
            running_gateway(sqlite_url, tmp_path, mcp={"client_configs": [entry]}, governance=people.KEYS) as running,
            running.browser() as browser,
        ):
            flow_id, _csrf = await people.identify(browser, await oauth.register(running.http))
            started = await browser.get(await people.connect_link(browser, flow_id))
    url = started.headers["location"]
    assert url.startswith(f"{origin}/authorize?tenant=a%2Fb&prompt=login&flag&")
    sent = parse_qsl(urlsplit(url).query, keep_blank_values=True)
    names = [name for name, _ in sent]
    assert len(names) == len(set(names))
    assert (dict(sent)["client_id"], dict(sent)["scope"], dict(sent)["prompt"]) == ("us", "a offline_access", "login")
    assert len(dict(sent)["state"]) > 20


async def test_permissions_that_a_service_does_not_give_are_asked_for_once(sqlite_url: str, tmp_path: Path) -> None:
    """MCP authorization, step-up: the union of scopes, and no endless circle of sign-ins."""

    class Stubborn(OAuthUpstream):
        """Wants a scope and grants another, whatever it was asked for."""

        async def _token(self, request: Request) -> Response:
            answer = await super()._token(request)
            body = json.loads(bytes(answer.body))
            return JSONResponse(body | {"scope": "read"}, answer.status_code)

    guarded = Stubborn()
    async with people.connected_gateway(sqlite_url, tmp_path, guarded, oauth_config={"scopes": ["read"]}) as running:
        alice = await people.signed_in_with(running, VIRTUAL_KEY, "alice")
        guarded.wants = "write"
        guarded.scopes = dict.fromkeys(guarded.scopes, "read")
        asked = await people.whoami(running, alice)
        assert "mcp_auth_required" in asked.text
        alice = await people.signed_in_with(running, VIRTUAL_KEY, "alice")
        assert guarded.authorizations[-1]["scope"] == "read write"
        guarded.scopes = dict.fromkeys(guarded.scopes, "read")
        refused = (await people.whoami(running, alice)).json()
        assert refused["error"]["message"] == "guarded wants permissions for this call that it did not grant."
        (row,) = await running.rows("upstream_credentials")
        assert row["state"] == "active", "what was granted goes on working"
