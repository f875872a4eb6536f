"""Real listeners, and a client of ours that leaves nothing open."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from bifrost.http.pooled_client import PooledClient


@pytest.fixture
async def serve() -> AsyncIterator[Callable[..., Any]]:
    running: list[asyncio.Server] = []

    async def listen(server: Any, **options: Any) -> Any:
        running.append(await asyncio.start_server(server, "127.0.0.1", 0, **options))
        server.port = running[-1].sockets[0].getsockname()[1]
        return server

    yield listen
    for one in running:
        one.close()


@pytest.fixture
async def client() -> AsyncIterator[PooledClient]:
    made = PooledClient()
    yield made
    await made.close()
    assert not made._connections
