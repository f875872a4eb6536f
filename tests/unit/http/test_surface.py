"""A surface: whatever an endpoint raises leaves in the surface's own form."""

from typing import Any

import pytest
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp
from structlog.testing import capture_logs

from bifrost.base.errors import Denied, DomainError
from bifrost.http.cors import Cors
from bifrost.http.public_urls import PublicUrls
from bifrost.http.surface import Probe, Surface, event_id
from tests.unit._requests import request

pytestmark = pytest.mark.anyio

URLS = PublicUrls(("http://localhost:8080",))
HOST = {"host": "localhost:8080"}


def _render(sent: Request, error: DomainError, operation: str) -> Response:
    return PlainTextResponse(f"{error.code} {operation} {event_id(sent)} {error.message}", 499)


async def _fine(_request: Request) -> Response:
    return PlainTextResponse("fine")


async def answer(endpoint: Any = _fine, *, cors: Cors | None = None, method: str = "GET", **headers: str) -> Response:
    route = Surface(render=_render, public_urls=URLS, cors=cors).route("/x", endpoint, "GET", operation="op")
    return await _answer_of(route.app, request({**HOST, **headers}, method=method))


async def _answer_of(app: ASGIApp, sent: Request) -> Response:
    messages: list[Any] = []

    async def send(message: Any) -> None:
        messages.append(message)

    await app(sent.scope, sent.receive, send)
    start, *rest = messages
    result = Response(b"".join(message["body"] for message in rest), start["status"])
    result.raw_headers = start["headers"]
    return result


async def test_an_endpoint_that_succeeds_is_passed_through() -> None:
    """Contract §1."""
    response = await answer()
    assert (response.status_code, response.body) == (200, b"fine")


async def test_a_domain_error_leaves_in_the_surfaces_form() -> None:
    """Contract §2."""

    async def refusing(_request: Request) -> Response:
        raise Denied("No.")

    response = await answer(refusing)
    assert (response.status_code, response.body) == (499, b"access_denied op evt_test No.")


async def test_a_fault_of_ours_says_nothing_of_its_cause_and_is_in_the_log() -> None:
    """Contract §2: no stack trace, SQL, path or library name ever leaves."""

    async def failing(_request: Request) -> Response:
        raise LookupError("SELECT secret FROM /etc/passwd")

    with capture_logs() as lines:
        response = await answer(failing)
    assert bytes(response.body).startswith(b"server_error op evt_test")
    assert b"SELECT" not in bytes(response.body)
    assert lines[0]["exc_info"]


async def test_a_client_that_has_gone_is_no_fault() -> None:
    """Nobody is there to read an answer, and nobody needs to be alarmed."""

    async def left(_request: Request) -> Response:
        raise ClientDisconnect

    with capture_logs() as lines:
        assert (await answer(left)).status_code == 400
    assert lines == []


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "TRACE", "XYZ"])
async def test_a_wrong_method_is_refused_in_the_surfaces_form(method: str) -> None:
    """Contract §2: 405."""
    assert bytes((await answer(method=method)).body).startswith(b"method_not_allowed")


async def test_a_request_for_another_host_never_reaches_the_endpoint() -> None:
    """Contract §1: 421; the log names the host, for whoever set up the proxy in front."""
    with capture_logs() as lines:
        assert bytes((await answer(host="evil.example")).body).startswith(b"misdirected_request")
    assert lines[0]["hosts"] == ["evil.example"]
    assert lines[0]["public_urls"] == ["http://localhost:8080"]


async def test_a_foreign_origin_never_reaches_the_endpoint() -> None:
    """Contract §7: before authentication."""
    response = await answer(cors=Cors(lambda _origin: False), origin="https://evil.example")
    assert bytes(response.body).startswith(b"origin_not_allowed")


async def test_a_preflight_is_answered_before_the_endpoint_is_asked() -> None:
    """Contract §7: preflight before authentication."""
    response = await answer(cors=Cors(), method="OPTIONS", origin="https://app.example.com")
    assert response.status_code == 204
    assert response.headers["access-control-allow-methods"] == "GET"
    assert response.headers["access-control-allow-origin"] == "*"


async def test_an_error_can_be_read_by_the_origin_that_may_read_the_answer() -> None:
    """Contract §7: a client in a browser must see the challenge."""
    response = await answer(cors=Cors(), method="POST", origin="https://app.example.com")
    assert response.headers["access-control-allow-origin"] == "*"


@pytest.mark.parametrize("path", ["/x\n", "/a\nb", "/a\x00", "/a\u2028b"])
async def test_an_address_with_what_nobody_sees_is_nobodys(path: str) -> None:
    """Contract §2: an unknown path."""
    route = Surface(render=_render, public_urls=URLS).route("/x", _fine, "GET", operation="op")
    assert bytes((await _answer_of(route.app, request(HOST, path=path))).body).startswith(b"not_found")


@pytest.mark.parametrize(("method", "status"), [("GET", 200), ("HEAD", 200), ("POST", 405), ("OPTIONS", 405)])
async def test_a_probe_answers_under_any_host_and_reads_only(method: str, status: int) -> None:
    """Contract §1: an orchestrator asks by address."""
    response = await _answer_of(Probe(_fine), request({"host": "10.0.0.1:8080"}, method=method))
    assert response.status_code == status
    assert response.headers.get("allow") == (None if status == 200 else "GET, HEAD")
