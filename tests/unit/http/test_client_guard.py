"""The outbound client in front of real listeners: what it refuses, it never dials."""

import asyncio
import contextlib
import gzip
import re
import socket
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from bifrost.http import client, names
from bifrost.http.addresses import is_public
from bifrost.http.client import OutboundClient, OutsideUnreachable, OutsideUrlRefused
from bifrost.http.client_connection import HttpFailed

pytestmark = pytest.mark.anyio


class Listener:
    """Counts connections and answers each with the same bytes."""

    def __init__(self, answer: bytes = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}") -> None:
        self.answer = answer
        self.connections = 0
        self.requests: list[bytes] = []
        self.port = 0

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        head = await reader.readuntil(b"\r\n\r\n")
        length = re.search(rb"content-length: (\d+)", head.lower())
        self.requests.append(head + (await reader.readexactly(int(length[1])) if length else b""))
        writer.write(self.answer)
        await writer.drain()
        writer.close()


@pytest.fixture
async def listening() -> AsyncIterator[Callable[..., Any]]:
    servers: list[asyncio.Server] = []

    async def listen(listener: Listener) -> Listener:
        server = await asyncio.start_server(listener, "127.0.0.1", 0)
        servers.append(server)
        listener.port = server.sockets[0].getsockname()[1]
        return listener

    yield listen
    for server in servers:
        server.close()


@pytest.fixture
async def guarded() -> AsyncIterator[OutboundClient]:
    client = OutboundClient(vets=is_public, development=False)
    yield client
    await client.close()


@pytest.fixture
async def developing() -> AsyncIterator[OutboundClient]:
    client = OutboundClient(vets=is_public, development=True)
    yield client
    await client.close()


@pytest.mark.parametrize(
    "url",
    [
        "http://example.com/",
        "ftp://example.com/",
        "file:///etc/passwd",
        "javascript:alert(1)",
        "https://user@example.com/",
        "https://example.com/#fragment",
        "https://example.com\\@evil.example/",
        "https://ex ample.com/",
        "https://",
        "//example.com/",
        "https://example.com/\r\nHost: evil",
    ],
)
async def test_a_url_that_is_not_plain_https_is_refused(guarded: OutboundClient, url: str) -> None:
    """Contract §8: https only, nothing hidden in the URL."""
    with pytest.raises(OutsideUrlRefused):
        await guarded.fetch(url)


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.1", "2130706433", "0x7f.1", "localhost", "[::1]", "[::ffff:127.0.0.1]"]
)
async def test_loopback_is_never_dialled_in_production(
    guarded: OutboundClient, listening: Callable[..., Any], host: str
) -> None:
    """TC-098: every spelling resolves to an address, and the address is judged where the socket is made."""
    listener = await listening(Listener())
    with pytest.raises(OutsideUnreachable):
        await guarded.fetch(f"https://{host}:{listener.port}/")
    assert listener.connections == 0


@pytest.mark.parametrize(
    ("vets", "development", "reached"),
    [(is_public, False, False), (lambda _address: True, False, True), (is_public, True, True)],
    ids=["in production", "in a network that the operator opened", "in development"],
)
async def test_an_upstream_added_from_afar_is_judged_by_its_address_at_every_connection(
    listening: Callable[..., Any], vets: Callable[[str], bool], *, development: bool, reached: bool
) -> None:
    """TC-100: as when it was added, so that its name cannot lead elsewhere later."""
    listener, added = await listening(Listener()), OutboundClient(vets=vets, development=development)
    try:
        asking = added.vetted.ask("GET", f"http://127.0.0.1:{listener.port}/", headers={})
        if reached:
            with await asking as answer:
                assert await answer.read(10) == b"{}"
        else:
            with pytest.raises(HttpFailed):
                await asking
        assert listener.connections == int(reached)
    finally:
        await added.close()


async def test_a_name_that_turns_bad_after_the_first_look_is_not_dialled(
    guarded: OutboundClient, listening: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """TC-100, DNS rebinding: a resolver with two answers; each is judged when it is used, not when it was looked up."""
    listener = await listening(Listener())
    dialled: list[str] = []

    def resolve(*_args: Any, flags: int = 0, **_kwargs: Any) -> list[Any]:
        if flags:
            raise socket.gaierror  # it is no literal
        addresses = ("1.1.1.1", "127.0.0.1")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, listener.port)) for address in addresses]

    async def dial(_socket: Any, address: Any) -> None:
        dialled.append(str(address[0]))
        raise OSError("the outside is not reached in tests")

    monkeypatch.setattr(names, "getaddrinfo", resolve)
    monkeypatch.setattr(asyncio.get_running_loop(), "sock_connect", dial)
    with pytest.raises(OutsideUnreachable):
        await guarded.fetch(f"https://rebinding.example:{listener.port}/")
    assert dialled == ["1.1.1.1"]
    assert listener.connections == 0


@pytest.mark.parametrize("host", ["10.0.0.1", "169.254.169.254", "192.168.0.1", "fd00::1", "0.0.0.0"])  # noqa: S104 - judged
async def test_development_opens_loopback_and_nothing_else(developing: OutboundClient, host: str) -> None:
    """Contract §8: loopback only in development; the network around a developer's machine is not for strangers."""
    assert not developing._may_contact(host)
    assert developing._may_contact("127.0.0.1")


