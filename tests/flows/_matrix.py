"""The cells of the matrix: what is sent and what has to arrive, for one client of one revision and one upstream.

Values are compared as the bytes that they are spelt with, so that an integer stays one, 1.50 keeps its zero, and an
escape stays an escape. Characters are compared as characters where a stream of events has to escape them.
"""

import asyncio
import json
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from msgspec import Raw

from bifrost.protocol import mcp
from tests.support.mcp_client import Conversation, McpClient
from tests.support.scripted_upstream import ScriptedUpstream
from tests.support.servers import until
from tests.support.talking_upstream import LARGE, RESOURCE, TEMPLATE
from tests.support.verbatim import member, written

CLIENTS: dict[str, dict[str, Any]] = {
    "2024-11-05": {"sampling": {}, "roots": {}},
    "2025-03-26": {"sampling": {}, "roots": {}},
    "2025-06-18": {"sampling": {}, "roots": {}, "elicitation": {}},
    "2025-11-25": {"sampling": {}, "roots": {}, "elicitation": {"form": {}, "url": {}}},
    "2026-07-28": {"sampling": {}, "roots": {}, "elicitation": {"form": {}, "url": {}}},
}
"""What a client of each revision can say that it can do, at most."""

UPSTREAMS = [
    *((transport, revision) for transport in ("http", "stdio") for revision in CLIENTS),
    *(("sse", revision) for revision in mcp.LEGACY_VERSIONS),
]
"""Every revision that there can be over each transport: HTTP with server-sent events belongs to the older era."""

SPELT = (
    b'{"n":1.50,"e":1E+2,"huge":123456789012345678901234567890.10,"zero":-0.0,"escaped":"\\u00e9\\/\\ud83d\\ude00",'
    b'"spaced":[ 1 , null ],"":{ },"constructor":true}'
)
"""Spelt in ways that no two writers of JSON would choose, and that mean something to some reader."""

VALUE = Raw(SPELT)
CHARACTERS = "größe 日本 \u202e\u0000\x7f\x85\u2028\u2029\ufeff\ufffe\U0001f600 \u0065\u0301"
"""Whatever some reader of text leaves out, joins, or takes for the end of a line."""

TOOL: dict[str, Any] = {"name": "said", "inputSchema": {"type": "object", "x-new": VALUE}, "x-new": VALUE}
PROMPT: dict[str, Any] = {"name": "greet", "arguments": [{"name": "who"}], "x-new": VALUE}
LISTS: dict[str, dict[str, Any]] = {
    mcp.TOOLS_LIST: {"tools": [TOOL]},
    mcp.RESOURCES_LIST: {"resources": [{**RESOURCE, "x-new": VALUE}]},
    mcp.TEMPLATES_LIST: {"resourceTemplates": [{**TEMPLATE, "x-new": VALUE}]},
    mcp.PROMPTS_LIST: {"prompts": [PROMPT]},
}
URI = RESOURCE["uri"]
_OURS = {"resultType", "ttlMs", "cacheScope", "_meta"}
"""What 2026-07-28 adds to a result; `_meta` is looked at where something was sent in it."""


@dataclass(frozen=True, slots=True, repr=False)
class Cell:
    """Without a `repr`: `asyncio.Runner` makes one of what each run returns, and this would be all that was ever said."""

    client: McpClient
    server: ScriptedUpstream

    def clear(self) -> None:
        """Nothing is left of what another cell made the server say."""
        self.server.forget_the_script()
        self.server.members = dict(LISTS)

    async def call(self, arguments: Any = None, **more: Any) -> Conversation:
        return await self.client.request(mcp.TOOLS_CALL, {"name": "said", "arguments": arguments or {}, **more})

    def arrived(self, method: str, *path: str) -> bytes:
        """Something of the parameters of the last such request at the server."""
        body = [raw for raw in self.server.bodies if json.loads(raw).get("method") == method][-1]
        return member(body, "params", *path)


def same_result(cell: Cell, said: Conversation, sent: dict[str, Any]) -> None:
    """Each member of what was sent is there, spelt as it was, and no other is but those of the client's revision."""
    assert said.error is None, said.error
    result = member(said.spoken[-1], "result")
    for name, value in sent.items():
        assert member(result, name) == written(value), name
    assert json.loads(result).keys() - sent.keys() <= (_OURS if cell.client.modern else set())


def same_members(raw: bytes, sent: dict[str, Any]) -> None:
    assert json.loads(raw).keys() == sent.keys()
    for name, value in sent.items():
        assert member(raw, name) == written(value), name


# ---- the kinds of content -------------------------------------------------------------------------------------------


async def tool(cell: Cell) -> None:
    """What a tool is, what it is given, what it gives."""
    listed = await cell.client.request(mcp.TOOLS_LIST)
    same_members(member(listed.spoken[-1], "result", "tools", 0), TOOL)
    cell.server.result = {"content": [{"type": "text", "text": "done"}], "structuredContent": VALUE, "isError": False}
    same_result(cell, await cell.call(VALUE), cell.server.result)
    assert cell.arrived(mcp.TOOLS_CALL, "arguments") == SPELT


