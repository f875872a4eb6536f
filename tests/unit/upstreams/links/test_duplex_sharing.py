"""A link over a pipe that several use at once: what one of them does is nobody else's trouble."""

import asyncio

import msgspec
import pytest
from msgspec import Raw

from bifrost.upstreams.errors import UpstreamUnavailable
from bifrost.upstreams.links.base import EVERYBODY, Peer
from bifrost.upstreams.links.duplex import open_link
from tests.unit.upstreams.links._peer import Keeps, peer
from tests.unit.upstreams.links._pipe import GREETING, Pipe, opened, until

pytestmark = pytest.mark.anyio


def everybodys() -> Peer:
    return msgspec.structs.replace(peer(), owner=EVERYBODY)


class _NeverReads(Keeps):
    async def notify(self, method: str, params: dict[str, Raw]) -> None:
        await super().notify(method, params)
        await asyncio.Event().wait()


async def test_whoever_does_not_read_holds_up_nobody_else_on_the_pipe() -> None:
    """Contract §7: a program may be shared; one client that takes its events slowly is not everybody's time-out."""
    pipe, slow = Pipe(), _NeverReads()
    link = await opened(pipe)
    first = asyncio.create_task(link.request("a", {}, slow, 5))
    await until(pipe, 3)
    for _ in range(1_000):
        pipe.says(method="notifications/message", params={"level": "info"})
    second = asyncio.create_task(link.request("b", {}, Keeps(), 5))
    await until(pipe, 4)
    pipe.says(id=pipe.sent[-1]["id"], result={"ok": 2})
    assert bytes(await second) == b'{"ok": 2}'
    assert len(slow.heard) == 1
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    await link.close()


async def test_on_a_pipe_that_everybody_shares_a_log_line_reaches_nobody_who_did_not_cause_it() -> None:
    """Isolation: it does not say whose request it is about; progress does."""
    pipe, anna, bert = Pipe(), Keeps(), Keeps()
    pipe.answers.insert(0, {"result": GREETING})
    link = await open_link(everybodys(), pipe)
    annas = asyncio.create_task(link.request("a", {"_meta": Raw(b'{"progressToken":"a"}')}, anna, 5))
    await until(pipe, 3)
    berts = asyncio.create_task(link.request("b", {}, bert, 5))
    await until(pipe, 4)
    pipe.says(method="notifications/message", params={"level": "info", "data": "Anna's"})
    pipe.says(method="notifications/new", params={"data": "Anna's"})
    pipe.says(method="notifications/progress", params={"progressToken": pipe.sent[2]["id"], "progress": 1})
    for sent in pipe.sent[2:4]:
        pipe.says(id=sent["id"], result={})
    await asyncio.gather(annas, berts)
    assert anna.heard == [("notifications/progress", {"progressToken": "a", "progress": 1})]
    assert bert.heard == []
    await link.close()


async def test_an_answer_reaches_also_whoever_does_not_read_what_was_said_before_it() -> None:
    """It is here: "did not answer" would be untrue, and the upstream is neither told to stop nor looked at."""
    pipe = Pipe()
    link = await opened(pipe)
    asking = asyncio.create_task(link.request("a", {}, _NeverReads(), 0.01))
    await until(pipe, 3)
    pipe.says(method="notifications/message", params={"level": "info"})
    pipe.says(id=pipe.sent[2]["id"], result={"ok": 1})
    assert bytes(await asking) == b'{"ok": 1}'
    assert [sent["method"] for sent in pipe.sent[2:]] == ["a"]
    await link.close()


async def test_a_ping_is_answered_whoever_asked_last_and_however_slowly_they_read() -> None:
    """2025-11-25, ping: promptly."""
    pipe = Pipe()
    link = await opened(pipe)
    pipe.says(id="p1", method="ping")
    await until(pipe, 3)
    slow = asyncio.create_task(link.request("a", {}, _NeverReads(), 5))
    await until(pipe, 4)
    pipe.says(method="notifications/message", params={"level": "info"})
    pipe.says(id="p2", method="ping")
    await until(pipe, 5)
    assert [sent for sent in pipe.sent if "result" in sent] == [
        {"jsonrpc": "2.0", "id": name, "result": {}} for name in ("p1", "p2")
    ]
    slow.cancel()
    with pytest.raises(asyncio.CancelledError):
        await slow
    await link.close()


async def test_on_a_pipe_that_everybody_shares_a_question_is_put_to_nobody_and_gets_an_answer() -> None:
    """JSON-RPC 2.0 §4: a request is answered; a program that waits for ever would be everybody's."""
    pipe, anna = Pipe(), Keeps()
    pipe.answers.insert(0, {"result": GREETING})
    link = await open_link(everybodys(), pipe)
    asking = asyncio.create_task(link.request("a", {}, anna, 5))
    await until(pipe, 3)
    pipe.says(id="q", method="sampling/createMessage", params={})
    await until(pipe, 4)
    assert pipe.sent[3]["id"] == "q"
    assert pipe.sent[3]["error"]["code"] == -32601
    pipe.says(id=pipe.sent[2]["id"], result={})
    await asking
    assert anna.asked == []
    await link.close()


class _ReadsLater(Keeps):
    async def notify(self, method: str, params: dict[str, Raw]) -> None:
        for _ in range(100):
            await asyncio.sleep(0)
        await super().notify(method, params)


async def test_what_a_listener_was_told_before_the_upstream_ended_it_is_heard() -> None:
    """2026-07-28, subscriptions: the news come before the end, which is no reason to hear no more."""
    pipe, heard = Pipe(), _ReadsLater()
    pipe.answers.extend(
        [
            {"error": {"code": -32601, "message": "No."}},
            {"result": {"supportedVersions": ["2026-07-28"], "capabilities": {"tools": {}}}},
        ]
    )
    link = await open_link(peer(), pipe)
    listening = asyncio.create_task(link.listen((), heard))
    await until(pipe, 3)
    meta = {"io.modelcontextprotocol/subscriptionId": pipe.sent[2]["id"]}
    pipe.says(method="notifications/tools/list_changed", params={"_meta": meta})
    pipe.says(id=pipe.sent[2]["id"], result={})
    with pytest.raises(UpstreamUnavailable):
        await listening
    assert [method for method, _params in heard.heard] == ["notifications/tools/list_changed"]
    await link.close()
