"""A fault of ours, in whichever handler: the answer says that it is one and nothing else, and nothing is half done."""

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx2
import pytest
from starlette.requests import Request
from starlette.responses import Response
from structlog.testing import capture_logs

from bifrost.http import surface
from bifrost.http.api import ByMethod
from bifrost.identity.administrators import Administrators
from bifrost.identity.callers import Callers
from bifrost.storage.authserver import SqlAuthServerStore
from tests.flows._authorization import INTERNALS
from tests.flows._consent import sign_in
from tests.flows._hostile_upstream import hostile
from tests.flows._mcp import KEY, ask, call, with_upstreams
from tests.flows._raw import everything
from tests.flows._tokens import authorized, error_of
from tests.support import oauth
from tests.support.gateway import ISSUER, VIRTUAL_KEY, TestGateway, routes, upstream

pytestmark = pytest.mark.anyio

CAUSE = f"SELECT x: {VIRTUAL_KEY} at /work/src/bifrost/storage.py, sqlite3, asyncpg"
OPEN = ("/health", "/ready")
"""They say whether the process and its storage live, and have no handler that could fail."""


class Broken(Exception):
    """What no use-case raises."""


async def _breaks(_request: Request) -> Response:
    raise Broken(CAUSE)


@pytest.fixture
def every_handler_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    """After host, origin and method were checked, which is not a handler's work."""
    answered = surface._Guarded._answer

    async def failing(guarded: surface._Guarded, request: Request) -> Response:
        return await answered(replace(guarded, endpoint=_breaks), request)

    monkeypatch.setattr(surface._Guarded, "_answer", failing)


def _addresses(running: TestGateway) -> Iterator[tuple[str, str]]:
    """Every method at every address of the running application."""
    for route in routes(running.gateway):
        if route.path in OPEN:
            continue
        path = re.sub(r"\{[^}]+\}", "x", route.path)
        for one in route.app.routes.values() if isinstance(route.app, ByMethod) else (route,):
            yield from ((method, path) for method in one.app.methods)  # type: ignore[attr-defined]


@pytest.mark.usefixtures("every_handler_fails")
@pytest.mark.parametrize("accept", ["application/json", "text/html"])
async def test_a_fault_in_any_handler_leaves_as_a_general_error(running: TestGateway, accept: str) -> None:
    """TC-177, contract §2: in the form of the address, with the id by which its cause is found in the log alone."""
    addresses = sorted(set(_addresses(running)))
    assert len(addresses) > 60
    for method, path in addresses:
        with capture_logs() as lines:
            answer = await running.http.request(method, path, headers={"Accept": accept, **_origin(method, path)})
        where = f"{method} {path}"
        if (method, answer.status_code) == ("OPTIONS", 204):
            continue  # a preflight asks no handler
        assert answer.status_code == 500, where
        _tells_nothing(answer, where)
        (fault,) = [line for line in lines if line["event"] == "unexpected_error"]
        assert fault["log_level"] == "error", where


def _origin(method: str, path: str) -> dict[str, str]:
    return {"Origin": ISSUER} if method == "POST" and not path.startswith("/api/oauth/per-user/token") else {}


def _tells_nothing(answer: httpx2.Response, where: str) -> None:
    event_id = answer.headers["x-request-id"]
    assert "Broken" not in answer.text, where
    assert "sk-bf-" not in answer.text, where
    assert not INTERNALS.search(re.sub(r"<style>.*?</style>", "", answer.text, flags=re.DOTALL)), where
    assert "set-cookie" not in answer.headers, where
    assert "location" not in answer.headers, where
    if not answer.content:
        return  # HEAD
    if answer.headers["content-type"] == "application/json":
        body: dict[str, Any] = answer.json()
        error = body["error"]
        assert event_id in answer.text or body.keys() == {"error", "error_description"}, where
        assert error == "server_error" or "server_error" in str(body), where
    else:
        assert answer.headers["content-type"] == "text/html; charset=utf-8", where
        assert event_id in answer.text, where
        assert "frame-ancestors 'none'" in answer.headers["content-security-policy"], where


@pytest.mark.parametrize("what", [(Callers, "authenticate"), (Administrators, "by_token")])
async def test_a_fault_while_somebody_is_recognised_lets_nobody_in(
    sqlite_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: tuple[type, str]
) -> None:
    """TC-177, TC-133, CVE-2026-12773: neither as anybody nor as a default; the upstream hears nothing."""
    kind, method = what

    async def failing(*_: object, **__: object) -> None:
        raise Broken(CAUSE)

    with hostile() as one:
        async with with_upstreams(sqlite_url, tmp_path, upstream("one", one.url)) as running:
            monkeypatch.setattr(kind, method, failing)
            seen = len(one.seen)
            before = await everything(running)
            if kind is Callers:
                answers = [await call(running.http, "one-read", headers=h) for h in (KEY, {}, {"x-bf-vk": "bad"})]
            else:
                async with running.administrator() as administrator:
                    answers = [
                        await administrator.get("/api/governance/virtual-keys"),
                        await administrator.post("/api/governance/virtual-keys", json={"name": "x"}),
                        await administrator.post("/api/mcp/client", json={"name": "x"}),
                    ]
            for answer in answers:
                assert answer.status_code == 500
                _tells_nothing(answer, method)
            assert len(one.seen) == seen
            after = await everything(running)
            assert {name for name in before if before[name] != after[name]} <= {"audit_events"}


@pytest.mark.parametrize("method", ["submit_flow", "redeem_code", "rotate_refresh_token"])
async def test_a_fault_in_the_one_step_that_counts_uses_nothing_up(
    running: TestGateway, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    """TC-177, contract §§5, 6: what failed can be sent again, and then it works once."""
    whole = getattr(SqlAuthServerStore, method)
    left = [1]

    async def failing_once(*arguments: Any, **options: Any) -> Any:
        if left and left.pop():
            raise Broken(CAUSE)
        return await whole(*arguments, **options)

    monkeypatch.setattr(SqlAuthServerStore, method, failing_once)
    if method == "submit_flow":
        async with sign_in(running) as flow:
            await flow.press("vk", virtual_key=VIRTUAL_KEY)
            broken = await flow.press("submit")
            assert broken.status_code == 500
            _tells_nothing(broken, method)
            assert "code" in oauth.response_of(await flow.press("submit"))
            assert (await flow.press("submit")).status_code == 409
        return
    client, code = await authorized(running)
    if method == "redeem_code":
        assert error_of(await client.redeem(code), 500) == "server_error"
        assert await running.rows("access_tokens") == []
    tokens = (await client.redeem(code)).json()
    if method == "rotate_refresh_token":
        assert error_of(await client.refresh(tokens["refresh_token"]), 500) == "server_error"
    assert (await client.refresh(tokens["refresh_token"])).status_code == 200
    answer = await ask(running.http, "ping", headers={"Authorization": f"Bearer {tokens['access_token']}"})
    assert answer.status_code == 200


async def test_a_fault_on_a_page_is_a_page(running: TestGateway, monkeypatch: pytest.MonkeyPatch) -> None:
    """TC-177: a person reads plain words and the reference to give to whoever runs this."""

    async def failing(*_: object, **__: object) -> None:
        raise Broken(CAUSE)

    async with sign_in(running) as flow:
        monkeypatch.setattr(SqlAuthServerStore, "pending_flow", failing)
        answer = await flow.page()
        assert answer.status_code == 500
        _tells_nothing(answer, "consent")
