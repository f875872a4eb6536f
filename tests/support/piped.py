"""The three ways to the same MCP server: its HTTP endpoint, the older HTTP with server-sent events, and a program's pipe.

A server is an ASGI application that answers POST. Over a pipe each message is one such request, and what it answers, be
it JSON or events, are messages on the pipe; `notifications/cancelled` is the end of the request that it names. The
program is a relay to the server in the test's own process, so a test sees what arrives there whatever lies in between.
"""

import asyncio
import json
import sys
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bifrost.protocol import mcp
from tests.support.servers import START_SECONDS, serving

RELAY = str(Path(__file__).with_name("relay_program.py"))
MAX_LINE = 16 * 1024 * 1024
Write = Callable[[bytes], Awaitable[None]]


@dataclass(slots=True)
class Pipe:
    """One conversation over a pipe; `write` takes one message."""

    app: ASGIApp
    write: Write
    _ended: dict[Any, asyncio.Event] = field(default_factory=dict)
    _requests: "set[asyncio.Task[None]]" = field(default_factory=set)

    def received(self, raw: bytes) -> None:
        message = json.loads(raw)
        if message.get("method") == mcp.CANCELLED:
            self._ended.get(message["params"]["requestId"], asyncio.Event()).set()
        ended = asyncio.Event()
        if "method" in message and "id" in message:
            self._ended[message["id"]] = ended
        request = asyncio.ensure_future(self._request(raw, ended))
        self._requests.add(request)
        request.add_done_callback(self._requests.discard)

    async def close(self) -> None:
        for request in [*self._requests]:
            request.cancel()
        await asyncio.gather(*self._requests, return_exceptions=True)

    async def _request(self, raw: bytes, ended: asyncio.Event) -> None:
        body, events = [raw], False

        async def receive() -> Message:
            if body:
                return {"type": "http.request", "body": body.pop(), "more_body": False}
            await ended.wait()
            return {"type": "http.disconnect"}

        async def send(message: Message) -> None:
            nonlocal events
            if message["type"] == "http.response.start":
                events = (b"content-type", b"text/event-stream") in message["headers"]
                return
            said: bytes = message["body"]
            for one in [line[6:] for line in said.split(b"\n") if line.startswith(b"data: ")] if events else [said]:
                if one:
                    await self.write(one)

        await self.app({"type": "http", "method": "POST", "path": "/mcp", "headers": []}, receive, send)


@dataclass(slots=True)
class OlderHttp:
    """HTTP with server-sent events of 2024-11-05: a stream that says where to post, and then carries every answer."""

    app: ASGIApp
    _pipes: dict[str, Pipe] = field(default_factory=dict)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        if scope["method"] == "GET":
            await self._stream(receive, send)
            return
        body, more = b"", True
        while more:
            chunk = await receive()
            body, more = body + chunk.get("body", b""), chunk.get("more_body", False)
        (name,) = parse_qs(scope["query_string"].decode())["session"]
        await send({"type": "http.response.start", "status": 202, "headers": []})
        await send({"type": "http.response.body", "body": b""})
        self._pipes[name].received(body)

    async def _stream(self, receive: Receive, send: Send) -> None:
        name = f"s{len(self._pipes)}"

        async def event(kind: bytes, data: bytes) -> None:
            body = b"event: " + kind + b"\ndata: " + data + b"\n\n"
            await send({"type": "http.response.body", "body": body, "more_body": True})

        async def write(raw: bytes) -> None:
            await event(b"message", raw)

        pipe = self._pipes[name] = Pipe(self.app, write)
        headers = [(b"content-type", b"text/event-stream")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await event(b"endpoint", b"/messages?session=" + name.encode())
        while (await receive())["type"] != "http.disconnect":
            pass
        await pipe.close()


@contextmanager
def lines(app: ASGIApp) -> Iterator[int]:
    """The server behind a loopback port that takes and gives a message a line, for as long as the block lasts."""
    loop, port, stop = asyncio.new_event_loop(), [0], asyncio.Event()
    started = threading.Event()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async def write(raw: bytes) -> None:
            writer.write(raw + b"\n")
            await writer.drain()

        pipe = Pipe(app, write)
        try:
            while line := await reader.readline():
                pipe.received(line.rstrip(b"\n"))
        finally:
            await pipe.close()
            writer.close()

    async def serve() -> None:
        server = await asyncio.start_server(connected, "127.0.0.1", 0, limit=MAX_LINE)
        port[0] = server.sockets[0].getsockname()[1]
        started.set()
        await stop.wait()
        server.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()), daemon=True)
    thread.start()
    assert started.wait(START_SECONDS)
    try:
        yield port[0]
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(START_SECONDS)
        loop.close()


@contextmanager
def reached(transport: str, app: ASGIApp) -> Iterator[dict[str, Any]]:
    """The members of a `mcp.client_configs` entry by which the server is reached, for as long as the block lasts."""
    if transport == "stdio":
        with lines(app) as port:
            config = {"command": sys.executable, "args": ["-SE", RELAY, str(port)]}
            yield {"connection_type": "stdio", "stdio_config": config}
        return
    with serving(OlderHttp(app) if transport == "sse" else app) as origin:
        path = "/sse" if transport == "sse" else "/mcp"
        yield {"connection_type": transport, "connection_string": f"{origin}{path}"}
