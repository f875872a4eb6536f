"""Tools of real upstreams through the gateway (contract §7): any client era against any upstream era."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from bifrost.quickstart.upstream import create_app
from tests.flows._hostile_upstream import READ, WRITE, Answer, events, failure, hostile, result
from tests.flows._mcp import ERAS, KEY, ask, call, names, result_of, rpc_error, with_upstreams
from tests.support.gateway import upstream
from tests.support.sdk_upstream import build
from tests.support.servers import free_port, serving

pytestmark = pytest.mark.anyio

SAMPLE, SDK = "the sample", "the official SDK"
SCRIPTED: dict[str, dict[str, Any]] = {
    "modern only": {"era": "modern"},
    "legacy with sessions": {"era": "legacy", "sessions": True},
    "legacy without sessions": {"era": "legacy"},
}
KINDS = (SAMPLE, SDK, *SCRIPTED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Behind:
    """An upstream: its tools in order, and one call that it answers with this text."""

    url: str
    tools: tuple[str, ...] = ("read", "write")
    tool: str = "write"
    arguments: dict[str, Any] = field(default_factory=dict)
    text: str = "done"


@contextmanager
def _behind(kind: str) -> Iterator[Behind]:
    if kind == SAMPLE:
        with serving(create_app()) as origin:
            tools = ("add_note", "list_notes", "search_notes", "whoami")
            note = '{"note":{"id":1,"text":"milk"},"total":1}'
            yield Behind(url=f"{origin}/mcp", tools=tools, tool="add_note", arguments={"text": "milk"}, text=note)
    elif kind == SDK:
        with serving(build().streamable_http_app()) as origin:
            yield Behind(url=f"{origin}/mcp", tools=("whoami", "add"), tool="add", arguments={"a": 2, "b": 3}, text="5")
    else:
        with hostile(**SCRIPTED[kind]) as server:
            yield Behind(url=server.url)


@pytest.mark.parametrize("kind", KINDS)
async def test_every_client_era_reaches_every_upstream_era(kind: str, sqlite_url: str, tmp_path: Path) -> None:
    """Contract §7: list and call, with the upstream's prefix on /mcp and the upstream's own names on its endpoint."""
    with _behind(kind) as behind:
        async with with_upstreams(sqlite_url, tmp_path, upstream("up", behind.url)) as running:
            for path, prefix in (("/mcp", "up-"), ("/mcp/up", "")):
                for era in ERAS:
                    listed = result_of(await ask(running.http, "tools/list", era=era, path=path))
                    assert [tool["name"] for tool in listed["tools"]] == [f"{prefix}{name}" for name in behind.tools]
                    assert ("resultType" in listed) == (era == "modern")
            answer = await call(running.http, f"up-{behind.tool}", behind.arguments)
            called = result_of(answer)
            assert (called["content"][0]["text"], called.get("isError", False)) == (behind.text, False)
            assert "resultType" not in called


@pytest.mark.parametrize("kind", KINDS)
async def test_a_modern_client_calls_by_the_bare_name_on_the_upstreams_own_endpoint(
    kind: str, sqlite_url: str, tmp_path: Path
) -> None:
    """Contract §7, G21: a result is complete and says who gave it, whatever era the upstream is of."""
    with _behind(kind) as behind:
        async with with_upstreams(sqlite_url, tmp_path, upstream("up", behind.url)) as running:
            called = result_of(await call(running.http, behind.tool, behind.arguments, era="modern", path="/mcp/up"))
            assert called["content"][0]["text"] == behind.text
            assert called["resultType"] == "complete"
            assert called["_meta"]["io.modelcontextprotocol/serverInfo"]["name"] == "bifrost"
            wrong = await call(running.http, f"up-{behind.tool}", behind.arguments, era="modern", path="/mcp/up")
            assert rpc_error(wrong, 400)["code"] == -32602


async def test_structured_content_comes_through(sqlite_url: str, tmp_path: Path) -> None:
    """Contract §7."""
    with _behind(SAMPLE) as behind:
        async with with_upstreams(sqlite_url, tmp_path, upstream("notes", behind.url)) as running:
            for era in ERAS:
                called = result_of(await call(running.http, "notes-list_notes", era=era))
                assert called["structuredContent"] == {"notes": [], "total": 0}


async def test_a_tools_own_failure_is_a_result_and_not_an_error(sqlite_url: str, tmp_path: Path) -> None:
    """2025-11-25 and 2026-07-28, tools: isError reaches the model."""
    with _behind(SAMPLE) as behind:
        async with with_upstreams(sqlite_url, tmp_path, upstream("notes", behind.url)) as running:
            for era in ERAS:
                called = result_of(await call(running.http, "notes-add_note", {"text": ""}, era=era))
                assert called["isError"] is True
                assert "must be text" in called["content"][0]["text"]


async def test_several_upstreams_are_one_list_in_a_stable_order(sqlite_url: str, tmp_path: Path) -> None:
    """Contract §7, G15, T22: upstreams by name, their tools as they list them; equal names do not collide."""
    with hostile() as one, hostile(era="legacy") as two:
        # the one that is configured first comes last by name
        entries = (upstream("zoo", one.url), upstream("ark", two.url))
        async with with_upstreams(sqlite_url, tmp_path, *entries) as running:
            for era in ERAS:
                for _ in range(2):
                    assert await names(running.http, era=era) == ["ark-read", "ark-write", "zoo-read", "zoo-write"]
            assert await names(running.http, path="/mcp/zoo") == ["read", "write"]
            await call(running.http, "zoo-read")
            assert (len(one.requests("tools/call")), len(two.requests("tools/call"))) == (1, 0)


async def test_a_list_of_several_pages_is_read_to_its_end(sqlite_url: str, tmp_path: Path) -> None:
    """V13, 2025-11-25, pagination: cursors are the upstream's own."""
    tools = [b'{"name":"t%d","inputSchema":{"type":"object"}}' % number for number in range(5)]
    for era in ("modern", "legacy"):
        with hostile(era=era, tools=tools, page_size=2) as server:
            directory = tmp_path / era
            async with with_upstreams(f"{sqlite_url}-{era}", directory, upstream("up", server.url)) as running:
                assert await names(running.http) == [f"up-t{number}" for number in range(5)]
                assert len(server.requests("tools/list")) == 3


