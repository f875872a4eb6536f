"""A client that holds a key: it signs in with proofs of it, and calls /mcp with them."""

from typing import Any

import httpx2

from tests.flows._tokens import another_code, secret_of
from tests.support import oauth
from tests.support.dpop import ProofKey
from tests.support.gateway import TestGateway
from tests.support.oauth import TOKEN, OAuthClient

PING = {"jsonrpc": "2.0", "id": 1, "method": "ping"}


async def token_request(client: OAuthClient, headers: dict[str, Any] | None = None, **form: Any) -> httpx2.Response:
    """`headers` are sent as they are: with a proof, with several, or with none."""
    body = {"client_id": client.client_id, **secret_of(client), **form}
    return await client.http.post(TOKEN, data=body, headers=headers)


async def redeem(client: OAuthClient, code: str, headers: dict[str, Any] | None = None) -> httpx2.Response:
    form = {"grant_type": "authorization_code", "code": code, "code_verifier": client.verifier}
    return await token_request(client, headers, **form)


async def refresh(client: OAuthClient, token: str, headers: dict[str, Any] | None = None) -> httpx2.Response:
    return await token_request(client, headers, grant_type="refresh_token", refresh_token=token)


async def bound(
    running: TestGateway, key: ProofKey, client: OAuthClient | None = None, **changes: Any
) -> tuple[OAuthClient, dict[str, Any]]:
    """A client and its first tokens, bound to the key."""
    client = client or await oauth.register(running.http)
    answer = await redeem(client, await another_code(running, client, **changes), key.at_token())
    assert answer.status_code == 200, answer.text
    tokens: dict[str, Any] = answer.json()
    assert tokens["token_type"] == "DPoP"
    return client, tokens


async def ping(running: TestGateway, headers: Any, path: str = "/mcp") -> httpx2.Response:
    return await running.http.post(path, json=PING, headers=headers)