async def error(cell: Cell) -> None:
    """A tool that failed, and a request that was refused."""
    cell.server.result = {"content": [{"type": "text", "text": "no"}], "isError": True}
    same_result(cell, await cell.call(), cell.server.result)
    cell.server.error = {"code": -31_999, "message": "Not today.", "data": VALUE}
    said = await cell.call()
    assert said.result is None
    same_members(member(said.spoken[-1], "error"), cell.server.error)


async def progress(cell: Cell) -> None:
    """Under the token of the client, whatever kind of value that is, and before the result."""
    one: dict[str, Any] = {
        "progressToken": None,
        "progress": Raw(b"0.50"),
        "total": Raw(b"1E+1"),
        "message": "half",
        "x-new": VALUE,
    }
    two: dict[str, Any] = {"progressToken": None, "progress": Raw(b"1.0")}
    for token in ("t", 7):
        cell.server.heard = [{"method": mcp.PROGRESS, "params": params} for params in (one, two)]
        said = await cell.call(_meta={"progressToken": token})
        *heard, answer = said.spoken
        assert "result" in json.loads(answer)
        for raw, sent in zip(heard, (one, two), strict=True):
            assert json.loads(raw)["method"] == mcp.PROGRESS
            same_members(member(raw, "params"), {**sent, "progressToken": token})


async def cancel(cell: Cell) -> None:
    """A client of the older era says so, a stateless one goes away; the server is told in its own way."""
    cell.server.hangs = True
    calls, cancelled = len(cell.server.requests(mcp.TOOLS_CALL)), len(cell.server.cancelled)
    running = asyncio.create_task(cell.call())
    await until(lambda: len(cell.server.requests(mcp.TOOLS_CALL)) > calls)
    if cell.client.modern:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    else:
        told = {"requestId": cell.client.last_id, "reason": "changed my mind"}
        assert await cell.client.tell(mcp.CANCELLED, told) == 202
        said = await running
        assert (said.result, said.error) == (None, None)
    await until(lambda: len(cell.server.cancelled) > cancelled)


async def resource(cell: Cell) -> None:
    """Lists of resources and templates, and what is read."""
    for method, name in ((mcp.RESOURCES_LIST, "resources"), (mcp.TEMPLATES_LIST, "resourceTemplates")):
        (sent,) = LISTS[method][name]
        same_members(member((await cell.client.request(method)).spoken[-1], "result", name, 0), sent)
    sent = {"contents": [{"uri": URI, "mimeType": "text/plain", "text": "A", "x-new": VALUE}, {"uri": URI, "blob": ""}]}
    cell.server.members[mcp.RESOURCES_READ] = sent
    same_result(cell, await cell.client.request(mcp.RESOURCES_READ, {"uri": URI}), sent)
    assert cell.arrived(mcp.RESOURCES_READ, "uri") == written(URI)


async def prompt(cell: Cell) -> None:
    """The list, a prompt with its arguments, and what could complete one."""
    listed = await cell.client.request(mcp.PROMPTS_LIST)
    same_members(member(listed.spoken[-1], "result", "prompts", 0), PROMPT)
    messages = [{"role": "user", "content": {"type": "text", "text": "Hi", "x-new": VALUE}}]
    cell.server.members[mcp.PROMPTS_GET] = {"description": "d", "messages": messages}
    got = await cell.client.request(mcp.PROMPTS_GET, {"name": "greet", "arguments": {"who": "é"}})
    same_result(cell, got, cell.server.members[mcp.PROMPTS_GET])
    assert cell.arrived(mcp.PROMPTS_GET, "arguments") == written({"who": "é"})
    cell.server.members[mcp.COMPLETE_ARGUMENT] = {"completion": {"values": ["a"], "total": Raw(b"1.0"), "x-new": VALUE}}
    wanted = {"ref": {"type": "ref/prompt", "name": "greet"}, "argument": {"name": "who", "value": "a"}}
    completed = await cell.client.request(mcp.COMPLETE_ARGUMENT, wanted)
    same_result(cell, completed, cell.server.members[mcp.COMPLETE_ARGUMENT])
    assert json.loads(cell.arrived(mcp.COMPLETE_ARGUMENT))["ref"] == wanted["ref"]


async def elicitation(cell: Cell) -> None:
    """A person is asked, and answers; where the client's revision has no such thing, nobody is, and both sides know."""
    question = {"message": "Your name?", "requestedSchema": {"type": "object", "properties": {}, "x-new": VALUE}}
    if "elicitation" in cell.client.capabilities:
        await _asked(cell, mcp.ELICITATION_CREATE, question, {"action": "accept", "content": VALUE})
    else:
        await _nobody_is_asked(cell, mcp.ELICITATION_CREATE, question, {"elicitation": {"form": {}}})


async def sampling(cell: Cell) -> None:
    """A model is asked, and answers."""
    content = {"type": "text", "text": "é", "x-new": VALUE}
    question = {"messages": [{"role": "user", "content": content}], "maxTokens": 5, "temperature": Raw(b"0.50")}
    answer = {"role": "assistant", "content": content, "model": "m", "stopReason": "endTurn"}
    await _asked(cell, mcp.SAMPLING_CREATE, question, answer)


