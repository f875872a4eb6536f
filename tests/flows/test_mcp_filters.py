"""Which tools a caller may use (contract §7): every filter must agree, and what one may not use does not exist."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.flows._hostile_upstream import HostileUpstream, hostile
from tests.flows._mcp import ERAS, KEY, ask, call, challenge, key, names, refusal, result_of, rpc_error, with_upstreams
from tests.flows._tokens import signed_in
from tests.support.gateway import ISSUER, upstream

pytestmark = pytest.mark.anyio

CLIENTS, TOOLS = "x-bf-mcp-include-clients", "x-bf-mcp-include-tools"
ALL = ["one-read", "one-write", "two-read", "two-write"]


@pytest.fixture
def one() -> Iterator[HostileUpstream]:
    with hostile() as server:
        yield server


@pytest.fixture
def two() -> Iterator[HostileUpstream]:
    with hostile(era="legacy") as server:
        yield server


async def _sees(
    one: HostileUpstream,
    two: HostileUpstream,
    sqlite_url: str,
    tmp_path: Path,
    expected: list[str],
    *,
    first: dict[str, Any] | None = None,
    configs: list[dict[str, Any]] | None = None,
    headers: dict[str, str] | None = None,
) -> None:
    """With these filters the caller lists exactly the expected tools, can call each, and none of the others."""
    entries = (upstream("one", one.url, **(first or {})), upstream("two", two.url))
    governance = {"virtual_keys": [key(mcp_configs=configs or [])]}
    async with with_upstreams(sqlite_url, tmp_path, *entries, governance=governance) as running:
        sent = {**KEY, **(headers or {})}
        for era in ERAS:
            assert await names(running.http, era=era, headers=sent) == expected
        for name in ALL:
            calls = len(one.requests("tools/call")) + len(two.requests("tools/call"))
            answer = await call(running.http, name, headers=sent)
            if name in expected:
                result_of(answer)
            else:
                assert rpc_error(answer) == {"code": -32602, "message": f"Unknown tool: {name}"}
                assert len(one.requests("tools/call")) + len(two.requests("tools/call")) == calls


OFFERED: dict[str, tuple[list[str], list[str]]] = {
    "all": (["*"], ALL),
    "none": ([], ["two-read", "two-write"]),
    "one of them": (["write"], ["one-write", "two-read", "two-write"]),
    "unknown ones": (["other", "one-read", "READ"], ["two-read", "two-write"]),
    "all and one": (["read", "*"], ALL),
}


@pytest.mark.parametrize(("offered", "expected"), OFFERED.values(), ids=OFFERED)
async def test_an_upstream_offers_what_its_configuration_lists(
    one: HostileUpstream, two: HostileUpstream, sqlite_url: str, tmp_path: Path, offered: list[str], expected: list[str]
) -> None:
    """Contract §9: `tools_to_execute`, `["*"]` all, `[]` none."""
    await _sees(one, two, sqlite_url, tmp_path, expected, first={"tools_to_execute": offered})


CLOSED: dict[str, tuple[list[tuple[str, list[str]]], list[str]]] = {
    "not named": ([], ["two-read", "two-write"]),
    "named with all": ([("one", ["*"])], ALL),
    "named with one": ([("one", ["read"])], ["one-read", "two-read", "two-write"]),
    "named with none": ([("one", [])], ["two-read", "two-write"]),
    "another one is named": ([("two", ["*"])], ["two-read", "two-write"]),
    "named in another case": ([("ONE", ["*"])], ["two-read", "two-write"]),
}


@pytest.mark.parametrize(("configs", "expected"), CLOSED.values(), ids=CLOSED)
async def test_a_key_reaches_a_closed_upstream_only_by_naming_it(
    one: HostileUpstream,
    two: HostileUpstream,
    sqlite_url: str,
    tmp_path: Path,
    configs: list[tuple[str, list[str]]],
    expected: list[str],
) -> None:
    """Contract §7: VK `mcp_configs`; the other upstream is open to all keys."""
    named = [{"mcp_client_name": name, "tools_to_execute": tools} for name, tools in configs]
    await _sees(one, two, sqlite_url, tmp_path, expected, first={"allow_on_all_virtual_keys": False}, configs=named)


OPEN: dict[str, tuple[list[str], list[str]]] = {
    "narrower": (["read"], ["one-read", "two-read", "two-write"]),
    "none": ([], ["two-read", "two-write"]),
    "all": (["*"], ALL),
}


@pytest.mark.parametrize(("tools", "expected"), OPEN.values(), ids=OPEN)
async def test_a_key_that_names_an_open_upstream_is_held_to_what_it_names(
    one: HostileUpstream, two: HostileUpstream, sqlite_url: str, tmp_path: Path, tools: list[str], expected: list[str]
) -> None:
    """Contract §7: the filters are an intersection; being open to all keys adds nothing to a key that is narrower."""
    configs = [{"mcp_client_name": "one", "tools_to_execute": tools}]
    await _sees(one, two, sqlite_url, tmp_path, expected, configs=configs)


HEADERS: dict[str, tuple[dict[str, str], list[str]]] = {
    "one client": ({CLIENTS: "one"}, ["one-read", "one-write"]),
    "both clients": ({CLIENTS: "two , one"}, ALL),
    "all clients": ({CLIENTS: "*"}, ALL),
    "no client": ({CLIENTS: ""}, []),
    "unknown client": ({CLIENTS: "three"}, []),
    "one tool": ({TOOLS: "one-read"}, ["one-read"]),
    "a tool of each": ({TOOLS: "two-write,one-read"}, ["one-read", "two-write"]),
    "all tools of one": ({TOOLS: "one-*"}, ["one-read", "one-write"]),
    "all tools": ({TOOLS: "*"}, ALL),
    "no tool": ({TOOLS: " , "}, []),
    "unknown tool": ({TOOLS: "one-other"}, []),
    "client and tool": ({CLIENTS: "one", TOOLS: "one-read,two-read"}, ["one-read"]),
}


@pytest.mark.parametrize(("headers", "expected"), HEADERS.values(), ids=HEADERS)
async def test_the_request_may_narrow_the_list_for_itself(
    one: HostileUpstream,
    two: HostileUpstream,
    sqlite_url: str,
    tmp_path: Path,
    headers: dict[str, str],
    expected: list[str],
) -> None:
    """Contract §7: the two include headers."""
    await _sees(one, two, sqlite_url, tmp_path, expected, headers=headers)


async def test_the_headers_never_widen(
    one: HostileUpstream, two: HostileUpstream, sqlite_url: str, tmp_path: Path
) -> None:
    """Contract §7: an intersection with what configuration and key allow."""
    await _sees(
        one,
        two,
        sqlite_url,
        tmp_path,
        ["one-read"],
        first={"tools_to_execute": ["read"], "allow_on_all_virtual_keys": False},
        configs=[
            {"mcp_client_name": "one", "tools_to_execute": ["*"]},
            {"mcp_client_name": "two", "tools_to_execute": []},
        ],
        headers={CLIENTS: "*", TOOLS: "*"},
    )


async def test_a_token_carries_the_filters_of_the_key_it_was_granted_with(
    one: HostileUpstream, sqlite_url: str, tmp_path: Path
) -> None:
    """Contract §7: signing in with a key gives no more than the key itself."""
    governance = {"virtual_keys": [key(mcp_configs=[{"mcp_client_name": "one", "tools_to_execute": ["read"]}])]}
    async with with_upstreams(sqlite_url, tmp_path, upstream("one", one.url), governance=governance) as running:
        _client, tokens = await signed_in(running)
        headers = {"Authorization": f"Bearer {tokens['access_token']}"}
        assert await names(running.http, headers=headers) == ["one-read"]
        assert rpc_error(await call(running.http, "one-write", headers=headers))["code"] == -32602


@pytest.mark.parametrize("path", ["/mcp", "/mcp/one"])
@pytest.mark.parametrize("era", ERAS)
async def test_a_forbidden_tool_reads_exactly_like_one_that_does_not_exist(
    one: HostileUpstream, sqlite_url: str, tmp_path: Path, path: str, era: str
) -> None:
    """G22, TC-152, contract §7: a tool the caller may not use does not exist for them."""
    prefix = "one-" if path == "/mcp" else ""
    entry = upstream("one", one.url, tools_to_execute=["read"])
    async with with_upstreams(sqlite_url, tmp_path, entry) as running:
        assert await names(running.http, path=path) == [f"{prefix}read"]
        forbidden = await call(running.http, f"{prefix}write", era=era, path=path)
        unknown = await call(running.http, f"{prefix}wrote", era=era, path=path)
        assert forbidden.status_code == unknown.status_code
        assert forbidden.text.replace("write", "wrote") == unknown.text
        assert one.requests("tools/call") == []


async def test_an_upstream_that_the_caller_may_not_use_is_not_even_named(
    one: HostileUpstream, sqlite_url: str, tmp_path: Path
) -> None:
    """TC-152, contract §7: nor asked, and its being down is nobody's business."""
    secret = upstream("secret", "http://127.0.0.1:9/mcp", allow_on_all_virtual_keys=False)
    async with with_upstreams(sqlite_url, tmp_path, upstream("one", one.url), secret) as running:
        answer = await ask(running.http, "tools/list")
        assert "_meta" not in result_of(answer)
        assert "secret" not in answer.text
        assert rpc_error(await call(running.http, "secret-x")) == {"code": -32602, "message": "Unknown tool: secret-x"}


