"""A small MCP server that does what it is told: either era, with or without sessions, right or wrong in many ways.

It keeps everything it was sent, so that a test can see what reached it.
"""

import itertools
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

from starlette.types import Message, Receive, Scope, Send

from bifrost.protocol import mcp
from tests.support.servers import serving

Era = Literal["legacy", "modern"]
READ = b'{"name":"read","description":"Look","inputSchema":{"type":"object"},"annotations":{"readOnlyHint":true}}'
WRITE = b'{"name":"write","description":"Change","inputSchema":{"type":"object"}}'
DONE = b'{"content":[{"type":"text","text":"done"}]}'
ID = b"$ID"
"""Where the id of the request is put into a scripted answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One request as it arrived: header names in lower case, every line of them."""

    method: str
    headers: tuple[tuple[str, str], ...]
    body: bytes
    message: dict[str, Any]
    address: str
    """Path and query, as they stood in the request line."""

    def header(self, name: str) -> str | None:
        return next((value for key, value in self.headers if key == name), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What to send. `ending`: the whole body, a connection cut in the middle, or nothing ever."""

    body: bytes = b""
    status: int = 200
    content_type: str = "application/json"
    headers: tuple[tuple[str, str], ...] = ()
    repeat: int = 1
    ending: Literal["whole", "cut", "never"] = "whole"


def result(members: bytes, **more: Any) -> Answer:
    return Answer(body=b'{"jsonrpc":"2.0","id":$ID,"result":' + members + b"}", **more)


def failure(code: int, *, status: int = 200, data: bytes = b"null") -> Answer:
    error = b'{"code":%d,"message":"no","data":%s}' % (code, data)
    return Answer(body=b'{"jsonrpc":"2.0","id":$ID,"error":' + error + b"}", status=status)


def events(*data: bytes, **more: Any) -> Answer:
    """A stream with one event for each piece of data."""
    return Answer(
        body=b"".join(b"data: " + piece + b"\n\n" for piece in data), content_type="text/event-stream", **more
    )


@dataclass(slots=True, kw_only=True)
class HostileUpstream:
    """`script` answers a JSON-RPC method in place of the server's own answer; `*` answers everything."""

    era: Era = "modern"
    sessions: bool = False
    forgotten: Answer = field(default_factory=lambda: Answer(status=404))
    tools: list[bytes] = field(default_factory=lambda: [READ, WRITE])
    page_size: int = 100
    calls: dict[str, bytes] = field(default_factory=dict)
    script: dict[str, Answer] = field(default_factory=dict)
    url: str = ""
    seen: list[Seen] = field(default_factory=list)
    _open: set[str] = field(default_factory=set)
    _numbers: "itertools.count[int]" = field(default_factory=lambda: itertools.count(1))

    def forget_sessions(self) -> None:
        self._open.clear()

    def requests(self, method: str) -> list[Seen]:
        return [seen for seen in self.seen if seen.method == method]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        body, more = b"", True
        while more:
            chunk: Message = await receive()
            body, more = body + chunk.get("body", b""), chunk.get("more_body", False)
        sent = json.loads(body) if body else {}
        seen = Seen(
            method=str(sent.get("method", "")),
            headers=tuple(
                (name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in scope["headers"]
            ),
            body=body,
            message=sent,
            address=(scope["raw_path"] + b"?" * bool(scope["query_string"]) + scope["query_string"]).decode("latin-1"),
        )
        self.seen.append(seen)
        answer = self.script.get(seen.method) or self.script.get("*") or self._own(seen)
        await _deliver(answer, json.dumps(sent.get("id")).encode(), receive, send)

    def _own(self, seen: Seen) -> Answer:
        if "id" not in seen.message:
            return Answer(status=202)
        if self.era == "modern":
            return self._modern(seen)
        if seen.method == mcp.INITIALIZE:
            return self._greeting(seen)
        if self.sessions and seen.header(mcp.SESSION_HEADER) is None:
            return failure(-32600, status=400)
        if self.sessions and seen.header(mcp.SESSION_HEADER) not in self._open:
            return self.forgotten
        return self._method(seen)

    def _modern(self, seen: Seen) -> Answer:
        if seen.header(mcp.VERSION_HEADER) != mcp.MODERN:
            return failure(mcp.UNSUPPORTED_VERSION, status=400)
        if seen.method == mcp.DISCOVER:
            return result(b'{"resultType":"complete","supportedVersions":["2026-07-28"],"capabilities":{"tools":{}}}')
        return self._method(seen)

    def _greeting(self, seen: Seen) -> Answer:
        version = json.dumps(seen.message["params"]["protocolVersion"]).encode()
        members = (
            b'{"protocolVersion":%s,"capabilities":{"tools":{}},"serverInfo":{"name":"h","version":"1"}}' % version
        )
        if not self.sessions:
            return result(members)
        session = f"session-{next(self._numbers)}"
        self._open.add(session)
        return result(members, headers=((mcp.SESSION_HEADER, session),))

    def _method(self, seen: Seen) -> Answer:
        params = seen.message.get("params", {})
        if seen.method == mcp.TOOLS_LIST:
            start = int(params.get("cursor", 0))
            page = b",".join(self.tools[start : start + self.page_size])
            end = start + self.page_size
            cursor = b',"nextCursor":"%d"' % end if end < len(self.tools) else b""
            return result(b'{"tools":[' + page + b"]" + cursor + b"}")
        if seen.method == mcp.TOOLS_CALL:
            return result(self.calls.get(params["name"], DONE))
        return failure(-32601, status=404 if self.era == "modern" else 200)


async def _deliver(answer: Answer, request_id: bytes, receive: Receive, send: Send) -> None:
    if answer.ending == "never":
        while (await receive())["type"] != "http.disconnect":
            pass
        return
    headers = [("content-type", answer.content_type), *answer.headers]
    await send(
        {
            "type": "http.response.start",
            "status": answer.status,
            "headers": [(name.encode(), value.encode()) for name, value in headers],
        }
    )
    body = answer.body.replace(ID, request_id)
    if answer.ending == "cut":
        body = body[: len(body) // 2]
    for _ in range(answer.repeat):
        await send({"type": "http.response.body", "body": body, "more_body": True})
    if answer.ending == "whole":
        await send({"type": "http.response.body", "body": b"", "more_body": False})


@contextmanager
def hostile(**options: Any) -> Iterator[HostileUpstream]:
    """The server on a loopback port for as long as the block lasts."""
    upstream = HostileUpstream(**options)
    with serving(upstream) as origin:
        upstream.url = f"{origin}/mcp"
        yield upstream
