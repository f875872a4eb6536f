"""A link over a pipe: what is sent, what is made of what comes, and what happens when it ends."""

import asyncio
import json
from typing import Any

import pytest
from msgspec import Raw

from bifrost.protocol import mcp
from bifrost.protocol.jsonrpc import RpcError
from bifrost.upstreams.errors import UpstreamUnavailable
from bifrost.upstreams.links import duplex
from bifrost.upstreams.links.base import Forgotten, Nobody
from bifrost.upstreams.links.duplex import SharedLink, open_link
from tests.support.servers import until as comes_true
from tests.unit.upstreams.links._peer import EVERYTHING, Keeps, peer
from tests.unit.upstreams.links._pipe import GREETING, Pipe, opened, until

pytestmark = pytest.mark.anyio


async def test_it_greets_the_older_way_and_says_what_its_caller_can_do() -> None:
    """2025-11-25, lifecycle; G19."""
    pipe = Pipe()
    link = await opened(pipe, capabilities=EVERYTHING)
    assert [sent["method"] for sent in pipe.sent] == ["initialize", "notifications/initialized"]
    assert pipe.sent[0]["params"]["capabilities"] == json.loads(EVERYTHING)
    assert link.facts.version == "2025-11-25"
    await link.close()
    assert pipe.closed


async def test_the_log_level_of_the_caller_is_set_at_once() -> None:
    """2025-11-25, logging."""
    pipe = Pipe({"result": {}})
    link = await opened(pipe, log_level="warning")
    assert pipe.sent[-1]["params"] == {"level": "warning"}
    await link.close()


async def test_an_upstream_that_does_not_know_the_greeting_is_asked_the_stateless_way() -> None:
    """2026-07-28, versioning: also over a pipe every request says its version."""
    pipe = Pipe(
        {"error": {"code": -32601, "message": "No."}},
        {"result": {"supportedVersions": ["2026-07-28"], "capabilities": {"tools": {}}}},
        {"result": {"ok": True}},
    )
    link = await open_link(peer(), pipe)
    assert link.facts.offers("tools")
    assert bytes(await link.request("tools/call", {"name": "x"}, Nobody(), 5)) == b'{"ok": true}'
    assert [sent["method"] for sent in pipe.sent] == ["initialize", "server/discover", "tools/call"]
    assert pipe.sent[-1]["params"]["_meta"]["io.modelcontextprotocol/protocolVersion"] == "2026-07-28"
    await link.close()


async def test_an_upstream_that_greets_with_an_unknown_version_is_left() -> None:
    """2025-11-25, lifecycle."""
    pipe = Pipe({"result": {"protocolVersion": "1999-01-01"}})
    with pytest.raises(UpstreamUnavailable):
        await open_link(peer(), pipe)
    assert pipe.closed


async def test_answers_find_their_requests_in_any_order() -> None:
    """JSON-RPC 2.0 §4: by id; what answers nothing is passed over, garbage too."""
    pipe = Pipe()
    link = await opened(pipe)
    first = asyncio.create_task(link.request("a", {}, Nobody(), 5))
    second = asyncio.create_task(link.request("b", {}, Nobody(), 5))
    await until(pipe, 4)
    ids = {sent["method"]: sent["id"] for sent in pipe.sent if sent["method"] in "ab"}
    pipe.inbox.put_nowait(b"Listening on stdio")
    for wrong in ("x", 10_000, None, str(ids["a"]), 1.0):
        pipe.says(id=wrong, result={"wrong": 1})
    pipe.says(id=ids["b"], result={"b": 1})
    pipe.says(id=ids["a"], error={"code": 5, "message": "no"})
    assert bytes(await second) == b'{"b": 1}'
    with pytest.raises(RpcError):
        await first
    await link.close()


