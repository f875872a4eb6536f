"""The pooled client in front of real listeners."""

import asyncio
import ssl
from pathlib import Path
from typing import Any

import pytest

from bifrost.http import pooled_client
from bifrost.http.addresses import is_public
from bifrost.http.client_connection import ConnectionEnded, HttpFailed
from bifrost.http.pooled_client import PooledClient, RequestRefused, field_lines, locate
from tests.support.tls import Authority, authority
from tests.unit.http._listening import Server, ask, found, resolver, until

pytestmark = pytest.mark.anyio


async def test_a_request_is_sent_as_it_is_and_its_answer_read(client: PooledClient, serve: Any) -> None:
    """RFC 9112 §3."""
    server = await serve(Server())
    assert await ask(client, f"{server.url}?a=b%20c#part", b"body") == b"{}"
    assert server.requests[0] == (
        b"POST /mcp?a=b%20c HTTP/1.1\r\nHost: 127.0.0.1:" + str(server.port).encode() + b"\r\n"
        b"Accept-Encoding: identity\r\nUser-Agent: bifrost\r\nContent-Type: application/json\r\n"
        b"Content-Length: 4\r\n\r\nbody"
    )


async def test_one_connection_serves_one_request_after_the_other(client: PooledClient, serve: Any) -> None:
    """RFC 9112 §9.3."""
    server = await serve(Server())
    for _ in range(5):
        await ask(client, server.url)
    assert (server.connections, len(server.requests)) == (1, 5)


async def test_a_request_that_may_have_been_acted_on_is_not_sent_again(client: PooledClient, serve: Any) -> None:
    """RFC 9110 §9.2.2."""
    server = await serve(Server())
    await ask(client, server.url)
    server.hang_ups = 1
    with pytest.raises(ConnectionEnded):
        await ask(client, server.url)
    assert len(server.requests) == 2


async def test_a_request_that_does_no_harm_twice_is_sent_again_on_a_fresh_connection(
    client: PooledClient, serve: Any
) -> None:
    """RFC 9112 §9.3.1: a resting connection may end at any moment."""
    server = await serve(Server())
    await ask(client, server.url)
    server.hang_ups = 1
    assert await ask(client, server.url, repeatable=True) == b"{}"
    assert (server.connections, len(server.requests)) == (2, 3)


async def test_a_fresh_connection_that_ends_is_not_tried_again_and_again(client: PooledClient, serve: Any) -> None:
    """Ours."""
    server = await serve(Server())
    server.hang_ups = 99
    with pytest.raises(ConnectionEnded):
        await ask(client, server.url, repeatable=True)
    assert server.connections == 1


async def test_a_connection_that_ended_while_it_rested_is_not_used(client: PooledClient, serve: Any) -> None:
    """RFC 9112 §9.5."""
    server = await serve(Server())
    await ask(client, server.url)
    await server.hang_up()
    await asyncio.sleep(0.05)
    assert await ask(client, server.url) == b"{}"


async def test_an_address_of_the_sixth_version_is_asked_under_its_own_name(client: PooledClient) -> None:
    """RFC 3986 §3.2.2: in brackets where it stands for a host, without where it is dialled."""
    server = Server()
    try:
        listening = await asyncio.start_server(server, "::1", 0)
    except OSError:
        pytest.skip("this machine has no IPv6")
    port = listening.sockets[0].getsockname()[1]
    assert await ask(client, f"http://[::1]:{port}/mcp") == b"{}"
    assert f"\r\nHost: [::1]:{port}\r\n".encode() in server.requests[0]
    listening.close()


async def test_of_a_header_there_is_one_and_the_last_that_was_given_counts(client: PooledClient, serve: Any) -> None:
    """RFC 9110 §5.3: two of one name would be read in two ways."""
    server = await serve(Server())
    headers = {"authorization": "Bearer a", "User-Agent": "notes/1", "Authorization": "Bearer b"}
    with await client.ask("POST", server.url, headers=headers, seconds=5) as answer:
        await answer.read(100)
    head = server.requests[0].lower()
    assert head.count(b"authorization:") == 1
    assert b"authorization: bearer b\r\n" in head
    assert head.count(b"user-agent:") == 1


