"""Upstreams that misbehave (contract §7): an error for that call only, and a list of the rest."""

from pathlib import Path

import httpx2
import pytest

from tests.flows._hostile_upstream import DONE, Answer, HostileUpstream, events, hostile, result
from tests.flows._mcp import ERAS, KEY, ask, call, names, result_of, rpc_error, with_upstreams
from tests.support.gateway import upstream

pytestmark = pytest.mark.anyio

OK = b'{"jsonrpc":"2.0","id":$ID,"result":' + DONE + b"}"
SECRET = "10.11.12.13"
"""Something of the upstream's inside that no answer may repeat."""

FAULTS: dict[str, Answer] = {
    "500 with text": Answer(status=500, body=b"Traceback: 10.11.12.13", content_type="text/plain"),
    "502 with a page": Answer(status=502, body=b"<html>10.11.12.13</html>", content_type="text/html"),
    "503 without a body": Answer(status=503),
    "401 with a challenge": Answer(
        status=401, headers=(("www-authenticate", 'Bearer realm="10.11.12.13"'), ("set-cookie", "a=b"))
    ),
    "403": Answer(status=403, body=b"10.11.12.13", content_type="text/plain"),
    "429": Answer(status=429, headers=(("retry-after", "7"),)),
    "garbage": Answer(body=b"\x00\xff10.11.12.13"),
    "garbage in a 400": Answer(status=400, body=b"{10.11.12.13"),
    "half of it": Answer(body=OK, ending="cut"),
    "half of a stream": Answer(body=b"data: " + OK + b"\n\n", content_type="text/event-stream", ending="cut"),
    "a stream without an answer": events(b'{"jsonrpc":"2.0","method":"notifications/progress"}'),
    "a stream of garbage": events(b"10.11.12.13"),
    "a page": Answer(body=b"<html><body>10.11.12.13</body></html>", content_type="text/html"),
    "nothing": Answer(),
    "202": Answer(status=202),
    "204": Answer(status=204),
    "an answer to another id": Answer(body=OK.replace(b"$ID", b'"other"')),
    "an answer without an id": Answer(body=OK.replace(b'"id":$ID,', b"")),
    "an answer to null": Answer(body=OK.replace(b"$ID", b"null")),
    "a batch": Answer(body=b"[" + OK + b"]"),
    "another version of JSON-RPC": Answer(body=OK.replace(b"2.0", b"1.0")),
    "a request": Answer(body=b'{"jsonrpc":"2.0","id":$ID,"method":"ping"}'),
    "neither result nor error": Answer(body=b'{"jsonrpc":"2.0","id":$ID}'),
    "a result that is text": result(b'"10.11.12.13"'),
    "a result that is a list": result(b"[]"),
    "a result that is null": result(b"null"),
    "an error that is text": Answer(body=b'{"jsonrpc":"2.0","id":$ID,"error":"10.11.12.13"}'),
    "compressed garbage": Answer(body=b"10.11.12.13", headers=(("content-encoding", "gzip"),)),
    "301": Answer(status=301, headers=(("location", "/mcp2"),)),
}


def _nothing_leaks(answer: httpx2.Response) -> None:
    assert SECRET not in answer.text
    assert not {"set-cookie", "www-authenticate", "location", "retry-after"} & set(answer.headers)


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
async def test_a_wrong_answer_to_a_call_is_an_error_for_that_call(
    sqlite_url: str, tmp_path: Path, fault: Answer
) -> None:
    """Contract §7: in both eras, without what the upstream said; the next call is as good as before."""
    with hostile() as server:
        async with with_upstreams(sqlite_url, tmp_path, upstream("up", server.url)) as running:
            for era in ERAS:
                server.script["tools/call"] = fault
                answer = await call(running.http, "up-read", era=era)
                error = rpc_error(answer)
                assert error["code"] in (-32000, -32603)
                _nothing_leaks(answer)
                server.script.clear()
                result_of(await call(running.http, "up-read", era=era))


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
@pytest.mark.parametrize("method", ["tools/list", "*"])
async def test_a_wrong_answer_to_a_list_costs_only_that_upstream(
    sqlite_url: str, tmp_path: Path, fault: Answer, method: str
) -> None:
    """Contract §7, TC-210: whether it fails at the list or at the greeting."""
    with hostile() as good, hostile(script={method: fault}) as bad:
        async with with_upstreams(
            sqlite_url, tmp_path, upstream("bad", bad.url), upstream("good", good.url)
        ) as running:
            answer = await ask(running.http, "tools/list")
            listed = result_of(answer)
            assert [tool["name"] for tool in listed["tools"]] == ["good-read", "good-write"]
            assert listed["_meta"] == {"bifrost/unavailable": ["bad"]}
            _nothing_leaks(answer)


