"""An application of a few lines on a real socket, and a client that sends what it is told, in the pieces it is told."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from uvicorn._types import ASGIReceiveCallable, ASGISendCallable, Scope
from uvicorn.server import ServerState

from bifrost.http.server_protocol import LimitedProtocol

PATIENCE = 10.0
LARGE = b"x" * (32 * 1024 * 1024)
PIECE = 64 * 1024


@dataclass
class Application:
    """/body answers with the size of the body, /wait when it may, /begin half an answer; anything else at once.

    /much is more than fits into the buffers of both sides, and /much-in-pieces the same in pieces.
    """

    heads: list[dict[str, Any]] = field(default_factory=list)
    may_answer: asyncio.Event = field(default_factory=asyncio.Event)
    began: asyncio.Event = field(default_factory=asyncio.Event)

    async def __call__(self, scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        request: dict[str, Any] = dict(scope)
        self.heads.append(request)
        said = request["path"].encode()
        self.began.set()
        if said == b"/body":
            said = await _size(receive)
        if said == b"/wait":
            await self.may_answer.wait()
        if said == b"/much":
            said = LARGE
        if said == b"/much-in-pieces":
            await send({"type": "http.response.start", "status": 200, "headers": []})
            for _ in range(0, len(LARGE), PIECE):
                await send({"type": "http.response.body", "body": LARGE[:PIECE], "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})
            return
        length = str(len(said)).encode()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", length)]})
        if said == b"/begin":
            await self.may_answer.wait()
        await send({"type": "http.response.body", "body": said, "more_body": False})


async def _size(receive: ASGIReceiveCallable) -> bytes:
    size = 0
    while (message := await receive())["type"] == "http.request":
        size += len(message["body"])
        if not message["more_body"]:
            break
    return str(size).encode()


@dataclass
class Server:
    port: int
    application: Application
    state: ServerState
    made: list[LimitedProtocol]
    overdue: asyncio.Queue[None]

    @asynccontextmanager
    async def connected(self) -> AsyncIterator["Client"]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            yield Client(reader, writer)
        finally:
            writer.close()


@dataclass
class Client:
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def send(self, data: bytes, *, piece: int = 1 << 20) -> None:
        for start in range(0, len(data), piece):
            self.writer.write(data[start : start + piece])
            await self.writer.drain()

    async def ask(self, path: str) -> bytes:
        await self.send(f"GET {path} HTTP/1.1\r\n\r\n".encode())
        return await self.answer()

    async def answer(self) -> bytes:
        """The body of one answer with status 200."""
        head = await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), PATIENCE)
        assert head.startswith(b"HTTP/1.1 200 "), head
        length = int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0])
        return await self.reader.readexactly(length)

    async def rest(self) -> bytes:
        """Everything until the server closes."""
        return await asyncio.wait_for(self.reader.read(), PATIENCE)
