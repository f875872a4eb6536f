"""A server that answers with the bytes it is told, and what tests of the pooled client ask it with."""

import asyncio
import socket
from collections.abc import Callable
from typing import Any

import pytest

from bifrost.http import names
from bifrost.http.pooled_client import PooledClient

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"


class Server:
    """Answers every request with the same bytes, but for as many as it hangs up on; and remembers."""

    def __init__(self, answer: bytes = ANSWER) -> None:
        self.answer = answer
        self.connections = self.hang_ups = 0
        self.requests: list[bytes] = []
        self.writers: list[asyncio.StreamWriter] = []
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/mcp"

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.writers.append(writer)
        try:
            while True:
                await self.serve(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        size = next((int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")), 0)
        self.requests.append(head + await reader.readexactly(size))
        if self.hang_ups:
            self.hang_ups -= 1
            raise ConnectionError
        writer.write(self.answer)
        await writer.drain()

    async def hang_up(self) -> None:
        for writer in self.writers:
            writer.close()
            await writer.wait_closed()


async def ask(client: PooledClient, url: str, body: bytes = b"{}", **options: Any) -> bytes:
    with await client.ask(
        "POST", url, headers={"Content-Type": "application/json"}, body=body, **{"seconds": 5, **options}
    ) as answer:
        return await answer.read(1_000)


def found(address: str, port: int) -> list[Any]:
    """As a resolver says it."""
    return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]


def resolver(monkeypatch: pytest.MonkeyPatch, answers: Callable[..., Any]) -> None:
    """Asked for names; literals are known without."""
    real = socket.getaddrinfo

    def resolve(host: Any, port: Any, **options: Any) -> Any:
        return real(host, port, **options) if options.get("flags") else answers(host, port, **options)

    monkeypatch.setattr(names, "getaddrinfo", resolve)


async def until(holds: Callable[[], bool]) -> None:
    """Raises TimeoutError."""
    async with asyncio.timeout(5):
        while not holds():  # noqa: ASYNC110 - what happens here tells nobody
            await asyncio.sleep(0.01)
