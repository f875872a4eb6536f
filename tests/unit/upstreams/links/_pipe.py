"""A pipe whose other side is the test."""

import asyncio
import json
from typing import Any

from bifrost.upstreams.errors import UpstreamUnavailable
from bifrost.upstreams.links.duplex import DuplexLink, open_link
from tests.unit.upstreams.links._peer import peer

GREETING = {
    "protocolVersion": "2025-11-25",
    "capabilities": {"logging": {}},
    "serverInfo": {"name": "n", "version": "1"},
}


class Pipe:
    """Keeps what is sent; the test puts in what comes."""

    def __init__(self, *answers: dict[str, Any]) -> None:
        self.sent: list[dict[str, Any]] = []
        self.inbox: asyncio.Queue[bytes | None] = asyncio.Queue()
        self.answers = list(answers)
        self.closed = False
        self.on_trial = False

    async def send(self, message: bytes) -> None:
        self.sent.append(json.loads(message))
        if "id" in self.sent[-1] and "method" in self.sent[-1] and self.answers:
            self.says(id=self.sent[-1]["id"], **self.answers.pop(0))

    async def receive(self) -> bytes:
        message = await self.inbox.get()
        if message is None:
            raise UpstreamUnavailable("notes has ended.")
        return message

    async def close(self) -> None:
        self.closed = True

    def says(self, **members: Any) -> None:
        self.inbox.put_nowait(json.dumps({"jsonrpc": "2.0", **members}).encode())


async def opened(pipe: Pipe, **more: Any) -> DuplexLink:
    pipe.answers.insert(0, {"result": GREETING})
    return await open_link(peer(**more), pipe)


async def until(pipe: Pipe, count: int) -> None:
    async with asyncio.timeout(10):
        while len(pipe.sent) < count:  # noqa: ASYNC110 - nothing to wait on but the other side of the pipe
            await asyncio.sleep(0)