async def test_progress_goes_to_the_request_it_names_and_a_question_to_the_last_one() -> None:
    """Isolation, with tokens that collide on purpose."""
    pipe, one, two = Pipe(), Keeps(), Keeps()
    link = await opened(pipe, capabilities=EVERYTHING, session="s")
    meta = {"_meta": Raw(b'{"progressToken":1}')}
    first = asyncio.create_task(link.request("a", meta, one, 5))
    second = asyncio.create_task(link.request("b", meta, two, 5))
    await until(pipe, 4)
    ids = {sent["method"]: sent["id"] for sent in pipe.sent if sent["method"] in "ab"}
    pipe.says(method="notifications/progress", params={"progressToken": ids["a"], "progress": 1})
    pipe.says(id="q", method="roots/list")
    await until(pipe, 5)
    assert one.heard == [("notifications/progress", {"progressToken": 1, "progress": 1})]
    assert (one.asked, two.heard, len(two.asked)) == ([], [], 1)
    assert pipe.sent[-1] == {"jsonrpc": "2.0", "id": "q", "result": {"action": "accept"}}
    for method in "ab":
        pipe.says(id=ids[method], result={})
    await asyncio.gather(first, second)
    await link.close()


async def test_a_token_that_cannot_be_read_is_nobodys_and_the_pipe_goes_on() -> None:
    """2025-11-25, progress: whatever a program says of one request, the others on its pipe have their answers."""
    pipe, asked = Pipe(), Keeps()
    link = await opened(pipe)
    asking = asyncio.create_task(link.request("a", {}, asked, 5))
    await until(pipe, 3)
    told = b'{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":%s}}'
    for token in (b"1e999", b"true", b"[1]", b'"1"'):
        pipe.inbox.put_nowait(told % token)
    pipe.says(id=pipe.sent[-1]["id"], result={"ok": True})
    assert bytes(await asking) == b'{"ok": true}'
    assert asked.heard == []
    await link.close()


async def test_a_question_is_withdrawn_where_it_was_put_also_while_others_listen() -> None:
    """2025-11-25, cancellation: what belongs to no request goes to listeners, but this belongs to a question."""

    class Thinks(Keeps):
        async def ask(self, method: str, params: dict[str, Raw]) -> Raw:
            await super().ask(method, params)
            await asyncio.Event().wait()
            raise AssertionError

    pipe, asked, listens = Pipe(), Thinks(), Keeps()
    link = await opened(pipe, capabilities=EVERYTHING, session="s")
    listening = asyncio.create_task(link.listen((), listens))
    asking = asyncio.create_task(link.request("a", {}, asked, 5))
    await until(pipe, 3)
    pipe.says(id="q", method="roots/list")
    await asyncio.sleep(0.01)
    pipe.says(method="notifications/cancelled", params={"requestId": "q"})
    pipe.says(id=pipe.sent[-1]["id"], result={})
    await asking
    assert (len(asked.asked), asked.heard, listens.heard[1:]) == (1, [], [])
    assert len(pipe.sent) == 3, "nothing is answered"
    listening.cancel()
    await asyncio.gather(listening, return_exceptions=True)
    await link.close()


async def test_callers_without_a_session_that_can_be_asked_take_turns() -> None:
    """Isolation: a pipe does not say whose question it is, so there is one whom it can be for."""
    pipe = Pipe()
    link = await opened(pipe, capabilities=EVERYTHING)
    tasks = [asyncio.create_task(link.request(method, {}, Keeps(), 5)) for method in "ab"]
    await until(pipe, 3)
    await asyncio.sleep(0.01)
    assert [sent["method"] for sent in pipe.sent[2:]] == ["a"]
    pipe.says(id=pipe.sent[2]["id"], result={})
    await until(pipe, 4)
    pipe.says(id=pipe.sent[3]["id"], result={})
    await asyncio.gather(*tasks)
    await link.close()