async def test_connections_that_rest_for_long_are_closed(
    client: PooledClient, serve: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ours."""
    monkeypatch.setattr(pooled_client, "IDLE_SECONDS", 0.05)
    server = await serve(Server())
    await ask(client, server.url)
    await until(lambda: not client._connections)
    assert client._pools == {}


async def test_a_stream_is_read_as_it_comes(client: PooledClient, serve: Any) -> None:
    """Ours: server-sent events."""
    server = await serve(Server(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"))
    with await client.ask("GET", server.url, headers={}) as answer:
        server.writers[0].write(b"2\r\nhi\r\n")
        assert await anext(answer.chunks()) == b"hi"


async def test_redirects_are_answers(client: PooledClient, serve: Any) -> None:
    """Contract §8: nowhere else."""
    target = await serve(Server())
    server = await serve(
        Server(b"HTTP/1.1 302 Found\r\nLocation: " + target.url.encode() + b"\r\nContent-Length: 0\r\n\r\n")
    )
    with await client.ask("GET", server.url, headers={}, seconds=5) as answer:
        assert answer.status == 302
    assert target.connections == 0


async def test_proxies_of_the_environment_are_not_used(
    client: PooledClient, serve: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Contract §8: no proxy variables."""
    proxy = await serve(Server())
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, proxy.url)
    server = await serve(Server())
    assert await ask(client, server.url) == b"{}"
    assert proxy.connections == 0


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "[::1]", "10.0.0.1", "[::ffff:127.0.0.1]", "169.254.169.254", "0", "127.1"]
)
async def test_an_address_that_is_not_good_is_never_dialled(host: str, serve: Any) -> None:
    """Contract §8: judged after resolution, whatever it was written like."""
    server = await serve(Server())
    client = PooledClient(vets=is_public)
    with pytest.raises(HttpFailed, match="no address"):
        await ask(client, f"http://{host}:{server.port}/")
    assert server.connections == 0