async def test_a_list_without_an_end_is_cut(sqlite_url: str, tmp_path: Path) -> None:
    """TC-211: an upstream that always names a next page is asked a bounded number of times."""
    with hostile() as server:
        server.script["tools/list"] = result(b'{"tools":[' + READ + b'],"nextCursor":"again"}')
        async with with_upstreams(sqlite_url, tmp_path, upstream("up", server.url)) as running:
            assert set(await names(running.http)) == {"up-read"}
            assert len(server.requests("tools/list")) <= 100


TOOL = (
    b'{"x-first":{"b":1,"a":2.50,"e":1E3,"n":12345678901234567890123},"name":"odd","title":"\\u00e9\\/\xc3\xa9",'
    b'"inputSchema":{"type":"object","$ref":"#/x","x-vendor-header":true},"icons":[{"src":"data:,x"}],'
    b'"_meta":{"vendor/x":[null,true,{}]},"annotations":{"readOnlyHint":true,"later":[1.0]},"future":"<\\u003c>"}'
)
RESULT = (
    b'{"content":[{"type":"future","blob":"\\u00e9","n":1.00}],"structuredContent":{"z":0,"a":12345678901234567890123},'
    b'"isError":false,"vendor":{"k":[1E2,"\\/"]}}'
)


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize("upstream_era", ["modern", "legacy"])
async def test_unknown_members_come_through_byte_for_byte(
    sqlite_url: str, tmp_path: Path, era: str, upstream_era: str
) -> None:
    """V16, contract §7: numbers, escapes and order of what this gateway does not know stay as they were sent."""
    with hostile(era=upstream_era, tools=[TOOL], calls={"odd": RESULT}) as server:
        async with with_upstreams(sqlite_url, tmp_path, upstream("up", server.url)) as running:
            own = await ask(running.http, "tools/list", era=era, path="/mcp/up")
            assert TOOL in own.content
            prefixed = await ask(running.http, "tools/list", era=era)
            assert TOOL.replace(b'"name":"odd"', b'"name":"up-odd"') in prefixed.content
            called = await call(running.http, "odd", era=era, path="/mcp/up")
            assert RESULT[1:-1] in called.content