async def test_a_redirect_is_an_answer_and_not_followed(
    developing: OutboundClient, listening: Callable[..., Any]
) -> None:
    """TC-099, TC-127, R64: credentials and body are not sent on."""
    other = await listening(Listener())
    location = f"Location: http://127.0.0.1:{other.port}/\r\n".encode()
    listener = await listening(
        Listener(b"HTTP/1.1 307 Temporary Redirect\r\n" + location + b"Content-Length: 0\r\n\r\n")
    )
    fetched = await developing.fetch(f"http://127.0.0.1:{listener.port}/", method="POST", body=b"secret")
    assert fetched.status == 307
    assert other.connections == 0


async def test_an_answer_that_would_unfold_is_not_taken(
    developing: OutboundClient, listening: Callable[..., Any]
) -> None:
    """TC-101: a small gzip that unfolds into megabytes; no coding was asked for, so none is undone."""
    packed = gzip.compress(b"0" * 4_000_000)
    head = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(packed)
    listener = await listening(Listener(head + packed))
    with pytest.raises(OutsideUnreachable):
        await developing.fetch(f"http://127.0.0.1:{listener.port}/")
    assert b"accept-encoding: identity" in listener.requests[0].lower()


async def test_an_answer_is_cut_off_at_its_cap(developing: OutboundClient, listening: Callable[..., Any]) -> None:
    """TC-101: 256 KiB are more than any document of metadata or keys has."""
    for size, fits in ((256 * 1024, True), (256 * 1024 + 1, False)):
        listener = await listening(Listener(b"HTTP/1.1 200 OK\r\n\r\n" + b"0" * size))
        url = f"http://127.0.0.1:{listener.port}/"
        if fits:
            assert (await developing.fetch(url)).body == b"0" * size
            continue
        with pytest.raises(OutsideUnreachable):
            await developing.fetch(url)


async def test_no_cookie_is_kept_and_no_proxy_is_asked(
    developing: OutboundClient, listening: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A jar or a proxy shared by everybody would mix people up, or see them."""
    listener = await listening(Listener(b"HTTP/1.1 200 OK\r\nSet-Cookie: a=b\r\nContent-Length: 2\r\n\r\n{}"))
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    for _ in range(2):
        assert (await developing.fetch(f"http://127.0.0.1:{listener.port}/")).body == b"{}"
    assert all(b"cookie" not in request.lower() for request in listener.requests)


async def test_every_failure_looks_the_same(guarded: OutboundClient, listening: Callable[..., Any]) -> None:
    """TC-104: open, closed, refused and unresolvable tell a stranger nothing about the network."""
    listener = await listening(Listener())
    messages = set()
    for host in (f"127.0.0.1:{listener.port}", "127.0.0.1:9", "10.0.0.1", "no-such-host.invalid"):
        with pytest.raises(OutsideUnreachable) as caught:
            await guarded.fetch(f"https://{host}/")
        messages.add(caught.value.message)
    assert len(messages) == 1


async def test_what_is_asked_is_what_arrives(developing: OutboundClient, listening: Callable[..., Any]) -> None:
    """Contract §8: a token request is a POST with a body and an Authorization; a document is a bare GET."""
    listener = await listening(Listener())
    url = f"http://127.0.0.1:{listener.port}/token?a=b"
    await developing.fetch(url)
    await developing.fetch(url, method="POST", body=b"grant_type=x", headers={"Authorization": "Basic eDp5"})
    document, token = listener.requests
    assert document.startswith(b"GET /token?a=b HTTP/1.1\r\n")
    assert document.endswith(b"\r\n\r\n")
    assert b"authorization" not in document.lower()
    assert token.startswith(b"POST /token?a=b HTTP/1.1\r\n")
    assert b"\r\nauthorization: basic edp5\r\n" in token.lower()
    assert token.endswith(b"\r\n\r\ngrant_type=x")


async def test_what_cannot_be_sent_is_unreachable_too(guarded: OutboundClient) -> None:
    """Contract §2: whatever a document names, it is never a 500."""
    with pytest.raises(OutsideUnreachable):
        await guarded.fetch("https://as.example.com:65536/")


async def test_a_server_that_says_nothing_is_given_up(
    developing: OutboundClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """TC-101: whoever names a URL cannot hold a request for longer than the time that is given to it."""
    monkeypatch.setattr(client, "FETCH_SECONDS", 0.05)

    async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async with await asyncio.start_server(say_nothing, "127.0.0.1", 0) as silent:
        with pytest.raises(OutsideUnreachable):
            await developing.fetch(f"http://127.0.0.1:{silent.sockets[0].getsockname()[1]}/")


async def test_after_the_end_nothing_is_open_and_nothing_is_asked() -> None:
    """Contract §11: a process that stops leaves no connection behind, neither inside nor outside."""
    ended: list[asyncio.Event] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        over = asyncio.Event()
        ended.append(over)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
        with contextlib.suppress(OSError):
            await reader.read()
        over.set()
        writer.close()

    both = OutboundClient(vets=is_public, development=True)
    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        await both.fetch(url)
        for door in (both.inside, both.vetted):
            with await door.ask("GET", url, headers={}) as answer:
                await answer.read(100)
        await both.close()
        await asyncio.gather(*(asyncio.wait_for(over.wait(), 30) for over in ended))
        assert len(ended) == 3
        with pytest.raises(OutsideUnreachable):
            await both.fetch(url)