async def test_a_disabled_upstream_does_not_exist(one: HostileUpstream, sqlite_url: str, tmp_path: Path) -> None:
    """Contract §9: neither in the list nor as an endpoint."""
    async with with_upstreams(sqlite_url, tmp_path, upstream("one", one.url, disabled=True)) as running:
        assert await names(running.http) == []
        assert refusal(await ask(running.http, "ping", path="/mcp/one"), 404) == "unknown_endpoint"
        assert rpc_error(await call(running.http, "one-read"))["code"] == -32602
        assert one.seen == []


async def test_one_callers_filters_are_not_anothers(one: HostileUpstream, sqlite_url: str, tmp_path: Path) -> None:
    """RS16, G16: the list is fetched once for everybody and filtered for each."""
    async with with_upstreams(sqlite_url, tmp_path, upstream("one", one.url)) as running:
        for tool, expected in (
            ("one-read", ["one-read"]),
            ("one-write", ["one-write"]),
            ("*", ["one-read", "one-write"]),
        ):
            assert await names(running.http, headers={**KEY, TOOLS: tool}) == expected


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize("path", ["/mcp", "/mcp/one"])
async def test_a_reading_token_calls_only_what_declares_to_read(
    one: HostileUpstream, sqlite_url: str, tmp_path: Path, era: str, path: str
) -> None:
    """TC-162, contract §§4, 7: all is listed; a tool without `readOnlyHint` is a 403 that names all scopes needed.

    RS7.
    """
    prefix = "one-" if path == "/mcp" else ""
    async with with_upstreams(sqlite_url, tmp_path, upstream("one", one.url)) as running:
        _client, tokens = await signed_in(running, scope="mcp:read", resource=f"{ISSUER}{path}")
        more: dict[str, Any] = {
            "headers": {"Authorization": f"Bearer {tokens['access_token']}"},
            "era": era,
            "path": path,
        }
        assert await names(running.http, **more) == [f"{prefix}read", f"{prefix}write"]
        result_of(await call(running.http, f"{prefix}read", **more))
        answer = await call(running.http, f"{prefix}write", **more)
        assert answer.status_code == 403
        assert answer.json()["error"]["data"]["code"] == "insufficient_scope"
        assert answer.headers["www-authenticate"] == challenge(path, error="insufficient_scope")
        assert len(one.requests("tools/call")) == 1
        unknown = await call(running.http, f"{prefix}other", **more)
        assert unknown.json()["error"]["code"] == -32602


async def test_a_writing_token_reads_as_well(one: HostileUpstream, sqlite_url: str, tmp_path: Path) -> None:
    """RS8, contract §4: write implies read."""
    async with with_upstreams(sqlite_url, tmp_path, upstream("one", one.url)) as running:
        _client, tokens = await signed_in(running, scope="mcp:write")
        assert tokens["scope"] == "mcp:write"
        headers = {"Authorization": f"Bearer {tokens['access_token']}"}
        for name in ("one-read", "one-write"):
            result_of(await call(running.http, name, headers=headers))