@pytest.mark.parametrize("upstream_era", ["modern", "legacy"])
async def test_arguments_and_meta_reach_the_upstream_as_they_were_sent(
    sqlite_url: str, tmp_path: Path, upstream_era: str
) -> None:
    """Contract §7: also what is unknown, and members of the call beside name and arguments."""
    arguments = b'{"n":12345678901234567890123,"f":1.50,"s":"\\u00e9\\/","deep":[[{"x":null}]]}'
    body = (
        b'{"jsonrpc":"2.0","id":"my-id","method":"tools/call","params":{"name":"up-write","arguments":'
        + arguments
        + b',"vendor":{"a":1E1},"_meta":{"progressToken":"p1","vendor/x":1.0}}}'
    )
    with hostile(era=upstream_era) as server:
        async with with_upstreams(sqlite_url, tmp_path, upstream("up", server.url)) as running:
            headers = {**KEY, "Content-Type": "application/json"}
            answer = await running.http.post("/mcp", content=body, headers=headers)
            assert answer.json()["id"] == "my-id"
            (seen,) = server.requests("tools/call")
            assert arguments in seen.body
            assert b'"vendor":{"a":1E1}' in seen.body
            assert b'"vendor/x":1.0' in seen.body
            assert seen.message["params"]["name"] == "write"
            assert seen.message["id"] != "my-id"


async def test_a_name_with_hyphens_or_odd_characters_keeps_them(sqlite_url: str, tmp_path: Path) -> None:
    """Contract §7: only the first hyphen separates; a name that no header can carry still works in both eras."""
    odd = ["a-b-c", "-x", "größe", "a b", "=?base64?eA==?=", "up-read"]
    tools = [READ.replace(b'"read"', f'"{name}"'.encode()) for name in odd]
    with hostile(tools=tools) as server:
        async with with_upstreams(sqlite_url, tmp_path, upstream("up", server.url)) as running:
            assert await names(running.http) == [f"up-{name}" for name in odd]
            for era in ERAS:
                for name in odd:
                    result_of(await call(running.http, f"up-{name}", era=era))
                    assert server.seen[-1].message["params"]["name"] == name


async def test_an_upstreams_own_error_is_its_callers_error(sqlite_url: str, tmp_path: Path) -> None:
    """Contract §7: code, message and data come through."""
    with hostile() as server:
        server.script["tools/call"] = failure(-32050, data=b'{"why":[1.0]}')
        async with with_upstreams(sqlite_url, tmp_path, upstream("up", server.url)) as running:
            for era in ERAS:
                answer = await call(running.http, "up-write", era=era)
                assert rpc_error(answer) == {"code": -32050, "message": "no", "data": {"why": [1.0]}}
                assert b'"data":{"why":[1.0]}' in answer.content


@pytest.mark.parametrize("code", [-32042, -32002])
async def test_error_codes_of_the_older_era_do_not_reach_a_modern_client(
    sqlite_url: str, tmp_path: Path, code: int
) -> None:
    """2026-07-28, base, G20: these two must not be sent on this revision."""
    with hostile(era="legacy") as server:
        server.script["tools/call"] = failure(code)
        async with with_upstreams(sqlite_url, tmp_path, upstream("up", server.url)) as running:
            assert rpc_error(await call(running.http, "up-write"))["code"] == code
            modern = (await call(running.http, "up-write", era="modern")).json()
            assert modern["error"]["code"] not in (-32042, -32002)


STREAMS: dict[str, list[bytes]] = {
    "the answer alone": [b'{"jsonrpc":"2.0","id":$ID,"result":{"content":[]}}'],
    "progress before it": [
        b'{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":1,"progress":1}}',
        b'{"jsonrpc":"2.0","id":$ID,"result":{"content":[]}}',
    ],
    "a request of the server before it": [
        b'{"jsonrpc":"2.0","id":"s1","method":"ping"}',
        b'{"jsonrpc":"2.0","id":$ID,"result":{"content":[]}}',
    ],
    "an answer to somebody else before it": [
        b'{"jsonrpc":"2.0","id":"other","result":{"content":[{"type":"text","text":"not yours"}]}}',
        b'{"jsonrpc":"2.0","id":$ID,"result":{"content":[]}}',
    ],
    "an empty event before it": [b"", b'{"jsonrpc":"2.0","id":$ID,"result":{"content":[]}}'],
    "data in several lines": [b'{"jsonrpc":"2.0",\ndata: "id":$ID,\ndata: "result":{"content":[]}}'],
}


