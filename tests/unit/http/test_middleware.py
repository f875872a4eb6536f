"""The outermost layer."""

from typing import Any

import pytest
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send
from structlog.testing import capture_logs

from bifrost.http.middleware import RequestContext
from tests.unit._requests import request

pytestmark = pytest.mark.anyio


async def _ok(scope: Scope, receive: Receive, send: Send) -> None:
    await Response("fine")(scope, receive, send)


async def run(
    app: ASGIApp, *, path: str = "/x", query: bytes = b"", hsts: bool = False
) -> tuple[Scope, dict[str, str]]:
    """The scope that the application saw, and the headers of the answer."""
    scope = dict(request(path=path, query=query).scope)
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    await RequestContext(app, hsts=hsts)(scope, receive, send)
    headers = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    return scope, headers


async def test_every_answer_carries_the_id_of_its_request() -> None:
    """Contract §2: `event_id` is the request id, the same in the X-Request-Id header."""
    scope, headers = await run(_ok)
    assert headers["x-request-id"] == scope["event_id"]
    assert scope["event_id"].startswith("evt_")


async def test_no_two_requests_have_the_same_id() -> None:
    """Contract §2: it finds one request in the log."""
    ids = {(await run(_ok))[0]["event_id"] for _ in range(20)}
    assert len(ids) == 20


async def test_a_client_cannot_choose_the_id() -> None:
    """It would find, or hide in, somebody else's log lines."""
    scope = dict(request({"x-request-id": "evt_mine"}).scope)

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(_message: Any) -> None:
        return None

    await RequestContext(_ok, hsts=False)(scope, receive, send)
    assert scope["event_id"] != "evt_mine"


async def test_a_log_line_has_the_path_and_never_the_query() -> None:
    """Contract §2: codes and flow ids travel in the query."""
    with capture_logs() as lines:
        await run(_ok, path="/oauth/consent", query=b"flow_id=flow_secret&code=bfac_secret")
    (line,) = lines
    assert (line["path"], line["status"], line["method"]) == ("/oauth/consent", 200, "GET")
    assert "secret" not in repr(line)


@pytest.mark.parametrize("path", ["/health", "/ready", "/metrics"])
async def test_probes_leave_no_log_line(path: str) -> None:
    """They would be most of the log."""
    with capture_logs() as lines:
        await run(_ok, path=path)
    assert lines == []


async def test_under_https_browsers_are_told_to_stay_there() -> None:
    """Contract §1: the issuer is https."""
    assert "strict-transport-security" in (await run(_ok, hsts=True))[1]
    assert "strict-transport-security" not in (await run(_ok))[1]


async def test_a_request_that_fails_is_logged_too() -> None:
    """The last line of defence must not swallow anything."""

    async def broken(_scope: Scope, _receive: Receive, _send: Send) -> None:
        raise LookupError("x")

    with capture_logs() as lines, pytest.raises(LookupError):
        await run(broken)
    assert len(lines) == 1
