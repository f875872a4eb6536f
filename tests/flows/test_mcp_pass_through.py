"""What reaches an upstream and what comes back (contract §7): never the caller's credentials, never a cookie."""

from pathlib import Path

import pytest

from tests.flows._hostile_upstream import DONE, Answer, Seen, hostile, result
from tests.flows._mcp import ERAS, ask, call, message, names, result_of, with_upstreams
from tests.flows._tokens import signed_in
from tests.support.gateway import VIRTUAL_KEY, TestGateway, upstream

pytestmark = pytest.mark.anyio

SESSION = "anonymous-session-0123456789abcdef"
STATIC = {"Authorization": "Bearer upstream-secret", "X-Tenant": "blue"}
OUR_OWN = {"host", "accept", "accept-encoding", "content-type", "content-length", "user-agent"} | {
    "mcp-protocol-version",
    "mcp-method",
    "mcp-name",
}
"""Every header that an upstream without credentials gets; the connection's own may come on top."""

CONNECTION = {"connection"}
FORWARDED = {
    "Cookie": "canary-cookie=1; __bifrost_flow_secret=canary",
    "Proxy-Authorization": "Basic canary",
    "X-Forwarded-For": "canary",
    "X-Forwarded-Host": "canary",
    "X-Forwarded-User": "canary",
    "X_Forwarded_User": "canary",
    "X-Real-IP": "canary",
    "Forwarded": "for=canary",
    "X-Bf-Mcp-Include-Clients": "up",
    "X-Custom": "canary",
    "X-Foo": "canary",
    "Connection": "X-Foo",
    "TE": "trailers",
    "Mcp-Session-Id": "canary-session",
    "Last-Event-ID": "canary",
    "Referer": "http://localhost/canary",
    "User-Agent": "canary-agent",
    "Traceparent": "00-canary",
    "Mcp-Param-Region": "canary",
}


async def _credentials(running: TestGateway, kind: str) -> tuple[dict[str, str], str]:
    """Headers of one kind of caller, and the secret in them."""
    if kind == "access token":
        _client, tokens = await signed_in(running)
        return {"Authorization": f"Bearer {tokens['access_token']}"}, str(tokens["access_token"])
    if kind == "session":
        return {"x-bf-mcp-session-id": SESSION}, SESSION
    name = "Authorization" if kind == "bearer key" else kind
    value = f"Bearer {VIRTUAL_KEY}" if kind == "bearer key" else VIRTUAL_KEY
    return {name: value}, VIRTUAL_KEY


def _text(seen: Seen) -> str:
    """Everything of a request in one piece, names and values."""
    return f"{seen.headers!r} {seen.body!r}"


@pytest.mark.parametrize(
    "kind", ["access token", "bearer key", "x-bf-vk", "x-api-key", "x-goog-api-key", "api-key", "session"]
)
@pytest.mark.parametrize("upstream_era", ["modern", "legacy"])
async def test_the_callers_credential_never_goes_upstream(
    sqlite_url: str, tmp_path: Path, kind: str, upstream_era: str
) -> None:
    """Contract §7, TC-125: not in a header, not in the body, at no step; the configured headers do, at every step.

    RS12.
    """
    with hostile(era=upstream_era) as server:
        entry = upstream("up", server.url, auth_type="headers", headers=STATIC)
        async with with_upstreams(sqlite_url, tmp_path, entry) as running:
            headers, secret = await _credentials(running, kind)
            for era in ERAS:
                await ask(running.http, "tools/list", era=era, headers=headers)
                result_of(await call(running.http, "up-write", {"a": 1}, era=era, headers=headers))
            assert len(server.seen) >= 4
            for seen in server.seen:
                assert secret not in _text(seen)
                assert [value for name, value in seen.headers if name == "authorization"] == ["Bearer upstream-secret"]
                assert seen.header("x-tenant") == "blue"
                assert (
                    not {"x-bf-vk", "x-api-key", "x-goog-api-key", "api-key", "x-bf-mcp-session-id"}
                    & dict(seen.headers).keys()
                )


@pytest.mark.parametrize("era", ERAS)
async def test_no_header_of_the_caller_goes_upstream(sqlite_url: str, tmp_path: Path, era: str) -> None:
    """TC-126: an allow-list of our own making, not a list of what to remove."""
    with hostile() as server:
        async with with_upstreams(sqlite_url, tmp_path, upstream("up", server.url)) as running:
            headers = {"x-bf-vk": VIRTUAL_KEY, **FORWARDED}
            if era == "legacy":
                del headers["Mcp-Session-Id"]  # it would name a session, and there is none
            result_of(await call(running.http, "up-read", era=era, headers=headers))
            for seen in server.seen:
                assert {name for name, _value in seen.headers} - CONNECTION <= OUR_OWN
                assert "canary" not in _text(seen)
                assert seen.header("user-agent") == "bifrost"
                assert seen.header("host") == server.url.partition("//")[2].partition("/")[0]


async def test_the_query_of_the_callers_url_stays_here(sqlite_url: str, tmp_path: Path) -> None:
    """TC-125: and that of the configured URL is kept."""
    with hostile() as server:
        async with with_upstreams(sqlite_url, tmp_path, upstream("up", f"{server.url}?tenant=blue")) as running:
            result_of(await call(running.http, "up-read", path=f"/mcp?access_token={VIRTUAL_KEY}"))
            assert all("access_token" not in _text(seen) for seen in server.seen)


