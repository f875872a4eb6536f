"""A sign-in that is under way: touched as its own browser would, or with cookies and forms written by hand."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx2

from tests.support import oauth
from tests.support.gateway import ISSUER, VIRTUAL_KEY, TestGateway

COOKIE = "__bifrost_flow_secret"
IDENTITY_PAGE = "/oauth/consent"
SERVICES_PAGE = "/oauth/consent/mcps"
PAGES = (IDENTITY_PAGE, SERVICES_PAGE)
ACTIONS = ("vk", "user-id", "user", "skip", "submit", "deny")
CLIENT_NAME = "Zebra 4711"
"""A name that stands nowhere else, so that a page which must not show it can be searched for it."""

HTML = {"Accept": "text/html"}
_EVENT = re.compile(r"evt_[A-Za-z0-9_-]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class SignIn:
    """One pending flow. `csrf` is what the forms of its pages carry."""

    running: TestGateway
    browser: httpx2.AsyncClient
    client: oauth.OAuthClient
    flow_id: str
    csrf: str

    @property
    def secret(self) -> str:
        return self.browser.cookies[COOKIE]

    @property
    def cookie(self) -> str:
        return f"{COOKIE}={self.secret}"

    async def get(self, page: str, cookie: str | None, **query: str) -> httpx2.Response:
        """A page, asked for with this `Cookie` header and no other."""
        headers = HTML if cookie is None else {**HTML, "Cookie": cookie}
        return await self.running.http.get(page, params={"flow_id": self.flow_id, **query}, headers=headers)

    async def post(self, action: str, cookie: str | None, **form: str) -> httpx2.Response:
        """A form as its page would send it, but for the `Cookie` header."""
        headers = {**HTML, "Origin": ISSUER} | ({} if cookie is None else {"Cookie": cookie})
        return await self.running.http.post(f"{oauth.CONSENT}/{action}", data=self.form(**form), headers=headers)

    def form(self, **changes: str) -> dict[str, str]:
        return {"flow_id": self.flow_id, "csrf": self.csrf, "virtual_key": VIRTUAL_KEY, **changes}

    async def press(self, action: str, **form: Any) -> httpx2.Response:
        """The form, in the flow's own browser."""
        return await oauth.press(self.browser, action, self.flow_id, **{"csrf": self.csrf, **form})

    async def page(self, page: str = IDENTITY_PAGE, **query: str) -> httpx2.Response:
        return await self.browser.get(page, params={"flow_id": self.flow_id} | query)

    async def row(self) -> dict[str, Any]:
        (row,) = [row for row in await self.running.rows("pending_flows") if row["id"] == self.flow_id]
        return row


@asynccontextmanager
async def sign_in(
    running: TestGateway,
    *,
    browser: httpx2.AsyncClient | None = None,
    metadata: dict[str, Any] | None = None,
    **changes: Any,
) -> AsyncIterator[SignIn]:
    """A browser that stands before the identity page. `changes` are those of the authorization request."""
    opened = browser or running.browser()
    try:
        client = await oauth.register(running.http, **{"client_name": CLIENT_NAME, **(metadata or {})})
        flow_id = await oauth.begin(opened, client, **changes)
        csrf = await oauth.csrf_of(opened, flow_id)
        yield SignIn(running=running, browser=opened, client=client, flow_id=flow_id, csrf=csrf)
    finally:
        if browser is None:
            await opened.aclose()


async def state(running: TestGateway) -> dict[str, list[dict[str, Any]]]:
    """Everything that a consent request could change."""
    tables = ("pending_flows", "grants", "authorization_codes", "access_tokens", "refresh_tokens", "key_guesses")
    return {table: await running.rows(table) for table in tables}


def shows_nothing_of(page: httpx2.Response, flow: SignIn) -> bool:
    """Neither client nor destination nor anything that would help to go on."""
    secrets = (CLIENT_NAME, "127.0.0.1:33418", "app.example", flow.csrf, flow.secret, flow.client.client_id)
    return not any(secret in page.text for secret in secrets)


def without_event(answer: httpx2.Response) -> str:
    """The body, without the id that differs with every request (contract §2)."""
    return _EVENT.sub("evt", answer.text)
