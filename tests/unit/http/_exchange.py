"""One connection of the pooled client, fed by hand."""

import asyncio
from typing import cast

from bifrost.http.client_connection import Answer, ClientConnection, HttpFailed

OK = b"HTTP/1.1 200 OK\r\n"
PLAIN = OK + b"Content-Length: 5\r\nX-A: 1\r\n\r\nhello"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2;x=y\r\nlo\r\n0\r\nX-Trailer: t\r\n\r\n"
UNTIL_END = OK + b"Content-Type: text/plain\r\n\r\nhello"


class Transport:
    """Remembers what it was told."""

    def __init__(self) -> None:
        self.written = b""
        self.unsent = 0
        self.closed = self.paused = False

    def write(self, data: bytes) -> None:
        self.written += data

    def get_write_buffer_size(self) -> int:
        return self.unsent

    def is_closing(self) -> bool:
        return self.closed

    def pause_reading(self) -> None:
        self.paused = True

    def resume_reading(self) -> None:
        self.paused = False

    def abort(self) -> None:
        self.closed = True


class Exchange:
    """A connection with one request under way."""

    def __init__(self) -> None:
        self.free: list[ClientConnection] = []
        self.connection = ClientConnection(self.free.append, lambda _: None)
        self.transport = Transport()
        self.connection.connection_made(cast("asyncio.BaseTransport", self.transport))
        self.answer = self.connection.ask(b"GET / HTTP/1.1\r\n\r\n", None)

    def feed(self, *pieces: bytes) -> "Exchange":
        for piece in pieces:
            if not self.transport.closed:
                self.connection.data_received(piece)
        return self

    def is_paused(self) -> bool:
        return self.transport.paused

    def end(self) -> "Exchange":
        self.connection.connection_lost(None)
        return self

    def outcome(self) -> tuple[int, bytes] | str:
        """Status and body, or what went wrong."""
        return asyncio.run(outcome_of(self.answer))


async def begun(answer: Answer) -> None:
    """Its head has come."""
    while not answer.status:
        await answer.news()


async def outcome_of(answer: Answer) -> tuple[int, bytes] | str:
    try:
        async with asyncio.timeout(1):
            await begun(answer)
            return answer.status, await answer.read(1_000_000)
    except HttpFailed as error:
        return str(error)


def exchanged(*pieces: bytes, end: bool = False) -> Exchange:
    async def run() -> Exchange:
        exchange = Exchange().feed(*pieces)
        return exchange.end() if end else exchange

    return asyncio.run(run())