@pytest.mark.parametrize("data", STREAMS.values(), ids=STREAMS)
@pytest.mark.parametrize("line_end", [b"\n", b"\r\n", b"\r"])
async def test_an_answer_may_come_in_a_stream_of_events(
    sqlite_url: str, tmp_path: Path, data: list[bytes], line_end: bytes
) -> None:
    """2025-11-25, transports: with events before it; servers that let clients resume begin with an empty one."""
    stream = events(*data)
    body = b": hello\n\nid: 1\nretry: 10\n" + stream.body
    with hostile() as server:
        server.script["tools/call"] = Answer(body=body.replace(b"\n", line_end), content_type=stream.content_type)
        async with with_upstreams(sqlite_url, tmp_path, upstream("up", server.url)) as running:
            assert result_of(await call(running.http, "up-read"))["content"] == []


async def test_a_session_belongs_to_one_identity_and_is_used_again(sqlite_url: str, tmp_path: Path) -> None:
    """R65, contract §7: one session for each caller, never shared, and its id is sent with every request."""
    with hostile(era="legacy", sessions=True) as server:
        async with with_upstreams(sqlite_url, tmp_path, upstream("up", server.url)) as running:
            people = [KEY, *({"x-bf-mcp-session-id": letter * 30} for letter in "ab")]
            for headers in people * 2:
                result_of(await call(running.http, "up-read", headers=headers))
            assert len(server.requests("initialize")) == 3
            used = [seen.header("mcp-session-id") for seen in server.requests("tools/call")]
            assert used[:3] == used[3:]
            assert len(set(used)) == 3
            for seen in server.seen:
                greeting = seen.method in ("initialize", "server/discover")
                assert (seen.header("mcp-session-id") is None) == greeting
                if not greeting:
                    assert seen.header("mcp-protocol-version") == "2025-11-25"


@pytest.mark.parametrize(
    "body", [b"", b'{"jsonrpc":"2.0","id":"server-error","error":{"code":-32600,"message":"Session not found"}}']
)
async def test_a_forgotten_session_is_opened_again_and_the_call_succeeds(
    sqlite_url: str, tmp_path: Path, body: bytes
) -> None:
    """2025-11-25, transports: 404 for a session means a new one, with or without a body (the official SDK sends one)."""
    with hostile(era="legacy", sessions=True) as server:
        server.forgotten = Answer(status=404, body=body)
        async with with_upstreams(sqlite_url, tmp_path, upstream("up", server.url)) as running:
            result_of(await call(running.http, "up-read"))
            server.forget_sessions()
            result_of(await call(running.http, "up-read"))
            assert len(server.requests("initialize")) == 2


async def test_an_upstream_that_forgets_every_session_is_not_asked_for_ever(sqlite_url: str, tmp_path: Path) -> None:
    """Contract §7: one more attempt, then an error for that call only."""
    with hostile(era="legacy", sessions=True) as server:
        async with with_upstreams(sqlite_url, tmp_path, upstream("up", server.url)) as running:
            assert await names(running.http) == ["up-read", "up-write"]
            server.script["tools/call"] = server.forgotten
            assert rpc_error(await call(running.http, "up-read"))["data"]["code"] == "upstream_unavailable"
            assert len(server.requests("tools/call")) == 2


async def test_an_upstream_that_is_down_costs_only_its_own_entries(sqlite_url: str, tmp_path: Path) -> None:
    """Contract §7, TC-210: and the list says whose entries are missing."""
    nowhere = f"http://127.0.0.1:{free_port()}/mcp"
    with hostile() as server:
        async with with_upstreams(
            sqlite_url, tmp_path, upstream("gone", nowhere), upstream("here", server.url), upstream("lost", nowhere)
        ) as running:
            for era in ERAS:
                listed = result_of(await ask(running.http, "tools/list", era=era))
                assert [tool["name"] for tool in listed["tools"]] == ["here-read", "here-write"]
                assert listed["_meta"]["bifrost/unavailable"] == ["gone", "lost"]
            result_of(await call(running.http, "here-write"))
            error = rpc_error(await call(running.http, "gone-read"))
            assert error["data"]["code"] == "upstream_unavailable"
            assert "gone" in error["message"]
            assert nowhere.partition("//")[2].partition("/")[0] not in str(error)


async def test_an_upstream_that_comes_back_is_listed_again(sqlite_url: str, tmp_path: Path) -> None:
    """Contract §7: a failure is not remembered."""
    with hostile(tools=[WRITE]) as server:
        server.script["*"] = failure(-32603, status=500)
        async with with_upstreams(sqlite_url, tmp_path, upstream("up", server.url)) as running:
            assert result_of(await ask(running.http, "tools/list"))["_meta"] == {"bifrost/unavailable": ["up"]}
            server.script.clear()
            assert await names(running.http) == ["up-write"]
