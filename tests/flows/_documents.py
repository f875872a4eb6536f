"""Clients whose id is the address of their metadata document."""

import uuid
from typing import Any

import httpx2
import jwt
from cryptography.hazmat.primitives.asymmetric import ec

from bifrost.protocol.oauth import CLIENT_ASSERTION_TYPE
from tests.support import oauth
from tests.support.clock import FakeClock
from tests.support.gateway import ISSUER, TestGateway
from tests.support.oauth import OAuthClient
from tests.support.web import Web

URL = "https://app.example.com/oauth/client.json"
KEYS_URL = "https://app.example.com/oauth/jwks.json"
LOOPBACK_URI = "http://127.0.0.1/callback"


def document(**changes: Any) -> dict[str, Any]:
    """A correct document; a change to None leaves a member out."""
    members = {
        "client_id": URL,
        "client_name": "Example app",
        "client_uri": "https://app.example.com/",
        "redirect_uris": [LOOPBACK_URI, "https://app.example.com/callback"],
        "grant_types": ["authorization_code", "refresh_token"],
        "response_types": ["code"],
        "token_endpoint_auth_method": "none",
    }
    return {name: value for name, value in {**members, **changes}.items() if value is not None}


def client_of(http: httpx2.AsyncClient, published: dict[str, Any], redirect_uri: str | None = None) -> OAuthClient:
    """A client that speaks for a published document, from a port of its own when it listens on loopback."""
    first = redirect_uri or published["redirect_uris"][0]
    return OAuthClient(http, {"client_id": published["client_id"], "redirect_uris": [first]})


def published(web: Web, http: httpx2.AsyncClient, **changes: Any) -> OAuthClient:
    """A document on the web, and its client."""
    headers = changes.pop("headers", None)
    made = document(**changes)
    web.publish(made["client_id"], made, headers=headers)
    return client_of(http, made)


async def ask(running: TestGateway, client: OAuthClient, **changes: Any) -> httpx2.Response:
    """An authorization request by a program."""
    return await running.http.get(oauth.AUTHORIZE, params=client.request(**changes))


async def refused(running: TestGateway, client: OAuthClient, **changes: Any) -> str:
    """The sentence of a refusal that names the client and leads nowhere."""
    answer = await ask(running, client, **changes)
    assert answer.status_code == 400, answer.text
    assert "location" not in answer.headers
    error = answer.json()["error"]
    assert (error["code"], error["param"]) == ("invalid_client", "client_id")
    assert not await running.rows("pending_flows")
    return str(error["message"])


class SigningKey:
    """A key of a client, with the assertions it signs (RFC 7523). Another library makes them than the one that reads."""

    def __init__(self, clock: FakeClock, kid: str = "one") -> None:
        self._clock = clock
        self._key = ec.generate_private_key(ec.SECP256R1())
        self.kid = kid

    @property
    def jwk(self) -> dict[str, Any]:
        public = jwt.algorithms.ECAlgorithm.to_jwk(self._key.public_key(), as_dict=True)
        return {**public, "kid": self.kid, "use": "sig", "alg": "ES256"}

    @property
    def jwks(self) -> dict[str, Any]:
        return {"keys": [self.jwk]}

    def assertion(self, client_id: str = URL, headers: dict[str, Any] | None = None, **changes: Any) -> str:
        """A correct assertion; a claim changed to None is left out."""
        now = self._clock.now() // 1_000
        claims = {
            "iss": client_id,
            "sub": client_id,
            "aud": ISSUER,
            "exp": now + 60,
            "iat": now,
            "jti": str(uuid.uuid4()),
            **changes,
        }
        kept = {name: value for name, value in claims.items() if value is not None}
        return jwt.encode(kept, self._key, "ES256", headers={"kid": self.kid, **(headers or {})})

    def form(self, client_id: str = URL, **changes: Any) -> dict[str, str]:
        """What a token request carries."""
        return {
            "client_assertion_type": CLIENT_ASSERTION_TYPE,
            "client_assertion": self.assertion(client_id, **changes),
        }
