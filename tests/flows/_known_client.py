"""Plays a known client against the gateway: from the first refusal to its tools, with its own habits and checks."""

import json
import re
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import httpx2
import jwt
from cryptography.hazmat.primitives.asymmetric import rsa

from bifrost.protocol.oauth import CLIENT_ASSERTION_TYPE
from tests.flows._tokens import basic
from tests.support import oauth
from tests.support.gateway import ISSUER, VIRTUAL_KEY, TestGateway
from tests.support.known_clients import KnownClient
from tests.support.web import Web

TYPED = f"{ISSUER}/mcp"
RSA_KEY = rsa.generate_private_key(65_537, 2_048)


def nulls(value: Any) -> bool:
    """Whether there is a null at any depth, of which strict clients die."""
    if isinstance(value, dict):
        return any(map(nulls, value.values()))
    return any(map(nulls, value)) if isinstance(value, list) else value is None


@dataclass
class Player:
    running: TestGateway
    client: KnownClient
    addresses: dict[str, str] = field(default_factory=dict)
    server: dict[str, Any] = field(default_factory=dict)
    challenge: dict[str, str] = field(default_factory=dict)
    identity: dict[str, Any] = field(default_factory=dict)
    """client_id, and client_secret if it has one."""

    async def sign_in(self, web: Web) -> dict[str, Any]:
        """The token response."""
        await self.discover()
        await self.identify(web)
        return await self.redeem(*await self.authorize())

    async def discover(self) -> None:
        if self.client.begins == "guesses addresses":
            self.addresses = {name: f"{ISSUER}/{name}" for name in ("authorize", "token", "register")}
            return
        refused = await self._ask(
            self.client.begins, "/mcp", json=_initialize() if self.client.begins == "POST" else None
        )
        assert refused.status_code == 401
        self.challenge = dict(re.findall(r'(\w+)="([^"]*)"', refused.headers["www-authenticate"]))
        assert "error" not in self.challenge
        resource = (await self._ask("GET", self.challenge["resource_metadata"])).json()
        if self.client.resource_must_equal == "typed":
            assert resource["resource"] == TYPED
        elif self.client.resource_must_equal == "typed or origin":
            assert resource["resource"] in (TYPED, ISSUER)
        issuer = resource["authorization_servers"][0]
        self.server = (await self._ask("GET", f"{issuer}/.well-known/oauth-authorization-server")).json()
        assert not nulls([resource, self.server])
        assert self.server["issuer"] == issuer
        assert "S256" in self.server["code_challenge_methods_supported"]
        assert not self.client.needs_iss or self.server["authorization_response_iss_parameter_supported"] is True
        self.addresses = {
            "authorize": self.server["authorization_endpoint"],
            "token": self.server["token_endpoint"],
            "register": self.server["registration_endpoint"],
        }

    async def identify(self, web: Web) -> None:
        if self.client.document is not None:
            assert self.server["client_id_metadata_document_supported"] is True
            # one well-known client takes its document only when it sees that public clients are welcome
            method = self.client.document["token_endpoint_auth_method"]
            assert {"none", method} <= set(self.server["token_endpoint_auth_methods_supported"])
            web.publish(self.client.document["client_id"], self.client.document)
            self.identity = {"client_id": self.client.document["client_id"]}
            return
        sent = self.client.registration or {}
        answer = await self._ask("POST", self.addresses["register"], json=sent)
        assert answer.status_code == 201, answer.text
        assert answer.headers["cache-control"] == "no-store"
        self._check_registration(sent, answer.json())

    def _check_registration(self, sent: dict[str, Any], answer: dict[str, Any]) -> None:
        """RFC 7591 §3.2.1, as the strictest of them reads it."""
        assert not nulls(answer)
        assert answer["redirect_uris"] == [uri for uri in sent["redirect_uris"] if uri not in self.client.dropped]
        assert answer["token_endpoint_auth_method"] == sent["token_endpoint_auth_method"]
        assert set(answer["grant_types"]) == set(sent["grant_types"]) & {"authorization_code", "refresh_token"}
        assert answer["response_types"] == ["code"]
        for name in ("client_name", "client_uri", "software_id", "application_type"):
            assert answer.get(name) == sent.get(name)
        assert ("client_secret" in answer) is bool(self.client.secret_by)
        assert answer.get("client_secret_expires_at") == (0 if self.client.secret_by else None)
        self.identity = {name: answer[name] for name in ("client_id", "client_secret") if name in answer}

    async def authorize(self) -> tuple[str, str]:
        """The code and its verifier. The browser may open the URL twice: one client looks at it first itself."""
        verifier, challenge = oauth.pkce()
        query = {
            "response_type": "code",
            "client_id": self.identity["client_id"],
            "redirect_uri": self.client.redirect_uri,
            "code_challenge": challenge,
            "code_challenge_method": "S256",
            "state": "a/state+with=signs ~",
            **self._scope(),
            **self._resource(),
        }
        path = urlsplit(self.addresses["authorize"]).path
        async with self.running.browser() as browser:
            assert (await browser.get(path, params=query)).status_code == 302
            flow_id = oauth.flow_id_of(await browser.get(path, params=query))
            csrf = await oauth.csrf_of(browser, flow_id)
            await oauth.press(browser, "vk", flow_id, csrf=csrf, virtual_key=VIRTUAL_KEY)
            answer = await oauth.press(browser, "submit", flow_id, csrf=csrf)
        assert answer.headers["location"].startswith(f"{self.client.redirect_uri}?")
        response = oauth.response_of(answer)
        assert response["state"] == query["state"]
        assert response["iss"] == ISSUER
        return response["code"], verifier

    async def redeem(self, code: str, verifier: str) -> dict[str, Any]:
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "code_verifier": verifier,
            "redirect_uri": self.client.redirect_uri,
            **self._resource(),
        }
        return await self.token(form)

    async def refresh(self, refresh_token: str) -> dict[str, Any]:
        return await self.token({"grant_type": "refresh_token", "refresh_token": refresh_token, **self._resource()})

    async def token(self, form: dict[str, str]) -> dict[str, Any]:
        headers: dict[str, str] = {}
        if self.client.secret_by.startswith("basic"):
            headers["Authorization"] = basic(self.identity["client_id"], self.identity["client_secret"])
            form = {**form, "client_id": self.identity["client_id"]} if "body" in self.client.secret_by else form
        else:
            form = {**form, **self.identity, **self._assertion()}
        answer = await self._ask("POST", self.addresses["token"], data=form, headers=headers)
        assert answer.status_code == 200, answer.text
        tokens: dict[str, Any] = answer.json()
        assert not nulls(tokens)
        assert tokens["token_type"] == "Bearer"
        assert tokens["expires_in"] > 0
        assert tokens["refresh_token"]
        return tokens

    async def tools(self, tokens: dict[str, Any]) -> list[str]:
        return [tool["name"] for tool in (await self._result(tokens, "tools/list", {}))["tools"]]

    async def call(self, tokens: dict[str, Any], tool: str) -> dict[str, Any]:
        return await self._result(tokens, "tools/call", {"name": tool, "arguments": {}})

    async def _result(self, tokens: dict[str, Any], method: str, params: dict[str, Any]) -> dict[str, Any]:
        headers = {"Authorization": f"Bearer {tokens['access_token']}"}
        message = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        answer = await self._ask("POST", "/mcp", json=message, headers=headers)
        assert answer.status_code == 200, answer.text
        result: dict[str, Any] = answer.json()["result"]
        return result

    def _scope(self) -> dict[str, str]:
        supported = " ".join(self.server.get("scopes_supported", []))
        asked = {
            "challenge": self.challenge.get("scope", ""),
            "all supported": supported,
            "with offline_access": f"{self.challenge.get('scope', '')} offline_access",
            "openid email profile": "openid email profile",
            "none": "",
        }[self.client.scope]
        return {"scope": asked} if asked else {}

    def _resource(self) -> dict[str, str]:
        meant = {"as typed": TYPED, "origin": f"{ISSUER}/", "none": ""}[self.client.resource]
        return {"resource": meant} if meant else {}

    def _assertion(self) -> dict[str, str]:
        if not self.client.signs:
            return {}
        now, client_id = self.running.clock.now() // 1_000, self.identity["client_id"]
        claims = {"iss": client_id, "sub": client_id, "aud": self.addresses["token"], "iat": now, "exp": now + 300}
        signed = jwt.encode({**claims, "jti": oauth.pkce()[0]}, RSA_KEY, "RS256", headers={"kid": "prod-1"})
        return {"client_assertion_type": CLIENT_ASSERTION_TYPE, "client_assertion": signed}

    async def _ask(self, method: str, url: str, **request: Any) -> httpx2.Response:
        """Across origins a browser asks first, and shows only what it is told to show."""
        if not self.client.web_origin:
            return await self.running.http.request(method, url, **request)
        origin = {"Origin": self.client.web_origin}
        asked = ", ".join({"content-type", *(name.lower() for name in request.get("headers", {}))})
        preflight = await self.running.http.options(
            url, headers={**origin, "Access-Control-Request-Method": method, "Access-Control-Request-Headers": asked}
        )
        assert preflight.status_code == 204
        assert preflight.headers["access-control-allow-origin"] in ("*", self.client.web_origin)
        assert method in preflight.headers["access-control-allow-methods"]
        allowed = {name.strip().lower() for name in preflight.headers["access-control-allow-headers"].split(",")}
        assert set(asked.split(", ")) <= allowed
        answer = await self.running.http.request(
            method, url, **{**request, "headers": {**request.get("headers", {}), **origin}}
        )
        assert answer.headers["access-control-allow-origin"] in ("*", self.client.web_origin)
        if answer.status_code == 401:
            assert "www-authenticate" in answer.headers["access-control-expose-headers"].lower()
        return answer


def keys_of_the_signer() -> dict[str, Any]:
    public = jwt.algorithms.RSAAlgorithm.to_jwk(RSA_KEY.public_key(), as_dict=True)
    return {"keys": [json.loads(json.dumps({**public, "kid": "prod-1", "use": "sig", "alg": "RS256"}))]}


def _initialize() -> dict[str, Any]:
    params = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "emulator", "version": "1"}}
    return {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": params}