LISTS = {
    "no tools member": b"{}",
    "null": b'{"tools":null}',
    "text": b'{"tools":"x"}',
    "an object": b'{"tools":{}}',
    "entries that are no objects": b'{"tools":[1,"x",null]}',
}


@pytest.mark.parametrize("members", LISTS.values(), ids=LISTS)
async def test_a_list_that_is_none_harms_nobody_else(sqlite_url: str, tmp_path: Path, members: bytes) -> None:
    """Contract §7."""
    with hostile() as good, hostile(script={"tools/list": result(members)}) as bad:
        async with with_upstreams(
            sqlite_url, tmp_path, upstream("bad", bad.url), upstream("good", good.url)
        ) as running:
            assert await names(running.http) == ["good-read", "good-write"]


async def test_entries_that_nobody_could_call_are_left_out(sqlite_url: str, tmp_path: Path) -> None:
    """Contract §7: an entry without a name has no place in a list of prefixed names."""
    tools = [b'{"name":"ok"}', b'{"name":5}', b"{}", b'{"name":""}', b'{"name":null}', b'{"name":"two"}']
    with hostile(tools=tools) as server:
        async with with_upstreams(sqlite_url, tmp_path, upstream("up", server.url)) as running:
            assert await names(running.http) == ["up-ok", "up-two"]


@pytest.mark.parametrize("hint", [b'"true"', b"1", b"null", b"{}", b"[true]", b"false"])
async def test_only_a_clear_read_only_hint_counts(sqlite_url: str, tmp_path: Path, hint: bytes) -> None:
    """Contract §4: whatever is not the word true is a tool that may change something; the hint passes through."""
    tool = b'{"name":"maybe","annotations":{"readOnlyHint":' + hint + b"}}"
    with hostile(tools=[tool]) as server:
        async with with_upstreams(sqlite_url, tmp_path, upstream("up", server.url)) as running:
            answer = await ask(running.http, "tools/list", path="/mcp/up")
            assert tool in answer.content


@pytest.fixture
def short_handshake(monkeypatch: pytest.MonkeyPatch) -> None:
    for era in ("legacy", "modern"):
        monkeypatch.setattr(f"bifrost.upstreams.links.{era}.HANDSHAKE_SECONDS", 1.5)
    monkeypatch.setattr("bifrost.upstreams.paging.PAGE_SECONDS", 1.5)


@pytest.mark.usefixtures("short_handshake")
@pytest.mark.parametrize("method", ["server/discover", "tools/list", "*"])
async def test_an_upstream_that_hangs_costs_only_its_own_entries(sqlite_url: str, tmp_path: Path, method: str) -> None:
    """Contract §7, TC-210: after its time the list goes out without it."""
    with hostile() as good, hostile(script={method: Answer(ending="never")}) as bad:
        async with with_upstreams(
            sqlite_url, tmp_path, upstream("bad", bad.url), upstream("good", good.url)
        ) as running:
            listed = result_of(await ask(running.http, "tools/list"))
            assert [tool["name"] for tool in listed["tools"]] == ["good-read", "good-write"]
            assert listed["_meta"] == {"bifrost/unavailable": ["bad"]}


async def test_a_call_that_hangs_ends_after_the_upstreams_own_time_limit(sqlite_url: str, tmp_path: Path) -> None:
    """Contract §7: a time-out is an error for that call only."""
    with hostile() as server:
        entry = upstream("up", server.url, tool_execution_timeout=1)
        async with with_upstreams(sqlite_url, tmp_path, entry) as running:
            server.script["tools/call"] = Answer(ending="never")
            error = rpc_error(await call(running.http, "up-read"))
            assert error["data"]["code"] == "upstream_unavailable"
            assert "1 second" in error["message"]
            server.script.clear()
            result_of(await call(running.http, "up-read"))


