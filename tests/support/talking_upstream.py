"""An MCP server that talks while it works: progress, logs, questions, cancellation, in whichever revision it is told.

It answers tools by their names, and keeps everything that it was sent.
"""

import asyncio
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from starlette.types import Receive, Scope, Send

from bifrost.protocol import mcp
from tests.support.servers import serving
from tests.support.verbatim import written

TOOLS = ("echo", "progress", "fails", "refuses", "elicit", "sample", "roots", "slow", "large")
QUESTIONS: dict[str, tuple[str, dict[str, Any]]] = {
    "elicit": ("elicitation/create", {"mode": "form", "message": "Your name?", "requestedSchema": {"x-new": [1.0]}}),
    "sample": ("sampling/createMessage", {"messages": [], "maxTokens": 5, "x-new": "é\u2028"}),
    "roots": ("roots/list", {}),
}
LARGE = "ü" * 500_000
ERROR = {"code": -32000, "message": "Not today.", "data": {"x-new": [1, None]}}
RESOURCE = {"uri": "notes:///a", "name": "a", "icons": [{"src": "data:,x"}], "x-new": {"k": 1.5}}
TEMPLATE = {"uriTemplate": "notes:///by-id/{id}", "name": "by id"}
PROMPT = {"name": "greet", "arguments": [{"name": "who"}], "x-new": 1}
CONTENTS = {"contents": [{"uri": "notes:///a", "text": "A", "x-new": 1}]}
MESSAGES = {"messages": [{"role": "user", "content": {"type": "text", "text": "Hi"}}], "x-new": {}}
COMPLETION = {"completion": {"values": ["a", "b"], "hasMore": False}, "x-new": 1}
CAPABILITIES = {
    "tools": {"listChanged": True},
    "resources": {"subscribe": True, "listChanged": True},
    "prompts": {},
    "completions": {},
    "logging": {},
}


