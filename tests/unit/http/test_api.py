"""The management API's surface: the guard comes first, JSON in and out, one route for each path."""

import json
from contextlib import nullcontext
from typing import Any

import msgspec
import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from bifrost.base.errors import NotFound, Unauthenticated
from bifrost.http.api import Api, rfc3339
from bifrost.http.commands import Command
from bifrost.http.public_urls import PublicUrls
from bifrost.http.router import Router
from tests.unit._requests import request

pytestmark = pytest.mark.anyio

URLS = PublicUrls(("http://localhost:8080",))
HEADERS = {"host": "localhost:8080", "content-type": "application/json"}


class _Thing(Command, frozen=True, kw_only=True):
    name: str = "none"


async def _admitted(_request: Request) -> None:
    pass


async def _refused(_request: Request) -> None:
    raise Unauthenticated("Who are you?")


async def _show(_request: Request, wanted: _Thing) -> _Thing:
    return wanted


async def _make(_request: Request, wanted: _Thing) -> _Thing:
    return wanted


async def _remove(_request: Request) -> None:
    return None


async def _gone(_request: Request) -> _Thing:
    raise NotFound("No such thing.", code="thing_not_found")


async def _own(_request: Request) -> Response:
    return PlainTextResponse("its own", 202)


def _api(guard: Any = _admitted) -> Api:
    api = Api(URLS, guard)
    api.route("/api/things", _show, "GET", operation="things_list", summary="", takes=_Thing, gives=_Thing)
    api.route(
        "/api/things", _make, "POST", operation="things_create", summary="", takes=_Thing, gives=_Thing, status=201
    )
    api.route("/api/things", _remove, "DELETE", operation="things_delete", summary="")
    api.route("/api/gone", _gone, "GET", operation="gone", summary="", gives=_Thing)
    api.route("/api/own", _own, "GET", operation="own", summary="", gives=_Thing, open_to_everybody=True)
    return api


async def _ask(api: Api, method: str, path: str, *, query: bytes = b"", body: bytes = b"") -> Response:
    sent = request(HEADERS, method=method, path=path, query=query, body=body)
    messages: list[Any] = []

    async def send(message: Any) -> None:
        messages.append(message)

    *routes, last = api.routes()
    await Router(routes, otherwise=last, lifespan=nullcontext)(sent.scope, sent.receive, send)
    result = Response(b"".join(message["body"] for message in messages[1:]), messages[0]["status"])
    result.raw_headers = messages[0]["headers"]
    return result


async def test_an_endpoint_gets_its_command_and_gives_json() -> None:
    """Contract §9: JSON, and nothing of it is kept in a cache."""
    shown = await _ask(_api(), "GET", "/api/things", query=b"name=a")
    assert (shown.status_code, shown.body) == (200, b'{"name":"a"}')
    assert shown.headers["cache-control"] == "no-store"
    assert shown.headers["content-type"] == "application/json"
    made = await _ask(_api(), "POST", "/api/things", body=b'{"name":"b"}')
    assert (made.status_code, made.body) == (201, b'{"name":"b"}')
    removed = await _ask(_api(), "DELETE", "/api/things")
    assert (removed.status_code, removed.body) == (204, b"")


async def test_an_endpoint_may_answer_by_itself() -> None:
    """Ours: where a cookie has to be set."""
    assert (await _ask(_api(), "GET", "/api/own")).status_code == 202


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/api/things"), ("POST", "/api/things"), ("DELETE", "/api/things"), ("GET", "/api/gone")],
)
async def test_the_guard_comes_before_everything_else(method: str, path: str) -> None:
    """Contract §9: before the body is read and before anything is looked up."""
    answer = await _ask(_api(_refused), method, path, body=b"{", query=b"nam=1")
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].startswith("Bearer")
    assert json.loads(bytes(answer.body))["error"]["message"] == "Who are you?"


async def test_an_open_operation_has_no_guard() -> None:
    """Ours: signing in is what checks the credential itself."""
    assert (await _ask(_api(_refused), "GET", "/api/own")).status_code == 202


async def test_a_wrong_method_names_all_of_the_path() -> None:
    """Contract §2: 405 and Allow."""
    answer = await _ask(_api(), "PATCH", "/api/things")
    assert answer.status_code == 405
    assert answer.headers["allow"] == "GET, POST, DELETE"


async def test_each_method_is_an_operation_of_its_own() -> None:
    """Contract §2: `extra_fields.request_type` names the operation."""
    answer = await _ask(_api(), "POST", "/api/things", body=b'{"nam":1}')
    said = json.loads(bytes(answer.body))
    assert (said["extra_fields"]["request_type"], said["error"]["param"]) == ("things_create", "nam")
    said = json.loads(bytes((await _ask(_api(), "GET", "/api/gone")).body))
    assert (said["extra_fields"]["request_type"], said["error"]["code"]) == ("gone", "thing_not_found")


async def test_an_unknown_path_is_a_json_404() -> None:
    """Contract §2: 404 in the surface's own form."""
    for path in ("/api", "/api/", "/api/nothing", "/api/things/1"):
        answer = await _ask(_api(_refused), "GET", path)
        assert answer.status_code == 404
        assert json.loads(bytes(answer.body))["type"] == "not_found_error"


def test_times_are_written_in_utc() -> None:
    """Ours: RFC 3339."""
    assert rfc3339(1_800_000_000_000) == "2027-01-15T08:00:00Z"
    assert rfc3339(1_800_000_000_007) == "2027-01-15T08:00:00.007Z"


def test_answers_are_structs() -> None:
    """Ours: what an operation gives is what its documentation is made from."""
    assert all(issubclass(one.gives, msgspec.Struct) for one in _api().operations if one.gives)
