"""What a refusal at the authorization endpoint must look like, in full, and what it must not do (contract §§2, 4)."""

import base64
import hashlib
import re
from typing import Any

import httpx2

from tests.flows._raw import HOST, PERSON, PROGRAM, Page, ask, everything, query
from tests.support import oauth
from tests.support.gateway import ISSUER, TestGateway
from tests.support.oauth import AUTHORIZE, OAuthClient

LOOPBACK_URI = "http://127.0.0.1:33418/callback"
APP_URI = "com.example.app:/callback"
HTTPS_URI = "https://app.test/cb"
PARAMETERS = (
    ("response_type", "client_id", "redirect_uri", "code_challenge")
    + ("code_challenge_method", "state", "scope", "resource")
)  # fmt: skip
INTERNALS = re.compile(
    r"Traceback|sqlite|postgres|asyncpg|starlette|\.py\b|SELECT |INSERT |/work/|/site-packages", re.IGNORECASE
)


async def registered(running: TestGateway, *uris: str) -> OAuthClient:
    """A public client; by default with a redirect URI of each kind, so that redirect_uri cannot be left out."""
    return await oauth.register(running.http, redirect_uris=list(uris or (LOOPBACK_URI, APP_URI, HTTPS_URI)))


def request(client: OAuthClient, **changes: str | bytes | None) -> bytes:
    """The query of a correct request with every parameter, after the changes."""
    return query({**client.request(scope="mcp:read mcp:write"), **changes})


def assert_error_body(
    answer: httpx2.Response, *, status: int, code: str | None, param: str, operation: str = "oauth_authorize"
) -> None:
    """Contract §2: every member is there, and the event id is that of the header. `code=None` takes any code."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    assert "no-store" in answer.headers["cache-control"]
    body = answer.json()
    event_id = answer.headers["x-request-id"]
    error: dict[str, Any] = body["error"]
    assert event_id
    assert body == {
        "event_id": event_id,
        "type": error["type"],
        "is_bifrost_error": True,
        "status_code": status,
        "error": {
            "type": error["type"],
            "code": error["code"] if code is None else code,
            "message": error["message"],
            "param": param,
            "event_id": event_id,
        },
        "extra_fields": {"model_requested": "", "request_type": operation},
    }
    assert re.fullmatch(r"[a-z]+(_[a-z]+)*", error["code"])
    assert re.fullmatch(r"[a-z]+(_[a-z]+)*", error["type"])
    assert error["message"].endswith(".")
    assert not INTERNALS.search(answer.text)


def assert_error_page(answer: httpx2.Response, *, status: int) -> Page:
    """The same facts for a person, with every security header (contract §5, TC-072 to TC-074)."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    page = Page(answer.text)
    digest = base64.b64encode(hashlib.sha256(page.style.encode()).digest()).decode()
    policy = {words[0]: words[1:] for words in map(str.split, answer.headers["content-security-policy"].split(";"))}
    assert policy["default-src"] == ["'none'"]
    assert policy["style-src"] == [f"'sha256-{digest}'"]
    assert policy["base-uri"] == ["'none'"]
    assert policy["frame-ancestors"] == ["'none'"]
    # script-src would loosen default-src, and Chromium applies form-action to the redirect after a form
    assert not {"script-src", "script-src-elem", "form-action"} & policy.keys()
    assert answer.headers["x-frame-options"] == "DENY"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert answer.headers["cross-origin-opener-policy"] == "same-origin"
    assert "no-store" in answer.headers["cache-control"]
    assert answer.headers["x-request-id"] in page.words
    assert page.scripts == 0
    assert not INTERNALS.search(page.words)
    return page


def assert_silent(answer: httpx2.Response) -> None:
    """Neither sends the browser anywhere, nor leaves something in it, nor lets another origin read."""
    assert "location" not in answer.headers
    assert "refresh" not in answer.headers
    assert "set-cookie" not in answer.headers
    assert not [name for name in answer.headers if name.startswith("access-control-")]


async def refused(
    running: TestGateway,
    sent: bytes,
    *,
    param: str,
    code: str | None = "invalid_request",
    status: int = 400,
    path: str = AUTHORIZE,
    host: str | None = HOST,
    method: str = "GET",
) -> Page:
    """Ask as a program and as a person; check both answers in full and that no table changed. The person's page."""
    before = await everything(running)
    origin = ("origin", "https://elsewhere.test")
    program = await ask(running, path, sent, headers=[PROGRAM, origin], host=host, method=method)
    person = await ask(running, path, sent, headers=[PERSON, origin], host=host, method=method)
    for answer in (program, person):
        assert_silent(answer)
    assert_error_body(program, status=status, code=code, param=param)
    page = assert_error_page(person, status=status)
    assert program.json()["error"]["message"] in page.words
    assert await everything(running) == before
    return page


def assert_no_way_back(page: Page) -> None:
    """Nothing on the page leads anywhere: client or redirect URI are not known to be right."""
    assert page.links == []
    assert page.refresh is None


async def accepted(running: TestGateway, sent: bytes) -> dict[str, Any]:
    """The request succeeds; the row that it wrote."""
    known = {row["id"] for row in await running.rows("pending_flows")}
    answer = await ask(running, AUTHORIZE, sent, headers=[PROGRAM])
    assert answer.status_code == 302, answer.text
    (row,) = [row for row in await running.rows("pending_flows") if row["id"] not in known]
    assert oauth.flow_id_of(answer) == row["id"]
    return row


__all__ = [
    "APP_URI",
    "AUTHORIZE",
    "HTTPS_URI",
    "ISSUER",
    "LOOPBACK_URI",
    "PARAMETERS",
    "accepted",
    "assert_error_body",
    "assert_error_page",
    "assert_no_way_back",
    "assert_silent",
    "refused",
    "registered",
    "request",
]