async def _asked(cell: Cell, method: str, question: dict[str, Any], answer: dict[str, Any]) -> None:
    cell.server.question, cell.server.result = (method, question), {"content": []}
    cell.client.answers = {method: answer}
    said = await cell.call()
    assert [one for one, _params in said.asked] == [method]
    if cell.client.modern:
        (key,) = json.loads(said.spoken[0])["result"]["inputRequests"]
        same_members(member(said.spoken[0], "result", "inputRequests", key, "params"), question)
    else:
        same_members(member(said.spoken[0], "params"), question)
    same_result(cell, said, cell.server.result)
    same_members(_answer_as_it_came(cell), answer)


def _answer_as_it_came(cell: Cell) -> bytes:
    if cell.server.modern:
        return cell.arrived(mcp.TOOLS_CALL, "inputResponses", "one")
    return member([raw for raw in cell.server.bodies if "method" not in json.loads(raw)][-1], "result")


async def _nobody_is_asked(cell: Cell, method: str, question: dict[str, Any], required: dict[str, Any]) -> None:
    """An upstream of the older era hears that the client cannot; the question of a stateless one ends the call."""
    cell.server.question, cell.server.result = (method, question), {"content": []}
    answered, calls = len(cell.server.answered), len(cell.server.requests(mcp.TOOLS_CALL))
    said = await cell.call()
    assert said.asked == []
    if cell.server.modern:
        assert (said.error["code"], said.error["data"]["requiredCapabilities"]) == (-32600, required)
        assert len(cell.server.requests(mcp.TOOLS_CALL)) == calls + 1
    else:
        same_result(cell, said, cell.server.result)
        assert [one["code"] for one in cell.server.answered[answered:]] == [-32601]


async def large(cell: Cell) -> None:
    """A megabyte, there and back."""
    cell.server.result = {"content": [{"type": "text", "text": LARGE}]}
    same_result(cell, await cell.call({"text": LARGE}), cell.server.result)
    assert cell.arrived(mcp.TOOLS_CALL, "arguments", "text") == written(LARGE)


async def characters(cell: Cell) -> None:
    """Each is itself, in names and in values, in every place that has text."""
    strange = {CHARACTERS: CHARACTERS}
    cell.server.result = {"content": [{"type": "text", "text": CHARACTERS}], "structuredContent": strange}
    cell.server.heard = [
        {"method": mcp.PROGRESS, "params": {"progressToken": None, "progress": 1, "message": CHARACTERS}}
    ]
    said = await cell.call(strange, _meta={"progressToken": CHARACTERS})
    assert {name: said.result[name] for name in cell.server.result} == cell.server.result
    (heard,) = said.heard
    assert heard["params"] == {"progressToken": CHARACTERS, "progress": 1, "message": CHARACTERS}
    assert json.loads(cell.arrived(mcp.TOOLS_CALL, "arguments")) == strange
    cell.server.heard, cell.server.error = [], {"code": 1, "message": CHARACTERS, "data": strange}
    assert (await cell.call()).error == cell.server.error
    cell.server.members[mcp.RESOURCES_READ] = {"contents": [{"uri": URI, "text": CHARACTERS}]}
    read = await cell.client.request(mcp.RESOURCES_READ, {"uri": URI})
    assert read.result["contents"] == [{"uri": URI, "text": CHARACTERS}]


async def unknown(cell: Cell) -> None:
    """Members that no revision has, of parameters, of `_meta`, of a result, of its content, and of what is said meanwhile."""
    content = {"type": "x/new", "x-new": VALUE, "_meta": {"x/new": VALUE}}
    cell.server.result = {"content": [content], "x-new": VALUE, "_meta": {"x/new": VALUE}}
    log = {"level": "emergency", "data": VALUE, "x-new": VALUE}
    cell.server.heard = [{"method": mcp.LOG_MESSAGE, "params": log}]
    said = await cell.call(_meta={"x/new": VALUE, "traceparent": "00-1-2-03"}, **{"x-new": VALUE})
    result = member(said.spoken[-1], "result")
    assert member(result, "_meta", "x/new") == SPELT
    assert (member(result, "x-new"), member(result, "content")) == (SPELT, written([content]))
    same_members(member(said.spoken[0], "params"), log)
    assert (cell.arrived(mcp.TOOLS_CALL, "x-new"), cell.arrived(mcp.TOOLS_CALL, "_meta", "x/new")) == (SPELT, SPELT)
    assert cell.arrived(mcp.TOOLS_CALL, "_meta", "traceparent") == b'"00-1-2-03"'


KINDS: dict[str, Callable[[Cell], Coroutine[Any, Any, None]]] = {
    "tool": tool,
    "error": error,
    "progress": progress,
    "cancel": cancel,
    "resource": resource,
    "prompt": prompt,
    "elicitation": elicitation,
    "sampling": sampling,
    "large result": large,
    "unicode": characters,
    "unknown members": unknown,
}
