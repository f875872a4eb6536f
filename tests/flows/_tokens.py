"""What a test does with tokens: redeem them wrongly, and see whether they still open /mcp."""

import base64
from typing import Any
from urllib.parse import quote_plus

import httpx2

from tests.support import oauth
from tests.support.gateway import TestGateway

FORM = "application/x-www-form-urlencoded"
Signed = tuple[oauth.OAuthClient, dict[str, Any]]


async def authorized(running: TestGateway, **changes: Any) -> tuple[oauth.OAuthClient, str]:
    """A client and a fresh code. `metadata` goes to the registration, the rest to the authorization request."""
    metadata = changes.pop("metadata", {})
    client = await oauth.register(running.http, **metadata)
    return client, await another_code(running, client, **changes)


async def another_code(running: TestGateway, client: oauth.OAuthClient, **changes: Any) -> str:
    async with running.browser() as browser:
        return (await oauth.approve(browser, await oauth.begin(browser, client, **changes)))["code"]


async def signed_in(running: TestGateway, **changes: Any) -> Signed:
    """A client and its first token response."""
    client, code = await authorized(running, **changes)
    answer = await client.redeem(code, **secret_of(client))
    assert answer.status_code == 200, answer.text
    return client, answer.json()


def secret_of(client: oauth.OAuthClient) -> dict[str, str]:
    """The form field of client_secret_post; nothing for a public client."""
    secret = client.registration.get("client_secret")
    return {"client_secret": secret} if secret else {}


def basic(client_id: str, secret: str) -> str:
    """RFC 6749 §2.3.1: both parts are form-urlencoded before they are joined."""
    return basic_raw(f"{quote_plus(client_id)}:{quote_plus(secret)}".encode())


def basic_raw(pair: bytes) -> str:
    return f"Basic {base64.b64encode(pair).decode()}"


async def opens(running: TestGateway, token: str, path: str = "/mcp") -> int:
    """The status that a ping with this access token gets."""
    answer = await running.http.post(
        path, json={"jsonrpc": "2.0", "id": 1, "method": "ping"}, headers={"Authorization": f"Bearer {token}"}
    )
    return int(answer.status_code)


def error_of(answer: httpx2.Response, status: int = 400) -> str:
    """RFC 6749 §5.2: the code of an error in its right form."""
    assert answer.status_code == status, answer.text
    body = answer.json()
    assert set(body) == {"error", "error_description"}
    assert_token_headers(answer)
    return str(body["error"])


def assert_token_headers(answer: httpx2.Response) -> None:
    """OAuth 2.1 §3.2.3: JSON, and kept by nobody."""
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "no-store"
    assert "etag" not in answer.headers