@dataclass(slots=True, kw_only=True)
class TalkingUpstream:
    version: str
    url: str = ""
    seen: list[dict[str, Any]] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    """The same, as they came."""

    cancelled: list[Any] = field(default_factory=list)
    """Reasons, or `gone` where a connection was closed."""

    declared: list[dict[str, Any]] = field(default_factory=list)
    """What each client said it can do: at each greeting, or at each call."""

    tools: tuple[str, ...] = TOOLS
    streams_asked: int = 0
    """Those with GET."""

    streams_opened: int = 0
    left: list[int] = field(default_factory=list)
    """The sessions that were ended with DELETE, by their numbers."""

    takes_note: threading.Event = field(default_factory=threading.Event)
    """Cleared: listening begins, and is acknowledged, when it is set again."""

    opens_streams: threading.Event = field(default_factory=threading.Event)
    """Cleared: what listens with GET is answered when it is set again."""

    answers_subscriptions: threading.Event = field(default_factory=threading.Event)
    """Cleared: `resources/subscribe` is answered when it is set again."""

    _answers: dict[str, "asyncio.Future[Any]"] = field(default_factory=dict)
    _streams: dict["asyncio.Queue[dict[str, Any]]", int] = field(default_factory=dict)
    """With the number of the session that each belongs to."""

    _count: int = 0
    _forgotten: int = -1
    """The sessions up to this one: their streams stay open, and are told nothing."""

    _loop: asyncio.AbstractEventLoop | None = None

    def __post_init__(self) -> None:
        self.takes_note.set()
        self.opens_streams.set()
        self.answers_subscriptions.set()

    @property
    def modern(self) -> bool:
        return self.version == mcp.MODERN

    def requests(self, method: str) -> list[dict[str, Any]]:
        return [message for message in self.seen if message.get("method") == method]

    def says(self, method: str, params: dict[str, Any] | None = None) -> None:
        """Of its own accord, to everybody who listens; from any thread."""
        assert self._loop is not None
        message = {"jsonrpc": "2.0", "method": method, "params": params or {}}
        for stream in [stream for stream, session in [*self._streams.items()] if session > self._forgotten]:
            self._loop.call_soon_threadsafe(stream.put_nowait, message)

    def clear(self) -> None:
        """What it has seen, for tests that count what is kept."""
        for kept in (self.seen, self.cancelled, self.declared):
            kept.clear()

    def forgets(self) -> None:
        """All sessions that it gave so far (2025-11-25, transports: what is sent in one of them is answered with 404)."""
        self._forgotten = self._count

    @property
    def listeners(self) -> int:
        return len(self._streams)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        self._loop = asyncio.get_running_loop()
        if scope["method"] == "GET":
            await (plain(send, 405, b"") if self.modern else self._asked_for_a_stream(scope, receive, send))
            return
        if scope["method"] == "DELETE":
            self.left.append(_session(scope))
            await plain(send, 200, b"")
            return
        body, more = b"", True
        while more:
            chunk = await receive()
            body, more = body + chunk.get("body", b""), chunk.get("more_body", False)
        if 0 < _session(scope) <= self._forgotten:
            await plain(send, 404, b"")
            return
        message = json.loads(body)
        self.seen.append(message)
        self.bodies.append(body)
        await self._message(message, receive, send)

    async def _message(self, message: dict[str, Any], receive: Receive, send: Send) -> None:
        method = message.get("method")
        if method is None:
            self._answers[message["id"]].set_result(message.get("result", message.get("error")))
        elif method == mcp.CANCELLED:
            self.cancelled.append(message["params"].get("reason"))
        if method is None or "id" not in message:
            await plain(send, 202, b"")
        elif method == mcp.LISTEN:
            await self._subscribed(message, receive, send)
        elif method == mcp.TOOLS_CALL:
            await self._call(message, receive, send)
        else:
            await self._simple(message, method, send)

    async def _simple(self, message: dict[str, Any], method: str, send: Send) -> None:
        results: dict[str, dict[str, Any]] = {
            mcp.TOOLS_LIST: {"tools": [{"name": name, "inputSchema": {"type": "object"}} for name in self.tools]},
            mcp.RESOURCES_LIST: {"resources": [RESOURCE]},
            mcp.TEMPLATES_LIST: {"resourceTemplates": [TEMPLATE]},
            mcp.RESOURCES_READ: CONTENTS,
            mcp.PROMPTS_LIST: {"prompts": [PROMPT]},
            mcp.PROMPTS_GET: MESSAGES,
            mcp.COMPLETE_ARGUMENT: COMPLETION,
            mcp.SET_LEVEL: {},
            mcp.RESOURCES_SUBSCRIBE: {},
            mcp.RESOURCES_UNSUBSCRIBE: {},
        }
        if self.modern:
            results[mcp.DISCOVER] = {"supportedVersions": [mcp.MODERN], "capabilities": CAPABILITIES}
        else:
            info = {"name": "talking", "version": "1"}
            results[mcp.INITIALIZE] = {
                "protocolVersion": self.version,
                "capabilities": CAPABILITIES,
                "serverInfo": info,
            }
        if method == mcp.INITIALIZE and not self.modern:
            self.declared.append(message["params"]["capabilities"])
        if method not in results:
            error = {"jsonrpc": "2.0", "id": message["id"], "error": {"code": -32601, "message": "No such method."}}
            await plain(send, 404 if self.modern else 200, written(error))
            return
        while method == mcp.RESOURCES_SUBSCRIBE and not self.answers_subscriptions.is_set():  # noqa: ASYNC110 - as above
            await asyncio.sleep(0.01)
        self._count += 1
        session = () if self.modern or method != mcp.INITIALIZE else ((b"mcp-session-id", b"t%d" % self._count),)
        await plain(send, 200, self._result(message, results[method]), session)

    def _result(self, message: dict[str, Any], members: dict[str, Any]) -> bytes:
        result = {"resultType": "complete", **members} if self.modern else members
        return written({"jsonrpc": "2.0", "id": message["id"], "result": result})

    async def _call(self, message: dict[str, Any], receive: Receive, send: Send) -> None:
        params, stream = message["params"], Sse(send)
        if self.modern:
            self.declared.append(params["_meta"][mcp.META_CAPABILITIES])
        name = params["name"]
        if name == "refuses":
            answer = {"jsonrpc": "2.0", "id": message["id"], "error": ERROR}
            await plain(send, 200, written(answer))
            return
        if name == "slow":
            await stream.message({"jsonrpc": "2.0", "method": "notifications/message", "params": {"level": "info"}})
            await self._until_cancelled(receive)
            return
        if name == "progress":
            await self._progress(stream, params)
        if name in QUESTIONS:
            members = await self._asked(message, name, stream)
        else:
            members = {
                "echo": {"content": [], "structuredContent": params.get("arguments"), "x-new": {"n": 1.5}},
                "progress": {"content": []},
                "fails": {"content": [{"type": "text", "text": "no"}], "isError": True},
                "large": {"content": [{"type": "text", "text": LARGE}]},
            }[name]
        result = self._result(message, members)
        await (stream.end(result) if stream.started else plain(send, 200, result))

    async def _progress(self, stream: "Sse", params: dict[str, Any]) -> None:
        token = params.get("_meta", {}).get("progressToken")
        for number in (1, 2):
            progress = {"progressToken": token, "progress": number, "total": 2, "x-new": [number]}
            if token is not None:
                await stream.message({"jsonrpc": "2.0", "method": mcp.PROGRESS, "params": progress})
        log = {"level": "warning", "data": {"x-new": 1}}
        await stream.message({"jsonrpc": "2.0", "method": mcp.LOG_MESSAGE, "params": log})

    async def _asked(self, message: dict[str, Any], name: str, stream: "Sse") -> dict[str, Any]:
        method, question = QUESTIONS[name]
        params = message["params"]
        if self.modern and "inputResponses" not in params:
            request = {"method": method, "params": question}
            return {"resultType": "input_required", "inputRequests": {"one": request}, "requestState": "mine"}
        if self.modern:
            answer = {**params["inputResponses"]["one"], "state": params.get("requestState")}
            return {"content": [], "structuredContent": answer}
        return {"content": [], "structuredContent": await self._ask(stream, method, question)}

    async def _ask(self, stream: "Sse", method: str, question: dict[str, Any]) -> Any:
        """The answer to a question of the older era."""
        self._count += 1
        question_id = f"ask-{self._count}"
        self._answers[question_id] = asyncio.get_running_loop().create_future()
        await stream.message({"jsonrpc": "2.0", "id": question_id, "method": method, "params": question})
        return await self._answers[question_id]

    async def _until_cancelled(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self.cancelled.append("gone")

    async def _subscribed(self, message: dict[str, Any], receive: Receive, send: Send) -> None:
        stream = Sse(send)
        while not self.takes_note.is_set():  # noqa: ASYNC110 - it is set from another thread
            await asyncio.sleep(0.01)
        filter_ = message["params"]["notifications"]
        await stream.message({"jsonrpc": "2.0", "method": mcp.ACKNOWLEDGED, "params": {"notifications": filter_}})
        await self._listening(stream, receive)

    async def _asked_for_a_stream(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.streams_asked += 1
        while not self.opens_streams.is_set():  # noqa: ASYNC110 - as above
            await asyncio.sleep(0.01)
        await self._listening(Sse(send), receive, _session(scope))

    async def _listening(self, stream: "Sse", receive: Receive, session: int = 0) -> None:
        queue: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        await stream.start()
        self._streams[queue] = session
        self.streams_opened += 1
        gone = asyncio.ensure_future(_gone(receive))
        try:
            while not gone.done():
                news = asyncio.ensure_future(queue.get())
                await asyncio.wait({news, gone}, return_when=asyncio.FIRST_COMPLETED)
                if news.done():
                    await stream.message(news.result())
                else:
                    news.cancel()
        finally:
            gone.cancel()
            self._streams.pop(queue)


@dataclass(slots=True)
class Sse:
    send: Send
    started: bool = False

    async def start(self) -> None:
        if not self.started:
            self.started = True
            headers = [(b"content-type", b"text/event-stream")]
            await self.send({"type": "http.response.start", "status": 200, "headers": headers})
            await self.send({"type": "http.response.body", "body": b": hello\n\n", "more_body": True})

    async def message(self, message: dict[str, Any]) -> None:
        await self.start()
        body = b"data: " + written(message) + b"\n\n"
        await self.send({"type": "http.response.body", "body": body, "more_body": True})

    async def end(self, raw: bytes) -> None:
        await self.send({"type": "http.response.body", "body": b"data: " + raw + b"\n\n"})


def _session(scope: Scope) -> int:
    """The number in the session id; 0 without one."""
    return int(dict(scope["headers"]).get(b"mcp-session-id", b"t0")[1:])


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def plain(send: Send, status: int, body: bytes, headers: Any = ()) -> None:
    kind = [(b"content-type", b"application/json"), *headers]
    await send({"type": "http.response.start", "status": status, "headers": kind})
    await send({"type": "http.response.body", "body": body})


@contextmanager
def talking(version: str, **options: Any) -> Iterator[TalkingUpstream]:
    """The server on a loopback port for as long as the block lasts."""
    upstream = TalkingUpstream(version=version, **options)
    with serving(upstream) as origin:
        upstream.url = f"{origin}/mcp"
        yield upstream
