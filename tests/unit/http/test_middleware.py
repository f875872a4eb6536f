"""The outermost layer."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from structlog.testing import capture_logs

from bifrost.base import events
from bifrost.base.events import Event
from bifrost.http.middleware import RequestContext
from tests.unit._requests import request

pytestmark = pytest.mark.anyio


async def _ok(scope: Scope, receive: Receive, send: Send) -> None:
    await Response("fine")(scope, receive, send)


async def _no_record(_told: tuple[Event, ...], _scope: Scope) -> None:
    raise AssertionError("nothing happened")


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

    await RequestContext(app, record=_no_record, hsts=hsts)(scope, receive, send)
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

    await RequestContext(_ok, record=_no_record, hsts=False)(scope, receive, send)
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

    with capture_logs() as lines, pytest.raises(LookupError):
        await run(_broken)
    assert len(lines) == 1


async def _broken(_scope: Scope, _receive: Receive, _send: Send) -> None:
    raise LookupError("SELECT secret FROM /etc/passwd")


async def _sent_by(app: ASGIApp, record: Callable[..., Any] = _no_record) -> list[Any]:
    """The messages that leave, and among them the word `kept` where something was recorded."""
    left: list[Any] = []
    sent = request()

    async def recording(told: tuple[Event, ...], scope: Scope) -> None:
        await record(told, scope)
        left.append("kept")

    async def send(message: Any) -> None:
        left.append(message)

    with suppress(LookupError):
        await RequestContext(app, record=recording, hsts=True)(sent.scope, sent.receive, send)
    return left


async def test_a_fault_that_no_surface_has_seen_is_answered_with_500_and_without_its_cause() -> None:
    """Contract §2: and with the id by which it is found in the log."""
    start, body = await _sent_by(_broken)
    assert start["status"] == 500
    assert {name for name, _ in start["headers"]} >= {b"x-request-id", b"strict-transport-security"}
    assert body["body"] == b"Internal Server Error"


async def test_a_fault_after_the_answer_has_begun_adds_nothing_to_it() -> None:
    """RFC 9112 §8: what is incomplete must look incomplete."""

    async def breaks_off(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        raise LookupError("x")

    assert [message["type"] for message in await _sent_by(breaks_off)] == ["http.response.start"]


@pytest.mark.parametrize("moment", ["before", "between", "after"])
async def test_what_happened_is_kept_before_anything_more_leaves(moment: str) -> None:
    """Contract §2: it is in the audit trail before its answer is on the way; what comes later is not lost either."""

    async def telling(_scope: Scope, _receive: Receive, send: Send) -> None:
        start: Message = {"type": "http.response.start", "status": 200, "headers": []}
        body: Message = {"type": "http.response.body", "body": b"x"}
        for name, message in (("before", start), ("between", body)):
            if name == moment:
                events.add(Event(name="thing_made", target="thing_1"))
            await send(message)
        if moment == "after":
            events.add(Event(name="thing_made", target="thing_1"))

    kept: list[Any] = []

    async def record(told: tuple[Event, ...], scope: Scope) -> None:
        kept.append((told, scope["event_id"]))

    left = await _sent_by(telling, record)
    assert left.index("kept") == ["before", "between", "after"].index(moment)
    (((event,), event_id),) = kept
    assert (event.name, event.target) == ("thing_made", "thing_1")
    assert (b"x-request-id", event_id.encode()) in next(one for one in left if one != "kept")["headers"]


async def test_what_is_no_request_passes() -> None:
    """ASGI: the start and the end of the server."""
    seen: list[str] = []

    async def app(scope: Scope, _receive: Receive, _send: Send) -> None:
        seen.append(scope["type"])

    sent = request()
    await RequestContext(app, record=_no_record, hsts=True)({"type": "lifespan"}, sent.receive, _unheard)
    assert seen == ["lifespan"]


async def _unheard(_message: Any) -> None:
    raise AssertionError("nothing is sent")
