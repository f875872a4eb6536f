"""Text that is a statement, a pattern or a path for somebody careless: here a wrong value like any other."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.flows._consent import sign_in
from tests.flows._hostile_upstream import HostileUpstream, hostile
from tests.flows._mcp import ask, call, with_upstreams
from tests.flows._tokens import basic, signed_in
from tests.support import oauth
from tests.support.clock import FakeClock
from tests.support.gateway import ADMIN_TOKEN, ISSUER, VIRTUAL_KEY, TestGateway, running_gateway, upstream

pytestmark = pytest.mark.anyio

STATEMENTS = [
    "' OR '1'='1",
    "' OR 1=1--",
    "'; DROP TABLE grants; --",
    '" OR ""="',
    "x' UNION SELECT value FROM virtual_keys--",
    "$1; SELECT pg_sleep(9)",
    "%",
    "_" * 43,
    "\\",
    "\\' OR 1=1--",
    "*",
    "[a-z]*",
    "${jndi:ldap://127.0.0.1/x}",
    "$(touch /tmp/x)",
    "../../../etc/passwd",
]
TABLES = (
    "grants",
    "access_tokens",
    "refresh_tokens",
    "authorization_codes",
    "virtual_keys",
    "upstreams",
    "upstream_credentials",
    "oauth_clients",
)
Place = Callable[[TestGateway, str], Awaitable[httpx2.Response]]


async def _at_authorize(running: TestGateway, name: str, text: str) -> httpx2.Response:
    client = await oauth.register(running.http)
    return await running.http.get(oauth.AUTHORIZE, params=client.request(**{name: text}))


async def _at_token(running: TestGateway, **form: Any) -> httpx2.Response:
    client = await oauth.register(running.http)
    return await client.token(**form)


async def _consent(running: TestGateway, **form: str) -> httpx2.Response:
    running.clock.advance(seconds=300)
    async with sign_in(running) as flow:
        return await flow.press("vk", **form)


async def _in_a_cookie(running: TestGateway, text: str) -> httpx2.Response:
    headers = {"Cookie": f"__bifrost_flow_secret={text}", "Accept": "text/html"}
    return await running.http.get("/oauth/consent", params={"flow_id": text}, headers=headers)


async def _managed(running: TestGateway, path: str, **query: str) -> httpx2.Response:
    async with running.administrator() as administrator:
        return await administrator.get(path, params=query)


PLACES: dict[str, tuple[Place, set[int]]] = {
    "a bearer": (lambda r, t: ask(r.http, "ping", headers={"Authorization": f"Bearer {t}"}), {401}),
    "a key's header": (lambda r, t: ask(r.http, "ping", headers={"x-bf-vk": t}), {401}),
    "a key that begins like one": (lambda r, t: ask(r.http, "ping", headers={"x-bf-vk": f"sk-bf-{t}"}), {401}),
    "a token that begins like one": (
        lambda r, t: ask(r.http, "ping", headers={"Authorization": f"Bearer bfat_{t}"}),
        {401},
    ),
    "a session's name": (
        lambda r, t: ask(r.http, "ping", headers={"x-bf-mcp-session-id": t.ljust(22, "'")}),
        {200, 401},
    ),
    "a session's id": (
        lambda r, t: ask(r.http, "ping", headers={"x-bf-vk": VIRTUAL_KEY, "Mcp-Session-Id": t}),
        {200, 400, 404},
    ),
    "a filter": (
        lambda r, t: ask(r.http, "tools/list", headers={"x-bf-vk": VIRTUAL_KEY, "x-bf-mcp-include-tools": t}),
        {200, 400},
    ),
    "a tool's name": (lambda r, t: call(r.http, t), {200}),
    "an upstream's name": (lambda r, t: call(r.http, f"{t}-x"), {200}),
    "client_id": (lambda r, t: _at_authorize(r, "client_id", t), {400}),
    "redirect_uri": (lambda r, t: _at_authorize(r, "redirect_uri", t), {400}),
    "resource": (lambda r, t: _at_authorize(r, "resource", t), {400}),
    "challenge": (lambda r, t: _at_authorize(r, "code_challenge", t), {400}),
    "code": (lambda r, t: _at_token(r, grant_type="authorization_code", code=t, code_verifier="x" * 43), {400}),
    "verifier": (lambda r, t: _at_token(r, grant_type="authorization_code", code="bfac_x", code_verifier=t), {400}),
    "refresh_token": (lambda r, t: _at_token(r, grant_type="refresh_token", refresh_token=t), {400}),
    "a client at the token endpoint": (lambda r, t: _at_token(r, grant_type="refresh_token", client_id=t), {401}),
    "Basic": (
        lambda r, t: r.http.post(oauth.TOKEN, data={"grant_type": "x"}, headers={"Authorization": basic(t, t)}),
        {401},
    ),
    "a key on the page": (lambda r, t: _consent(r, virtual_key=t), {303}),
    "a flow's id": (_in_a_cookie, {400, 403}),
    "a state at the callback": (
        lambda r, t: r.http.get("/api/oauth/callback", params={"state": t, "code": t, "iss": t}),
        {403},
    ),
    "a link to connect": (
        lambda r, t: r.http.get("/api/oauth/per-user/upstream/authorize", params={"session": t, "mcp_client_id": t}),
        {400},
    ),
    "an administrator's token": (
        lambda r, t: r.http.get("/api/governance/virtual-keys", headers={"Authorization": f"Bearer {t}"}),
        {401, 429},
    ),
    "a search": (lambda r, t: _managed(r, "/api/governance/virtual-keys", search=t), {200}),
    "a search for upstreams": (lambda r, t: _managed(r, "/api/mcp/clients", search=t), {200}),
    "a filter of the trail": (lambda r, t: _managed(r, "/api/audit", actor=t), {200}),
}


@pytest.mark.parametrize("place", PLACES)
async def test_a_statement_is_a_wrong_value_like_any_other(
    database_url: str, tmp_path: Path, clock: FakeClock, place: str
) -> None:
    """TC-164, CVE-2026-42208: in every field and header that is looked up; nothing is found, changed or slow."""
    send, expected = PLACES[place]
    async with running_gateway(database_url, tmp_path, clock=clock) as running:
        await signed_in(running)
        before = {table: await running.rows(table) for table in TABLES}
        for text in STATEMENTS:
            answer = await send(running, text)
            assert answer.status_code in expected, (text, answer.text)
            assert VIRTUAL_KEY not in answer.text
            assert "error=" in answer.headers.get("location", "error="), text
            if place.startswith(("a search", "a filter of")):
                assert _found(answer) == [], text
        assert {table: await running.rows(table) for table in TABLES} == before


def _found(answer: httpx2.Response) -> list[Any]:
    """What a list has, but for this administrator's own sign-in."""
    body: dict[str, Any] = answer.json()
    (listed,) = [value for value in body.values() if isinstance(value, list)]
    return listed


