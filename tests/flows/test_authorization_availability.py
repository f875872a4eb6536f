"""Who answers at the authorization endpoint, and when: methods, the alias at the root, modes, storage that is down."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.flows._authorization import (
    assert_error_body,
    assert_error_page,
    assert_no_way_back,
    assert_silent,
    refused,
    registered,
    request,
)
from tests.flows._raw import PERSON, PROGRAM, ask, everything
from tests.support import oauth
from tests.support.clock import FakeClock
from tests.support.gateway import TestGateway, running_gateway
from tests.support.oauth import AUTHORIZE

pytestmark = pytest.mark.anyio

ALIAS = "/authorize"
WELL_KNOWN = (
    "/.well-known/oauth-protected-resource",
    "/.well-known/oauth-protected-resource/mcp",
    "/.well-known/oauth-protected-resource/mcp/notes",
    "/.well-known/oauth-authorization-server",
    "/.well-known/oauth-authorization-server/mcp",
    "/.well-known/oauth-authorization-server/mcp/notes",
    "/.well-known/openid-configuration",
    "/.well-known/openid-configuration/mcp",
    "/.well-known/jwks.json",
)
PAGES = ("/oauth/consent", "/oauth/consent/mcps", AUTHORIZE, ALIAS)
ACTIONS = (
    *(f"/api/oauth/per-user/consent/{name}" for name in ("vk", "user-id", "user", "skip", "submit", "deny")),
    *(f"/api/oauth/per-user/{name}" for name in ("register", "token", "revoke", "introspect")),
    "/register",
    "/token",
)


@pytest.fixture
async def headers_only(sqlite_url: str, tmp_path: Path, clock: FakeClock) -> AsyncIterator[TestGateway]:
    """A gateway that takes virtual keys in headers and nothing else."""
    mode = {"mcp_server_auth_mode": "headers"}
    async with running_gateway(sqlite_url, tmp_path, clock=clock, client=mode) as started:
        yield started


@pytest.mark.parametrize("path", [AUTHORIZE, ALIAS])
@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW"])
async def test_only_get_is_answered(running: TestGateway, method: str, path: str) -> None:
    """Contract §2: a wrong method is 405 with Allow, even when the request would be right; no CORS preflight here.

    A12, A20.
    """
    client = await registered(running)
    sent = request(client)
    await refused(running, sent, path=path, method=method, status=405, code="method_not_allowed", param="")
    for accept in (PROGRAM, PERSON):
        answer = await ask(running, path, sent, method=method, headers=[accept])
        assert answer.headers["allow"] == "GET"


@pytest.mark.parametrize("path", [AUTHORIZE, ALIAS])
async def test_head_begins_no_flow(running: TestGateway, path: str) -> None:
    """Contract §2: link checkers and mail scanners ask with HEAD, and nothing must happen."""
    client = await registered(running)
    before = await everything(running)
    answer = await ask(running, path, request(client), method="HEAD")
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET")
    assert_silent(answer)
    assert await everything(running) == before


async def test_a_form_is_not_read_as_the_query(running: TestGateway) -> None:
    """Contract §4: the parameters are those of the query."""
    client = await registered(running)
    form = ("content-type", "application/x-www-form-urlencoded")
    answer = await ask(running, AUTHORIZE, headers=[PROGRAM, form], body=request(client))
    assert_error_body(answer, status=400, code="invalid_request", param="client_id")


async def test_the_alias_at_the_root_is_the_same_endpoint(running: TestGateway) -> None:
    """Contract §1: clients that skip discovery."""
    client = await registered(running)
    page = await refused(
        running,
        request(client, response_type="token"),
        path=ALIAS,
        param="response_type",
        code="unsupported_response_type",
    )
    assert page.links
    page = await refused(running, request(client, client_id="x"), path=ALIAS, param="client_id", code="invalid_client")
    assert_no_way_back(page)
    answer = await ask(running, ALIAS, request(client))
    assert answer.status_code == 302
    assert answer.headers["location"] == f"/oauth/consent?flow_id={(await running.rows('pending_flows'))[0]['id']}"
    assert answer.headers["set-cookie"].startswith("__bifrost_flow_secret=")


@pytest.mark.parametrize(
    "path",
    [AUTHORIZE + "/", AUTHORIZE + "\n", ALIAS + "/", AUTHORIZE.upper(), "/api/oauth/per-user", "/oauth/authorize"],
)
async def test_an_address_nearby_is_not_the_endpoint(running: TestGateway, path: str) -> None:
    """Contract §2: an unknown path is 404 in the surface's own form, and no redirect to the right one."""
    client = await registered(running)
    before = await everything(running)
    answer = await ask(running, path, request(client), headers=[PROGRAM])
    assert_silent(answer)
    assert_error_body(
        answer, status=404, code="not_found", param="", operation=answer.json()["extra_fields"]["request_type"]
    )
    assert await everything(running) == before


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "OPTIONS"])
@pytest.mark.parametrize("path", [*WELL_KNOWN, *PAGES, *ACTIONS])
async def test_in_mode_headers_there_is_no_authorization_server(
    headers_only: TestGateway, path: str, method: str
) -> None:
    """Contract §1: every authorization server and well-known path answers 404 in plain text."""
    for accept in (PROGRAM, PERSON):
        answer = await ask(headers_only, path, b"client_id=x", method=method, headers=[accept])
        assert_silent(answer)
        assert answer.status_code == 404
        assert answer.headers["content-type"].partition(";")[0] == "text/plain"
        assert answer.headers["x-request-id"]