HUGE = {
    "one huge answer": Answer(body=b'{"x":"' + b"x" * 1_000_000, repeat=8),
    "an endless stream": Answer(body=b": " + b"x" * 1_000_000 + b"\n", content_type="text/event-stream", repeat=8),
    "an endless line": Answer(body=b"data: " + b"x" * 1_000_000, content_type="text/event-stream", repeat=8),
    "endless events": Answer(
        body=b'data: {"jsonrpc":"2.0","method":"n"}\n\n' * 10_000, content_type="text/event-stream", repeat=20
    ),
}


@pytest.mark.parametrize("answer", HUGE.values(), ids=HUGE)
async def test_an_answer_without_measure_is_cut_off(
    sqlite_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: Answer
) -> None:
    """TC-211: an error for that call, and the gateway goes on."""
    monkeypatch.setattr("bifrost.upstreams.transports.streamable_http.MAX_ANSWER_BYTES", 2_000_000)
    with hostile() as server:
        async with with_upstreams(sqlite_url, tmp_path, upstream("up", server.url)) as running:
            server.script["tools/call"] = answer
            assert rpc_error(await call(running.http, "up-read"))["data"]["code"] == "upstream_unavailable"
            server.script.clear()
            result_of(await call(running.http, "up-read"))


async def _elsewhere(server: HostileUpstream, other: HostileUpstream, status: int, where: str) -> None:
    target = {"another server": other.url, "itself": f"{server.url}/again"}[where]
    server.script["*"] = Answer(status=status, headers=(("location", target),))


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("where", ["another server", "itself"])
async def test_a_redirect_is_not_followed(sqlite_url: str, tmp_path: Path, status: int, where: str) -> None:
    """TC-127, R64: neither body nor configured credentials go anywhere else."""
    with hostile() as server, hostile() as other:
        entry = upstream("up", server.url, auth_type="headers", headers={"Authorization": "Bearer upstream-secret"})
        async with with_upstreams(sqlite_url, tmp_path, entry) as running:
            await _elsewhere(server, other, status, where)
            listed = result_of(await ask(running.http, "tools/list"))
            assert listed["_meta"] == {"bifrost/unavailable": ["up"]}
            assert other.seen == []
            error = rpc_error(await call(running.http, "up-read"))
            assert other.url not in str(error)


GREETINGS = {
    "an unknown version": b'{"protocolVersion":"1999-01-01","capabilities":{},"serverInfo":{"name":"h","version":"1"}}',
    "no version": b'{"capabilities":{}}',
    "a version that is no text": b'{"protocolVersion":5}',
}


@pytest.mark.parametrize("members", GREETINGS.values(), ids=GREETINGS)
async def test_an_upstream_that_greets_in_no_known_version_is_unavailable(
    sqlite_url: str, tmp_path: Path, members: bytes
) -> None:
    """2025-11-25, lifecycle: the client disconnects."""
    with hostile(era="legacy", script={"initialize": result(members)}) as server:
        async with with_upstreams(sqlite_url, tmp_path, upstream("up", server.url)) as running:
            assert result_of(await ask(running.http, "tools/list"))["_meta"] == {"bifrost/unavailable": ["up"]}


@pytest.mark.parametrize("status", [400, 404, 405, 406, 415])
@pytest.mark.parametrize("content_type", ["text/plain", "text/html", "application/json"])
async def test_a_legacy_upstream_may_refuse_the_newer_greeting_as_it_likes(
    sqlite_url: str, tmp_path: Path, status: int, content_type: str
) -> None:
    """Contract §7: any client era against any upstream era; old servers answer what they do not know in many ways."""
    refused = Answer(status=status, body=b"{}" if "json" in content_type else b"no", content_type=content_type)
    with hostile(era="legacy", script={"server/discover": refused}) as server:
        async with with_upstreams(sqlite_url, tmp_path, upstream("up", server.url)) as running:
            assert await names(running.http) == ["up-read", "up-write"]


async def test_the_greeting_is_not_repeated_with_every_call(sqlite_url: str, tmp_path: Path) -> None:
    """Contract §7: what an upstream speaks is remembered; an upstream is not asked about its list at every call."""
    for era, greeting in (("modern", "server/discover"), ("legacy", "initialize")):
        with hostile(era=era) as server:
            entry = upstream("up", server.url)
            async with with_upstreams(f"{sqlite_url}-{era}", tmp_path / era, entry) as running:
                for _ in range(3):
                    result_of(await call(running.http, "up-read", headers=KEY))
                counts = [len(server.requests(method)) for method in (greeting, "tools/list", "tools/call")]
                assert counts == [1, 1, 3]
