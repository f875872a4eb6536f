"""The surface of the management API: who gets in, and how everything else is refused (contract §9)."""

from pathlib import Path
from typing import Any

import pytest

from bifrost.http.api import ByMethod
from bifrost.identity.administrators import LOCK_SECONDS
from tests.support.gateway import ISSUER, VIRTUAL_KEY, TestGateway, routes, running_gateway

pytestmark = pytest.mark.anyio

MEMBERS = {"event_id", "type", "is_bifrost_error", "status_code", "error", "extra_fields"}
SETTINGS: list[dict[str, Any]] = [
    {},
    {"admin_token": ""},
    {"client": {"mcp_server_auth_mode": "headers"}},
    {"client": {"mcp_server_auth_mode": "oauth"}},
    {"client": {"enforce_auth_on_inference": False}},
    {"client": {"enforce_auth_on_inference": True}},
]


def _operations(running: TestGateway) -> list[tuple[str, str]]:
    """Method and an address of every operation that the application really serves."""
    return [
        (method, route.path.replace("{", "").replace("}", ""))
        for route in routes(running.gateway)
        if isinstance(route.app, ByMethod)
        for method in route.app.routes
    ]


def _is_error(answer: Any, status: int, code: str) -> None:
    body = answer.json()
    assert answer.status_code == body["status_code"] == status, answer.text
    assert set(body) == MEMBERS
    assert body["error"]["code"] == code
    assert body["event_id"] == answer.headers["x-request-id"]
    assert answer.headers["cache-control"] == "no-store"
    assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize("sections", SETTINGS, ids=str)
async def test_nothing_in_the_api_works_without_an_administrators_credential(
    sqlite_url: str, tmp_path: Path, sections: dict[str, Any]
) -> None:
    """Contract §9, TC-131, R74: on any setting."""
    async with running_gateway(sqlite_url, tmp_path, **sections) as running:
        operations = _operations(running)
        assert len(operations) >= 2
        for method, path in operations:
            running.clock.advance(seconds=LOCK_SECONDS + 1)  # every wrong token counts
            for headers in ({}, {"Authorization": f"Bearer {VIRTUAL_KEY}"}, {"x-bf-vk": VIRTUAL_KEY}):
                answer = await running.http.request(method, path, headers=headers)
                assert answer.status_code == 401, (method, path, answer.text)
                assert answer.json()["type"] == "authentication_error"
                assert answer.headers["www-authenticate"].startswith("Bearer")


async def test_a_refusal_is_json_even_for_a_browser(running: TestGateway) -> None:
    """Contract §2: never a page."""
    async with running.browser() as browser:
        _is_error(await browser.post("/api/session/logout"), 401, "administrator_required")
        _is_error(await browser.get("/api/nothing"), 404, "not_found")
        _is_error(await browser.get("/api/"), 404, "not_found")
        _is_error(await browser.get("/api"), 404, "not_found")


async def test_a_wrong_method_is_405_and_names_the_right_ones(running: TestGateway) -> None:
    """Contract §2: 405 and Allow, in the surface's own form."""
    answer = await running.http.get("/api/session/login")
    _is_error(answer, 405, "method_not_allowed")
    assert answer.headers["allow"] == "POST"


async def test_no_origin_may_read_the_api(running: TestGateway) -> None:
    """Contract §7: CORS never on management; a preflight is a method like any other."""
    headers = {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}
    answer = await running.http.options("/api/session/login", headers=headers)
    assert answer.status_code == 405
    assert not [name for name in answer.headers if name.startswith("access-control")]


async def test_a_request_for_another_host_is_refused(running: TestGateway) -> None:
    """Contract §1: 421, a rebound name never reaches the API."""
    answer = await running.http.get("/api/nothing", headers={"Host": "evil.example"})
    assert answer.status_code == 421


@pytest.mark.parametrize(
    "path", ["//api/session/logout", "/API/session/logout", "/api/session/logout/", "/api/session/%6cogin%0a"]
)
async def test_other_spellings_of_an_address_are_nothing(running: TestGateway, path: str) -> None:
    """TC-155: path confusion never leads past the guard."""
    assert (await running.http.post(f"{ISSUER}{path}")).status_code == 404
