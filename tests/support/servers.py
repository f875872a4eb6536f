"""Real servers on loopback ports: an ASGI application in a thread, and any program in a process."""

import asyncio
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import uvicorn

START_SECONDS = 20.0
NO_AUTHORITIES = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""For clients that speak plain HTTP: left to itself, each would read the system's authorities, for 20 ms."""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Server(uvicorn.Server):
    """One that is told from another thread when to end, and ends as soon as it can.

    Its own looks for that ten times a second, and then waits a tenth of one for each thing to be over: most of what a
    short test would take.
    """

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = threading.Event()
        self._told = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None

    def end(self) -> None:
        self.should_exit = True
        with suppress(RuntimeError):  # it has ended already
            if self._loop:
                self._loop.call_soon_threadsafe(self._told.set)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        self._loop = asyncio.get_running_loop()
        await super().startup(sockets)
        self.ready.set()

    async def main_loop(self) -> None:
        while not await self.on_tick(0):  # which makes the header with the date
            with suppress(TimeoutError):
                await asyncio.wait_for(self._told.wait(), 1)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for server in self.servers:
            server.close()
        for listening in sockets or []:
            listening.close()
        for connection in list(self.server_state.connections):
            connection.shutdown()
        try:
            async with asyncio.timeout(self.config.timeout_graceful_shutdown):
                await asyncio.sleep(0)
                while self.server_state.connections or self.server_state.tasks:  # noqa: ASYNC110 - uvicorn has no event
                    await asyncio.sleep(0.005)
                for server in self.servers:
                    await server.wait_closed()
        except TimeoutError:
            for task in self.server_state.tasks:
                task.cancel()
        await self.lifespan.shutdown()


@contextmanager
def serving(app: Any, port: int | None = None, **options: Any) -> Iterator[str]:
    """The origin at which the application answers, for as long as the block lasts. `options` are uvicorn's."""
    port = port or free_port()
    settings = {"log_level": "critical", "ws": "none", "timeout_graceful_shutdown": 1, **options}
    config = uvicorn.Config(app, host="127.0.0.1", port=port, **settings)
    server = Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        if not server.ready.wait(START_SECONDS):
            raise RuntimeError(f"the application did not start in {START_SECONDS:g} seconds")
        yield f"{'https' if 'ssl_certfile' in options else 'http'}://127.0.0.1:{port}"
    finally:
        server.end()
        thread.join(START_SECONDS)


@contextmanager
def process(
    command: list[str], *, ready_url: str, env: Mapping[str, str], log: Path
) -> Iterator[subprocess.Popen[bytes]]:
    """A program that is ready when its URL answers 200; killed at the end if it has not ended by itself."""
    with log.open("ab") as output, subprocess.Popen(command, env=dict(env), stdout=output, stderr=output) as running:
        try:
            _wait(lambda: _answers(running, ready_url, log), ready_url)
            yield running
        finally:
            running.kill()


def _answers(running: "subprocess.Popen[bytes]", url: str, log: Path) -> bool:
    if running.poll() is not None:
        raise RuntimeError(f"it ended with {running.returncode}: {log.read_text()[-2000:]}")
    try:
        with urlopen(url, timeout=1) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


async def until(holds: Callable[[], object], seconds: float = START_SECONDS) -> None:
    """For what happens in another thread or process."""
    async with asyncio.timeout(seconds):
        while not holds():  # noqa: ASYNC110 - there is no event to wait for across threads
            await asyncio.sleep(0.01)


def _wait(ready: Any, what: str) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not ready():
        if time.monotonic() > deadline:
            raise RuntimeError(f"{what} did not start in {START_SECONDS:g} seconds")
        time.sleep(0.02)