async def test_the_address_that_was_judged_is_the_one_that_is_dialled(
    serve: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Contract §8: a name is resolved once (DNS rebinding)."""
    server = await serve(Server())
    judged: list[str] = []

    def vets(address: str) -> bool:
        judged.append(address)
        return address == "127.0.0.1"

    resolved: list[str] = []

    def resolve(host: Any, port: Any, **_: Any) -> Any:
        resolved.append(str(host))
        return found("127.0.0.1" if len(resolved) == 1 else "192.0.2.1", port)

    resolver(monkeypatch, resolve)
    client = PooledClient(vets=vets)
    assert await ask(client, f"http://rebinding.example:{server.port}/") == b"{}"
    assert (resolved, judged) == (["rebinding.example"], ["127.0.0.1"])
    await client.close()


async def test_the_next_address_of_a_host_is_tried(
    client: PooledClient, serve: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """RFC 8305 §2."""
    server = await serve(Server())
    resolver(monkeypatch, lambda _host, port, **_: [*found("127.0.0.2", 1), *found("127.0.0.1", port)])
    assert await ask(client, f"http://two.example:{server.port}/") == b"{}"


async def test_tls_is_checked_against_the_authorities(serve: Any, tmp_path: Path) -> None:
    """Ours: a certificate that nobody vouches for is no server of that name."""
    trusted: Authority = authority(tmp_path)
    server = await serve(Server(), ssl=trusted.server)
    url = f"https://localhost:{server.port}/"
    stranger, trusting = PooledClient(), PooledClient(context=lambda: trusted.client)
    with pytest.raises(HttpFailed):
        await ask(stranger, url)
    assert await ask(trusting, url) == b"{}"
    assert await ask(trusting, url) == b"{}"
    assert server.connections == 1
    with pytest.raises(HttpFailed):
        await ask(trusting, f"https://127.0.0.1:{server.port}/")  # the certificate names localhost
    assert not stranger._connections
    await trusting.close()


async def test_tls_is_about_the_name_and_not_about_the_address_that_was_dialled(
    serve: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """RFC 6066 §3, RFC 9110 §4.3.4: the address is pinned, the name is shown and must be in the certificate."""
    trusted: Authority = authority(tmp_path)
    shown: list[str | None] = []
    trusted.server.sni_callback = lambda _object, name, _context: shown.append(name)
    server = await serve(Server(), ssl=trusted.server)
    resolver(monkeypatch, lambda _host, port, **_: found("127.0.0.1", port))
    trusting = PooledClient(context=lambda: trusted.client)
    assert await ask(trusting, f"https://localhost:{server.port}/") == b"{}"
    with pytest.raises(HttpFailed):
        await ask(trusting, f"https://localhost.example:{server.port}/")
    assert shown == ["localhost", "localhost.example"]
    assert len(server.requests) == 1
    await trusting.close()


async def test_the_authorities_are_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """research: a context costs more than a thousand requests."""
    made: list[ssl.SSLContext] = []
    real = pooled_client._machine_context

    def context() -> ssl.SSLContext:
        made.append(real())
        return made[-1]

    client = PooledClient(context=context)
    for _ in range(3):
        with pytest.raises(HttpFailed):
            await ask(client, "https://127.0.0.1:1/")
    assert len(made) <= 1


@pytest.mark.parametrize(
    "url",
    ["ftp://a/", "http://a b/", "http://user@a/", "http://a\\@b/", "http://a/\r\nX: y", "http://a/é", "http://", "//a/"]
    + ["http://a:0/", "http://a:65536/", "http://a:port/", "http://[::1/", "http://a/ HTTP/1.1", "http://a/\0"],
)
def test_a_url_that_could_become_something_else_is_refused(url: str) -> None:
    """Request splitting."""
    with pytest.raises(RequestRefused):
        locate(url)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("X", "a\r\nY: b"),
        ("X", "a\nb"),
        ("X", "a\0"),
        ("X", "\x7f"),
        ("X\r\nY", "a"),
        ("X Y", "a"),
        ("X:", "a"),
        ("", "a"),
    ]
    + [("Host", "b"), ("content-length", "0"), ("Transfer-Encoding", "chunked"), ("Connection", "close"), ("X", "€")],
)
async def test_a_header_that_could_become_something_else_is_refused(
    client: PooledClient, name: str, value: str
) -> None:
    """Request splitting and smuggling."""
    with pytest.raises(RequestRefused):
        await client.ask("POST", "http://127.0.0.1:1/", headers={name: value}, seconds=1)


async def test_a_method_that_changes_how_an_answer_is_read_is_not_sent(client: PooledClient) -> None:
    """RFC 9112 §6.3: answers to HEAD and CONNECT are framed otherwise."""
    for method in ("HEAD", "CONNECT", "get", "POST /x"):
        with pytest.raises(RequestRefused):
            await client.ask(method, "http://127.0.0.1:1/", headers={}, seconds=1)


async def test_a_head_that_was_made_once_is_sent_with_any_body_and_further_lines(
    client: PooledClient, serve: Any
) -> None:
    """RFC 9112 §3; what is the same for every request to a place is put together once."""
    server = await serve(Server())
    head = pooled_client.head("POST", server.url, {"X-A": "1"})
    for body, more in ((b"one", b""), (b"", field_lines({"X-B": "2"})), (b"three", field_lines({"X-C": "3"}))):
        with await client.send(head, body, more=more) as answer:
            assert await answer.read(99) == b"{}"
    ends = [request.partition(b"X-A: 1\r\n")[2] for request in server.requests]
    assert ends == [
        b"Content-Length: 3\r\n\r\none",
        b"X-B: 2\r\nContent-Length: 0\r\n\r\n",
        b"X-C: 3\r\nContent-Length: 5\r\n\r\nthree",
    ]
    assert "X-A" not in repr(head)  # it may be a secret


@pytest.mark.parametrize("fields", [{"X-A": "1\r\nX-B: 2"}, {"X-A: 1\r\nX-B": "2"}, {"Host": "evil"}, {"": "1"}])
def test_further_lines_are_one_field_each(fields: dict[str, str]) -> None:
    """RFC 9110 §5.5: nothing that is put into a field can become another one, or the end of the head."""
    with pytest.raises(RequestRefused):
        field_lines(fields)