async def test_static_headers_are_for_their_upstream_only(sqlite_url: str, tmp_path: Path) -> None:
    """R66, contract §8: list and call."""
    with hostile() as guarded, hostile() as plain:
        entries = (
            upstream("guarded", guarded.url, auth_type="headers", headers=STATIC),
            upstream("plain", plain.url),
        )
        async with with_upstreams(sqlite_url, tmp_path, *entries) as running:
            await names(running.http)
            await call(running.http, "guarded-read")
            await call(running.http, "plain-read")
            assert all(seen.header("authorization") == STATIC["Authorization"] for seen in guarded.seen)
            assert all(seen.header("authorization") is None for seen in plain.seen)
            assert all("upstream-secret" not in _text(seen) for seen in plain.seen)


async def test_static_headers_are_sealed_in_the_database(sqlite_url: str, tmp_path: Path) -> None:
    """Contract §8, TC-179: and in no answer."""
    with hostile() as server:
        entry = upstream("up", server.url, auth_type="headers", headers=STATIC)
        async with with_upstreams(sqlite_url, tmp_path, entry) as running:
            answers = [await ask(running.http, "tools/list"), await call(running.http, "up-read")]
            assert all("upstream-secret" not in answer.text + str(answer.headers) for answer in answers)
            assert "upstream-secret" not in repr(await running.rows("upstreams"))


COMING_BACK = (
    ("set-cookie", "canary=1; Path=/"),
    ("www-authenticate", 'Bearer realm="canary"'),
    ("location", "https://canary.test"),
    ("access-control-allow-origin", "https://canary.test"),
    ("access-control-allow-credentials", "true"),
    ("x-request-id", "canary"),
    ("x-custom", "canary"),
    ("strict-transport-security", "max-age=1; canary"),
    ("mcp-session-id", "canary"),
    ("server", "canary"),
    ("refresh", "0;url=https://canary.test"),
    ("clear-site-data", '"*"'),
)


@pytest.mark.parametrize("era", ERAS)
async def test_no_header_of_an_upstream_comes_back(sqlite_url: str, tmp_path: Path, era: str) -> None:
    """TC-126: neither with a good answer nor with a bad one."""
    answers = (
        result(DONE, headers=COMING_BACK),
        Answer(status=401, headers=COMING_BACK),
        Answer(status=302, headers=COMING_BACK),
    )
    with hostile() as server:
        async with with_upstreams(sqlite_url, tmp_path, upstream("up", server.url)) as running:
            for scripted in answers:
                server.script["tools/call"] = scripted
                answer = await call(running.http, "up-read", era=era)
                assert answer.status_code == 200
                assert "canary" not in f"{answer.headers!r}"
                assert not {"set-cookie", "clear-site-data", "refresh", "location"} & set(answer.headers)
                assert list(running.http.cookies.jar) == []


@pytest.mark.parametrize("upstream_era", ["modern", "legacy"])
async def test_a_cookie_of_an_upstream_is_kept_nowhere(sqlite_url: str, tmp_path: Path, upstream_era: str) -> None:
    """TC-126, R65: a jar for everybody would mix people up."""
    with hostile(
        era=upstream_era, script={"tools/call": result(DONE, headers=(("set-cookie", "who=canary"),))}
    ) as server:
        async with with_upstreams(sqlite_url, tmp_path, upstream("up", server.url)) as running:
            for headers in ({"x-bf-vk": VIRTUAL_KEY}, {"x-bf-mcp-session-id": SESSION}):
                for _ in range(2):
                    result_of(await call(running.http, "up-read", headers=headers))
            assert [seen.header("cookie") for seen in server.seen] == [None] * len(server.seen)


async def test_an_upstream_hears_what_this_client_can_do_from_the_gateway(sqlite_url: str, tmp_path: Path) -> None:
    """G19: exactly the capabilities that this request declares, under the gateway's own name."""
    with hostile() as server:
        async with with_upstreams(sqlite_url, tmp_path, upstream("up", server.url)) as running:
            body = message("tools/call", {"name": "up-read", "arguments": {}})
            body["params"]["_meta"] = {
                "io.modelcontextprotocol/protocolVersion": "2026-07-28",
                "io.modelcontextprotocol/clientCapabilities": {"sampling": {}, "elicitation": {"url": {}}},
                "io.modelcontextprotocol/clientInfo": {"name": "canary", "version": "1"},
                "vendor/x": "kept",
            }
            headers = {"MCP-Protocol-Version": "2026-07-28", "Mcp-Method": "tools/call", "Mcp-Name": "up-read"}
            result_of(await running.http.post("/mcp", json=body, headers={"x-bf-vk": VIRTUAL_KEY, **headers}))
            meta = server.requests("tools/call")[0].message["params"]["_meta"]
            assert meta["io.modelcontextprotocol/clientCapabilities"] == {"sampling": {}, "elicitation": {"url": {}}}
            assert meta["io.modelcontextprotocol/clientInfo"]["name"] == "bifrost"
            assert meta["vendor/x"] == "kept"
