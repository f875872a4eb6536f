"""The pooled client when things go wrong: servers that hang or end, names that hang, callers that leave."""

import asyncio
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from bifrost.http import pooled_client
from bifrost.http.client_connection import ConnectionEnded, HttpFailed
from bifrost.http.pooled_client import PooledClient
from tests.unit.http._listening import ANSWER, Server, ask, found, resolver, until

pytestmark = pytest.mark.anyio


async def test_requests_at_once_have_a_connection_each_up_to_a_limit(
    client: PooledClient, serve: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ours: whoever comes later waits for a connection, in turn."""
    monkeypatch.setattr(pooled_client, "MAX_CONNECTIONS_PER_ORIGIN", 3)
    server = await serve(Server())
    answers = await asyncio.gather(*(ask(client, server.url) for _ in range(20)))
    assert answers == [b"{}"] * 20
    assert server.connections == 3


async def test_a_place_that_becomes_free_is_taken_by_whoever_waits(
    client: PooledClient, serve: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ours: also when connections end instead of becoming free."""
    monkeypatch.setattr(pooled_client, "MAX_CONNECTIONS_PER_ORIGIN", 2)
    server = await serve(Server(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}"))
    assert await asyncio.gather(*(ask(client, server.url) for _ in range(10))) == [b"{}"] * 10
    assert server.connections == 10


async def test_waiting_for_a_place_has_an_end(
    client: PooledClient, serve: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """TC-210: and whoever gave up does not take the place of the next."""
    monkeypatch.setattr(pooled_client, "MAX_CONNECTIONS_PER_ORIGIN", 1)
    server = await serve(Server(b""))
    first = asyncio.ensure_future(ask(client, server.url, seconds=0.4))
    await asyncio.sleep(0)
    for waits in (ask(client, server.url, seconds=0.05), first):
        with pytest.raises(TimeoutError):
            await waits
    server.answer = ANSWER
    assert await ask(client, server.url) == b"{}"


async def test_streams_without_an_end_never_take_the_connections_of_calls(
    client: PooledClient, serve: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """TC-210: sessions whose clients went away go on listening; one stream too many is refused and waits for nobody."""
    monkeypatch.setattr(pooled_client, "MAX_CONNECTIONS_PER_ORIGIN", 2)
    endless = await serve(Server(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"))
    streams = [await client.ask("GET", endless.url, headers={}, lasting=True) for _ in range(2)]
    with pytest.raises(HttpFailed, match="too many streams"):
        await client.ask("GET", endless.url, headers={}, lasting=True)
    endless.answer = ANSWER
    assert await ask(client, endless.url) == b"{}"
    streams.pop().close()
    await until(lambda: sum(pool.open for pool in client._pools.values()) < 3)
    (await client.ask("GET", endless.url, headers={}, lasting=True)).close()
    streams.pop().close()


async def test_an_answer_that_nobody_asked_for_is_not_taken_for_the_next_one(client: PooledClient, serve: Any) -> None:
    """RFC 9112 §11.1: not even when it came a moment before the next request."""
    server = await serve(Server())
    await ask(client, server.url)
    server.writers[0].write(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison")
    await server.writers[0].drain()
    time.sleep(0.05)  # noqa: ASYNC251 - it has come, and this loop has not seen it yet
    assert await ask(client, server.url) == b"{}"
    assert server.connections == 2


async def test_whoever_waits_is_served_also_when_every_connection_ends_at_once(
    client: PooledClient, serve: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """TC-210: a server that is restarted, with more callers waiting than it has connections."""
    monkeypatch.setattr(pooled_client, "MAX_CONNECTIONS_PER_ORIGIN", 3)
    server = await serve(Server(b""))
    first = [asyncio.ensure_future(ask(client, server.url)) for _ in range(3)]
    await until(lambda: len(server.requests) == 3)
    waiting = [asyncio.ensure_future(ask(client, server.url)) for _ in range(10)]
    await asyncio.sleep(0)
    server.answer = ANSWER
    await server.hang_up()
    assert {type(error) for error in await asyncio.gather(*first, return_exceptions=True)} == {ConnectionEnded}
    assert await asyncio.gather(*waiting) == [b"{}"] * 10
    assert [len(pool.resting) for pool in client._pools.values()] == [len(client._connections)]


async def test_a_server_that_hangs_takes_no_connection_from_another(
    client: PooledClient, serve: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """TC-210: places are for one origin."""
    monkeypatch.setattr(pooled_client, "MAX_CONNECTIONS_PER_ORIGIN", 2)
    slow, quick = await serve(Server(b"")), await serve(Server())
    hanging = [asyncio.ensure_future(ask(client, slow.url)) for _ in range(20)]
    await until(lambda: len(slow.requests) == 2)
    assert await asyncio.gather(*(ask(client, quick.url, seconds=2) for _ in range(20))) == [b"{}"] * 20
    for one in hanging:
        one.cancel()
    await asyncio.gather(*hanging, return_exceptions=True)
    await until(lambda: len(client._connections) == 2)  # those of the quick one


async def test_a_name_that_hangs_keeps_nobody_else_from_their_addresses(
    client: PooledClient, serve: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """TC-210: a resolver cannot be called off, so one name has one thread, however often it is asked for."""
    server = await serve(Server())
    released, asked = threading.Event(), []

    def resolve(host: str, port: int, **_: Any) -> Any:
        asked.append(host)
        if host == "hangs.example":
            released.wait(10)
        return found("127.0.0.1", port)

    resolver(monkeypatch, resolve)
    hanging = [asyncio.ensure_future(ask(client, f"http://hangs.example:{server.port}/")) for _ in range(100)]
    try:
        await until(lambda: "hangs.example" in asked)
        assert await ask(client, f"http://quick.example:{server.port}/") == b"{}"
        for one in hanging:
            one.cancel()
        await asyncio.gather(*hanging, return_exceptions=True)
    finally:
        released.set()
    assert asked == ["hangs.example", "quick.example"]


async def test_whoever_leaves_while_a_connection_is_made_leaves_nothing_behind(
    client: PooledClient, serve: Any, tmp_path: Path
) -> None:
    """TC-213: in the name, in the dial, or in the greeting of TLS."""
    server = await serve(Server(b""))  # does not know TLS, and says nothing
    for _ in range(5):
        leaving = asyncio.ensure_future(ask(client, f"https://127.0.0.1:{server.port}/"))
        await until(lambda: bool(server.writers))
        leaving.cancel()
        await asyncio.gather(leaving, return_exceptions=True)
        assert leaving.cancelled()
        server.writers.clear()
    assert (client._pools, client._connections) == ({}, set())


async def test_a_closed_client_asks_nothing_more(client: PooledClient, serve: Any) -> None:
    """Contract §11: the process is stopping."""
    server = await serve(Server())
    await client.close()
    with pytest.raises(HttpFailed, match="closed"):
        await ask(client, server.url)
    assert server.connections == 0


async def test_a_connection_that_is_made_while_the_client_closes_is_not_kept(
    client: PooledClient, serve: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Contract §11: a stopping process tells its upstreams goodbye; nothing of that outlives it."""
    server = await serve(Server())
    addresses = await client._names.addresses("127.0.0.1", server.port)
    looked, go_on = asyncio.Event(), asyncio.Event()

    async def slow(_host: str, _port: int) -> Any:
        looked.set()
        await go_on.wait()
        return addresses

    monkeypatch.setattr(client._names, "addresses", slow)
    asking = asyncio.ensure_future(ask(client, server.url))
    await looked.wait()
    await client.close()
    go_on.set()
    with pytest.raises(HttpFailed, match="closed"):
        await asking
    await until(lambda: not client._connections)


async def test_an_answer_that_takes_too_long_is_given_up(client: PooledClient, serve: Any) -> None:
    """TC-210: also one whose head came in time."""
    for begun in (b"", b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{"):
        server = await serve(Server(begun))
        with pytest.raises(TimeoutError):
            await ask(client, server.url, seconds=0.1)


async def test_a_caller_who_leaves_takes_the_connection_along(client: PooledClient, serve: Any) -> None:
    """TC-213."""
    server = await serve(Server(b""))
    leaving = asyncio.ensure_future(ask(client, server.url))
    await until(lambda: bool(server.requests))
    leaving.cancel()
    await asyncio.gather(leaving, return_exceptions=True)
    await until(lambda: not client._connections)


async def test_a_host_that_does_not_answer_is_a_failure(client: PooledClient) -> None:
    """TC-210."""
    for url in ("http://127.0.0.1:1/", "http://does-not-exist.invalid/", "http://127.0.0.1:1/x"):
        with pytest.raises(HttpFailed):
            await ask(client, url)
    assert client._pools == {}
