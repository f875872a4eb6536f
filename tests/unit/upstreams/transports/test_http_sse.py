"""HTTP with server-sent events (MCP 2024-11-05) in front of a scripted server."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from typing import Any

import pytest

from bifrost.http.pooled_client import PooledClient
from bifrost.identity.models import Identity
from bifrost.upstreams.auth.none import NoAuth
from bifrost.upstreams.errors import UpstreamUnavailable
from bifrost.upstreams.links.base import Peer
from bifrost.upstreams.links.http import HttpChannel
from bifrost.upstreams.models import Upstream
from bifrost.upstreams.transports import http_sse, streamable_http
from bifrost.upstreams.transports.base import Duplex
from bifrost.upstreams.transports.http_sse import HttpSse, endpoint_url
from bifrost.upstreams.transports.streamable_http import StreamableHttp
from tests.unit.upstreams.links._peer import UPSTREAM

pytestmark = pytest.mark.anyio

STREAM = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"
ENDPOINT = b"event: endpoint\ndata: /messages?session=1\n\n"
ACCEPTED = b"HTTP/1.1 202 Accepted\r\nContent-Length: 8\r\n\r\nAccepted"


class Renewing(NoAuth):
    """Its first credentials are old."""

    def __init__(self) -> None:
        self.token = "old"

    async def headers(self, upstream: Upstream, identity: Identity) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}

    async def refused(self, upstream: Upstream, identity: Identity, sent: Mapping[str, str]) -> bool:
        renewed, self.token = self.token == "old", "new"
        return renewed


class Server:
    """Opens the stream with `begins`, takes messages with `takes`, and refuses old credentials if it should."""

    def __init__(
        self, begins: bytes = STREAM + ENDPOINT, takes: bytes = ACCEPTED, *, refuses_old: bool = False
    ) -> None:
        self.begins, self.takes, self.refuses_old = begins, takes, refuses_old
        self.requests: list[bytes] = []
        self.streams: list[asyncio.StreamWriter] = []
        self.port = 0

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                await self._serve(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        size = next((int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")), 0)
        self.requests.append(head + await reader.readexactly(size))
        if self.refuses_old and b"Bearer old" in head:
            writer.write(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n")
        elif head.startswith(b"GET"):
            self.streams.append(writer)
            writer.write(self.begins)
        else:
            writer.write(self.takes)
        await writer.drain()


@pytest.fixture
async def client() -> AsyncIterator[PooledClient]:
    made = PooledClient()
    yield made
    await made.close()


@pytest.fixture
async def opening(client: PooledClient) -> AsyncIterator[Any]:
    """Opens a pipe to a server."""
    running: list[asyncio.Server] = []

    async def open_pipe(server: Server) -> Duplex:
        running.append(await asyncio.start_server(server, "127.0.0.1", 0))
        server.port = running[-1].sockets[0].getsockname()[1]
        upstream = replace(UPSTREAM, connection_string=f"http://127.0.0.1:{server.port}/sse")
        channel = HttpChannel(
            Peer(upstream=upstream, identity=Identity("vk", "k"), owner="vk:k"),
            StreamableHttp(client, client),
            Renewing(),
        )
        return await HttpSse().open(upstream, "vk:k", channel)

    yield open_pipe
    for one in running:
        one.close()


async def test_messages_are_posted_where_the_stream_says_and_come_back_on_it(opening: Any) -> None:
    """MCP 2024-11-05, transports."""
    server = Server()
    pipe = await opening(server)
    for _ in range(2):
        await pipe.send(b'{"a":1}')
    assert server.requests[0].startswith(b"GET /sse HTTP/1.1\r\n")
    assert b"Accept: text/event-stream" in server.requests[0]
    assert server.requests[1].startswith(b"POST /messages?session=1 HTTP/1.1\r\n")
    assert server.requests[1].endswith(b'\r\n\r\n{"a":1}')
    server.streams[0].write(b': ping\n\nevent: message\ndata: {"b":\ndata: 2}\n\nevent: other\ndata: x\n\ndata: {}\n\n')
    assert [await pipe.receive(), await pipe.receive()] == [b'{"b":\n2}', b"{}"]
    await pipe.close()


async def test_credentials_go_with_the_stream_and_every_message_and_are_renewed_once(opening: Any) -> None:
    """Contract §8: 401 means new credentials, once."""
    server = Server(refuses_old=True)
    pipe = await opening(server)
    await pipe.send(b"{}")
    assert [b"Bearer new" in request for request in server.requests] == [False, True, True]
    await pipe.close()


async def test_a_server_that_goes_on_refusing_is_not_asked_for_ever(opening: Any) -> None:
    """Ours."""
    server = Server(begins=b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n")
    with pytest.raises(UpstreamUnavailable, match="refused this gateway's credentials"):
        await opening(server)
    assert len(server.requests) == 2


async def test_a_stream_that_ends_ends_the_pipe(opening: Any) -> None:
    """MCP 2024-11-05: nothing of it can be resumed."""
    server = Server()
    pipe = await opening(server)
    server.streams[0].close()
    with pytest.raises(UpstreamUnavailable, match="has ended"):
        await pipe.receive()
    await pipe.close()


async def test_whoever_waits_hears_that_the_pipe_was_closed(opening: Any) -> None:
    """Ours."""
    pipe = await opening(Server())
    waiting = asyncio.ensure_future(pipe.receive())
    await asyncio.sleep(0)
    await pipe.close()
    await pipe.close()
    with pytest.raises(UpstreamUnavailable, match="has ended"):
        await waiting
    with pytest.raises(UpstreamUnavailable):
        await pipe.send(b"{}")


@pytest.mark.parametrize("status", [b"404 Not Found", b"410 Gone", b"500 Oops", b"302 Found"])
async def test_a_message_that_is_not_taken_ends_the_pipe(status: bytes, opening: Any) -> None:
    """Ours: the server has forgotten the stream, or is broken; the next request begins anew."""
    pipe = await opening(Server(takes=b"HTTP/1.1 " + status + b"\r\nContent-Length: 0\r\n\r\n"))
    with pytest.raises(UpstreamUnavailable, match=f"HTTP {status[:3].decode()}"):
        await pipe.send(b"{}")
    with pytest.raises(UpstreamUnavailable):
        await pipe.receive()


@pytest.mark.parametrize(
    "begins",
    [
        b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}",
        b"HTTP/1.1 307 Temporary Redirect\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n",
    ],
)
async def test_an_address_without_a_stream_is_said(begins: bytes, opening: Any) -> None:
    """Ours: the administrator chose the wrong connection_type."""
    with pytest.raises(UpstreamUnavailable, match="does not offer HTTP with SSE"):
        await opening(Server(begins=begins))


async def test_a_stream_that_never_says_where_to_post_to_is_given_up(
    opening: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """TC-210."""
    monkeypatch.setattr(http_sse, "OPEN_SECONDS", 0.1)
    with pytest.raises(UpstreamUnavailable, match="did not say where"):
        await opening(Server(begins=STREAM + b"event: message\ndata: {}\n\n"))


async def test_an_event_without_end_is_cut_off(opening: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """TC-211; the limit is for one event, since the stream lasts."""
    monkeypatch.setattr(streamable_http, "MAX_ANSWER_BYTES", 100_000)
    server = Server()
    pipe = await opening(server)
    for _ in range(3):
        server.streams[0].write(b"data: " + b"x" * 60_000 + b"\n\n")
        assert len(await pipe.receive()) == 60_000
    server.streams[0].write(b"data: " + b"x" * 300_000)
    with pytest.raises(UpstreamUnavailable, match="more than 100000 bytes"):
        await pipe.receive()
    await pipe.close()


BASE = replace(UPSTREAM, connection_string="https://mcp.example.com/a/sse?x=y")


@pytest.mark.parametrize(
    ("said", "url"),
    [
        (b"/messages?id=1", "https://mcp.example.com/messages?id=1"),
        (b"messages", "https://mcp.example.com/a/messages"),
        (b"?id=1", "https://mcp.example.com/a/sse?id=1"),
        (b"https://mcp.example.com/m", "https://mcp.example.com/m"),
        (b"https://MCP.example.com:443/m", "https://MCP.example.com:443/m"),
        (b"//mcp.example.com/m", "https://mcp.example.com/m"),
    ],
)
def test_an_address_of_the_same_server_is_taken(said: bytes, url: str) -> None:
    """MCP 2024-11-05, transports; RFC 3986 §5."""
    assert endpoint_url(BASE, said) == url


@pytest.mark.parametrize(
    "said",
    [b"https://evil.example/m", b"//evil.example/m", b"http://mcp.example.com/m", b"https://mcp.example.com:444/m"]
    + [b"https://mcp.example.com@evil.example/m", b"https://mcp.example.com.evil.example/m", b"\xff", b"/m\r\nX: y"]
    + [b"https://user@mcp.example.com/m", b"https:\\\\evil.example/m", b"/" + b"a" * 2_100, b"javascript:alert(1)"]
    + [b"/a b", "/é".encode()],
)
def test_an_address_of_any_other_server_is_refused(said: bytes) -> None:
    """Contract §8: the credentials would go there."""
    with pytest.raises(UpstreamUnavailable, match="another server"):
        endpoint_url(BASE, said)