@pytest.fixture
def one() -> Any:
    with hostile() as server:
        yield server


PATHS = [
    "../admin",
    "%2e%2e/admin",
    "..%2fadmin",
    "/admin",
    "//evil.test/mcp",
    "?x=1",
    "#x",
    "a\r\nX-Evil: 1",
    "http://evil.test",
]


@pytest.mark.parametrize("text", PATHS)
async def test_nothing_that_a_caller_says_becomes_part_of_an_upstreams_address(
    one: HostileUpstream, sqlite_url: str, tmp_path: Path, text: str
) -> None:
    """TC-129, CVE-2026-32871: names, URIs, cursors and arguments travel in bodies; the address is the configured one."""
    async with with_upstreams(sqlite_url, tmp_path, upstream("one", one.url)) as running:
        for path, prefix in (("/mcp", "one-"), ("/mcp/one", "")):
            await call(running.http, f"{prefix}read", {"path": text, "id": text}, path=path)
            await call(running.http, f"{prefix}{text}", path=path)
            await ask(running.http, "resources/read", {"uri": text}, path=path)
            await ask(running.http, "resources/read", {"uri": f"one://{text}"}, path=path)
            await ask(running.http, "prompts/get", {"name": f"{prefix}{text}"}, path=path)
            await ask(running.http, "tools/list", {"cursor": text}, path=path)
        assert one.seen
        assert {seen.address for seen in one.seen} == {"/mcp"}
        assert not [seen for seen in one.seen if seen.header("x-evil")]


async def test_an_administrators_search_takes_wildcards_as_they_are(running: TestGateway) -> None:
    """TC-164: a per cent sign finds what has one in its name, not everything."""
    async with running.administrator() as administrator:
        await administrator.post("/api/governance/virtual-keys", json={"name": "100% of ann_s"})
        for text, count in (("%", 1), ("_", 1), ("100%", 1), ("100_", 0), ("test", 1), ("t%t", 0), ("t_st", 0)):
            answer = await administrator.get("/api/governance/virtual-keys", params={"search": text})
            assert answer.json()["total_count"] == count, text


async def test_what_is_kept_of_a_text_is_the_text(running: TestGateway) -> None:
    """TC-164: where any text is allowed, it comes back as it was."""
    async with running.administrator() as administrator, running.browser() as browser:
        for number, text in enumerate(STATEMENTS):
            body = {"name": f"key {number} {text}", "description": text}
            made = await administrator.post("/api/governance/virtual-keys", json=body)
            assert (made.status_code, made.json()["description"]) == (201, text), made.text
            client = await oauth.register(running.http, client_name=text)
            flow_id = await oauth.begin(browser, client, state=text)
            response = await oauth.approve(browser, flow_id)
            assert response["state"] == text
            assert response["iss"] == ISSUER
    assert ADMIN_TOKEN not in str(await running.rows("virtual_keys"))
