"""A client and its person, as small as they can be: every step on its own, so that a test can do one of them wrong."""

import base64
import hashlib
import re
import secrets
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlsplit

import httpx2

from tests.support.gateway import ISSUER, VIRTUAL_KEY

REGISTER = "/api/oauth/per-user/register"
AUTHORIZE = "/api/oauth/per-user/authorize"
TOKEN = "/api/oauth/per-user/token"
CONSENT = "/api/oauth/per-user/consent"
REDIRECT_URI = "http://127.0.0.1:33418/callback"


def pkce() -> tuple[str, str]:
    """A verifier and its S256 challenge."""
    verifier = secrets.token_urlsafe(32)
    digest = hashlib.sha256(verifier.encode()).digest()
    return verifier, base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


@dataclass
class OAuthClient:
    """A registered client with one authorization request in hand."""

    http: httpx2.AsyncClient
    registration: dict[str, Any]
    verifier: str = ""
    challenge: str = ""
    state: str = field(default_factory=lambda: secrets.token_urlsafe(8))

    def __post_init__(self) -> None:
        self.verifier, self.challenge = pkce()

    @property
    def client_id(self) -> str:
        return str(self.registration["client_id"])

    def request(self, **changes: Any) -> dict[str, Any]:
        """The parameters of a correct authorization request; a change to None leaves one out."""
        parameters = {
            "response_type": "code",
            "client_id": self.client_id,
            "redirect_uri": self.registration["redirect_uris"][0],
            "code_challenge": self.challenge,
            "code_challenge_method": "S256",
            "state": self.state,
            "resource": f"{ISSUER}/mcp",
        }
        return {name: value for name, value in {**parameters, **changes}.items() if value is not None}

    async def token(self, **form: Any) -> httpx2.Response:
        return await self.http.post(TOKEN, data={"client_id": self.client_id, **form})

    async def redeem(self, code: str, **changes: Any) -> httpx2.Response:
        form = {"grant_type": "authorization_code", "code": code, "code_verifier": self.verifier, **changes}
        return await self.token(**{name: value for name, value in form.items() if value is not None})

    async def refresh(self, refresh_token: str, **changes: Any) -> httpx2.Response:
        return await self.token(grant_type="refresh_token", refresh_token=refresh_token, **changes)


async def register(http: httpx2.AsyncClient, **metadata: Any) -> OAuthClient:
    """RFC 7591: a public client with one loopback redirect URI, unless told otherwise."""
    body = {"client_name": "Test client", "redirect_uris": [REDIRECT_URI], **metadata}
    answer = await http.post(REGISTER, json=body)
    assert answer.status_code == 201, answer.text
    return OAuthClient(http, answer.json())


async def begin(browser: httpx2.AsyncClient, client: OAuthClient, **changes: Any) -> str:
    """Open the authorization URL in this browser; the id of the pending flow."""
    answer = await browser.get(AUTHORIZE, params=client.request(**changes))
    assert answer.status_code == 302, answer.text
    return flow_id_of(answer)


def flow_id_of(answer: httpx2.Response) -> str:
    return parse_qs(urlsplit(answer.headers["location"]).query)["flow_id"][0]


async def csrf_of(browser: httpx2.AsyncClient, flow_id: str) -> str:
    """What the forms of the identity page carry."""
    page = await browser.get("/oauth/consent", params={"flow_id": flow_id})
    assert page.status_code == 200, page.text
    found = re.search(r'name="csrf" value="([0-9a-f]+)"', page.text)
    assert found, page.text
    return found[1]


async def press(browser: httpx2.AsyncClient, action: str, flow_id: str, **form: Any) -> httpx2.Response:
    """Send one of the consent forms as the page would: vk, skip, submit, deny."""
    csrf = form.pop("csrf", None) or await csrf_of(browser, flow_id)
    return await browser.post(
        f"{CONSENT}/{action}", data={"flow_id": flow_id, "csrf": csrf, **form}, headers={"Origin": ISSUER}
    )


async def approve(browser: httpx2.AsyncClient, flow_id: str, key: str = VIRTUAL_KEY) -> dict[str, str]:
    """Paste the key, finish, and return the parameters of the authorization response."""
    csrf = await csrf_of(browser, flow_id)
    chosen = await press(browser, "vk", flow_id, virtual_key=key, csrf=csrf)
    assert chosen.headers["location"].startswith("/oauth/consent/mcps"), chosen.headers["location"]
    return response_of(await press(browser, "submit", flow_id, csrf=csrf))


def response_of(answer: httpx2.Response) -> dict[str, str]:
    assert answer.status_code == 303, answer.text
    return dict(parse_qsl(urlsplit(answer.headers["location"]).query, keep_blank_values=True))


async def authorized(http: httpx2.AsyncClient, browser: httpx2.AsyncClient, **changes: Any) -> tuple[OAuthClient, str]:
    """A client and a fresh authorization code for it."""
    client = await register(http)
    flow_id = await begin(browser, client, **changes)
    return client, (await approve(browser, flow_id))["code"]


async def signed_in(
    http: httpx2.AsyncClient, browser: httpx2.AsyncClient, **changes: Any
) -> tuple[OAuthClient, dict[str, Any]]:
    """A client and its token response."""
    client, code = await authorized(http, browser, **changes)
    answer = await client.redeem(code)
    assert answer.status_code == 200, answer.text
    return client, answer.json()