async def test_the_mode_is_looked_at_before_the_storage(headers_only: TestGateway) -> None:
    """Contract §4, order of checks: mode (404), then storage (503)."""
    await headers_only.gateway.database.close()
    answer = await ask(headers_only, AUTHORIZE, b"state=1&state=2", headers=[PROGRAM])
    assert answer.status_code == 404
    assert "retry-after" not in answer.headers


@pytest.mark.parametrize("mode", ["both", "oauth"])
async def test_the_other_modes_have_an_authorization_server(
    sqlite_url: str, tmp_path: Path, clock: FakeClock, mode: str
) -> None:
    """Contract §1: `both` and `oauth`."""
    section = {"mcp_server_auth_mode": mode}
    async with running_gateway(sqlite_url, tmp_path, clock=clock, client=section) as running:
        async with running.browser() as browser:
            _client, tokens = await oauth.signed_in(running.http, browser)
        assert tokens["access_token"]
        assert (await ask(running, "/.well-known/oauth-authorization-server")).status_code == 200


@pytest.mark.parametrize("sent", ["correct", "repeated", "unknown client"])
async def test_without_storage_the_answer_is_503_whatever_was_asked(
    database_url: str, tmp_path: Path, clock: FakeClock, sent: str
) -> None:
    """Contract §§2 and 4: storage is checked before the parameters; Retry-After in both forms, on both databases."""
    async with running_gateway(database_url, tmp_path, clock=clock) as running:
        client = await registered(running)
        query = {
            "correct": request(client),
            "repeated": request(client) + b"&state=again",
            "unknown client": request(client, client_id="x"),
        }[sent]
        await running.gateway.database.close()
        program = await ask(running, AUTHORIZE, query, headers=[PROGRAM])
        person = await ask(running, AUTHORIZE, query, headers=[PERSON])
    assert_error_body(program, status=503, code="temporarily_unavailable", param="")
    assert_no_way_back(assert_error_page(person, status=503))
    for answer in (program, person):
        assert_silent(answer)
        assert 1 <= int(answer.headers["retry-after"]) <= 60


async def test_when_the_flow_cannot_be_written_the_browser_gets_nothing(running: TestGateway) -> None:
    """Contract §2: a database that reads but does not write is not available either."""
    client = await registered(running)
    database = running.gateway.database
    async with database.transaction() as connection:
        await database.run_script(connection, "PRAGMA query_only = ON;")
    sent = request(client)
    page = await refused(running, sent, status=503, code="temporarily_unavailable", param="")
    assert_no_way_back(page)
    answer = await ask(running, AUTHORIZE, sent, headers=[PROGRAM])
    assert int(answer.headers["retry-after"]) >= 1