async def test_what_nobody_waits_for_any_more_is_cancelled() -> None:
    """2025-11-25, cancellation: after the time is up, and when the caller goes."""
    pipe = Pipe()
    link = await opened(pipe)
    with pytest.raises(UpstreamUnavailable, match="did not answer"):
        await link.request("slow", {}, Nobody(), 0.01)
    waiting = asyncio.create_task(link.request("slow", {}, Nobody(), 5))
    await until(pipe, 6)  # a ping is among them
    waiting.cancel()
    await until(pipe, 7)
    cancelled = [sent["params"]["requestId"] for sent in pipe.sent if sent["method"] == "notifications/cancelled"]
    assert cancelled == [sent["id"] for sent in pipe.sent if sent["method"] == "slow"]
    await link.close()


@pytest.mark.parametrize(
    "answers",
    [
        None,
        {"result": {}},
        {"error": {"code": -32601, "message": "?"}},
        {"method": "notifications/progress", "params": {"progressToken": 0, "progress": 1}},
    ],
)
async def test_a_program_that_answers_nothing_any_more_is_left(
    answers: dict[str, Any] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """2025-11-25, ping: it would hold up everybody who comes after; one that answers at all is only slow."""
    monkeypatch.setattr(duplex, "STUCK_SECONDS", 0.05)
    pipe = Pipe()
    link = await opened(pipe)
    pipe.answers.clear()
    with pytest.raises(UpstreamUnavailable, match="within"):
        await link.request("tools/call", {}, Nobody(), 0.01)
    await until(pipe, 5)
    ping = next(sent for sent in pipe.sent if sent["method"] == "ping")
    if answers is not None:
        pipe.says(**({} if "method" in answers else {"id": ping["id"]}), **answers)
    await comes_true(lambda: not link._looking)
    assert pipe.closed is (answers is None)
    if pipe.closed:
        with pytest.raises(Forgotten):
            await link.request("tools/call", {}, Nobody(), 1)
    await link.close()


async def test_when_the_pipe_ends_so_does_everything_that_waits() -> None:
    """TC-210: an error for those calls; the next one opens a new pipe."""
    pipe = Pipe()
    link = await opened(pipe)
    waiting = asyncio.create_task(link.request("a", {}, Nobody(), 5))
    listening = asyncio.create_task(link.listen((), Keeps()))
    await until(pipe, 3)
    pipe.inbox.put_nowait(None)
    with pytest.raises(UpstreamUnavailable):
        await waiting
    await listening
    with pytest.raises(Forgotten):
        await link.request("a", {}, Nobody(), 5)


async def test_a_listener_hears_what_belongs_to_no_request() -> None:
    """2025-11-25, resources: updates come of the upstream's own accord, once whoever listens knows that it does."""
    pipe, hears = Pipe({"result": {}}), Keeps()
    link = await opened(pipe)
    listening = asyncio.create_task(link.listen(("file:///a",), hears))
    await until(pipe, 3)
    assert pipe.sent[-1]["params"] == {"uri": "file:///a"}
    pipe.says(method="notifications/resources/updated", params={"uri": "file:///a"})
    await comes_true(lambda: len(hears.heard) >= 2)
    assert hears.heard == [(mcp.ACKNOWLEDGED, {}), ("notifications/resources/updated", {"uri": "file:///a"})]
    listening.cancel()
    await asyncio.gather(listening, return_exceptions=True)
    await link.close()


async def test_two_listenings_to_a_stateless_upstream_hear_what_is_for_them_and_end_apart() -> None:
    """2026-07-28, subscriptions: every message names its subscription; the acknowledgement comes first."""
    pipe = Pipe({"error": {"code": -32601, "message": "?"}}, {"result": {"supportedVersions": ["2026-07-28"]}})
    link = await open_link(peer(session="s"), pipe)
    first, second = Keeps(), Keeps()
    older = asyncio.create_task(link.listen(("x:/a",), first))
    await until(pipe, 3)
    newer = asyncio.create_task(link.listen(("x:/a", "x:/b"), second))
    await until(pipe, 4)
    assert [sent["params"]["notifications"] for sent in pipe.sent[2:]] == [
        {"resourceSubscriptions": ["x:/a"]},
        {"resourceSubscriptions": ["x:/a", "x:/b"]},
    ]
    names = [{"_meta": {"io.modelcontextprotocol/subscriptionId": sent["id"]}} for sent in pipe.sent[2:]]
    pipe.says(method="notifications/subscriptions/acknowledged", params=names[1])
    pipe.says(method="notifications/resources/updated", params={"uri": "x:/a", **names[0]})
    await asyncio.sleep(0.01)
    assert [method for method, _ in first.heard] == ["notifications/resources/updated"]
    assert [method for method, _ in second.heard] == ["notifications/subscriptions/acknowledged"]
    older.cancel()
    await asyncio.gather(older, return_exceptions=True)
    pipe.says(method="notifications/resources/updated", params={"uri": "x:/b"})
    await asyncio.sleep(0.01)
    assert [method for method, _ in second.heard][1:] == ["notifications/resources/updated"]
    newer.cancel()
    await asyncio.gather(newer, return_exceptions=True)
    await link.close()


async def test_a_caller_without_a_session_is_announced_in_the_newer_way_first() -> None:
    """2026-07-28, stdio: a program that knows both does more for them in the newer one."""
    pipe = Pipe({"result": {"supportedVersions": ["2026-07-28"], "capabilities": {"tools": {}}}})
    link = await open_link(peer(), pipe, stateless=True)
    assert [sent["method"] for sent in pipe.sent] == ["server/discover"]
    assert link.facts.stateless
    await link.close()


@pytest.mark.parametrize("silent", [False, True])
async def test_a_program_that_does_not_know_the_newer_way_is_greeted_the_older_way(
    *, silent: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """2026-07-28, stdio: whether it says so or says nothing; and it is not told of what it did not understand."""
    monkeypatch.setattr(duplex, "HANDSHAKE_SECONDS", 0.05)
    pipe = Pipe({"error": {"code": -32601, "message": "?"}}, {"result": GREETING})
    if silent:
        pipe.answers.clear()
    opening = asyncio.create_task(open_link(peer(), pipe, stateless=True))
    if silent:
        await until(pipe, 2)
        pipe.says(id=pipe.sent[1]["id"], result=GREETING)
    link = await opening
    assert [sent["method"] for sent in pipe.sent] == ["server/discover", "initialize", "notifications/initialized"]
    assert "_meta" not in pipe.sent[1]["params"]
    assert link.facts.version == "2025-11-25"
    await link.close()


async def test_a_program_that_ends_at_the_question_is_said_to_have_ended() -> None:
    """Ours: whoever opens it knows to begin anew, and not to ask again."""
    pipe = Pipe()
    opening = asyncio.create_task(open_link(peer(), pipe, stateless=True))
    await until(pipe, 1)
    pipe.inbox.put_nowait(None)
    with pytest.raises(UpstreamUnavailable, match="ended"):
        await opening
    assert pipe.closed


async def test_a_stateless_program_serves_all_that_its_owner_can_do_in_one_process() -> None:
    """2026-07-28: what the client can do is said with every request, so that one pipe will do."""
    pipe = Pipe({"result": {"supportedVersions": ["2026-07-28"]}}, {"result": {}}, {"result": {}})
    link = await open_link(peer(), pipe, stateless=True)
    shared = SharedLink(peer(capabilities=EVERYTHING), link)
    await link.request("tools/call", {}, Nobody(), 5)
    await shared.request("tools/call", {}, Nobody(), 5)
    name = "io.modelcontextprotocol/clientCapabilities"
    assert [sent["params"]["_meta"][name] for sent in pipe.sent[1:]] == [{}, json.loads(EVERYTHING)]
    await shared.close()
    assert not pipe.closed
    await link.close()
    with pytest.raises(Forgotten):
        await shared.request("tools/call", {}, Nobody(), 5)
