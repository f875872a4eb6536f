"""The sample upstream and the gateway in front of it, as two children of this process."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bifrost.quickstart import dev_directory
from bifrost.quickstart.children import Child, ChildFailed, plain_environment
from bifrost.quickstart.dev_directory import DevDirectory

#: Seconds each child has to start; a first start makes a database and keys.
START_SECONDS: Final = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Stack:
    """A running pair; `url` is the MCP endpoint, the demo virtual keys of two people are secrets."""

    url: str
    key: str
    second_key: str
    upstream: Child
    gateway: Child

    async def first_end(self) -> str:
        """Wait until either child ends by itself; the sentence that says which and why."""
        waits = {asyncio.create_task(child.process.wait()): child for child in (self.upstream, self.gateway)}
        try:
            done, _ = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
        return await waits[done.pop()].epitaph()


@contextlib.asynccontextmanager
async def running(directory: Path, port: int, *, show: bool = True) -> AsyncIterator[Stack]:
    """Start both and wait until the gateway is healthy; both are stopped on the way out, the gateway first.

    `show` hands their output on to ours. `ChildFailed` when one does not start, `dev_directory.UnusableDirectory` when
    the directory cannot be used.
    """
    async with contextlib.AsyncExitStack() as stops:
        stops.enter_context(dev_directory.claimed(directory))
        environment = {**plain_environment(), "BIFROST_DATA_DIR": str(directory / "data")}
        try:
            prepared, upstream = await _upstream(directory, environment, stops, show=show)
        except ChildFailed:
            # another program took the port since it was looked at; another one is found the second time
            prepared, upstream = await _upstream(directory, environment, stops, show=show)
        gateway = await Child.start(
            "the gateway",
            ["-m", "bifrost", "serve", "--config", str(prepared.config), "--port", str(port)],
            environment,
            show=show,
        )
        stops.push_async_callback(gateway.stop)
        await gateway.answers(f"http://localhost:{port}/health", statuses=frozenset({200}), seconds=START_SECONDS)
        yield Stack(
            url=f"http://localhost:{port}/mcp",
            key=prepared.key,
            second_key=prepared.second_key,
            upstream=upstream,
            gateway=gateway,
        )


async def _upstream(
    directory: Path, environment: dict[str, str], stops: contextlib.AsyncExitStack, *, show: bool
) -> tuple[DevDirectory, Child]:
    prepared = await asyncio.to_thread(dev_directory.prepare, directory)
    upstream = await Child.start(
        "the sample upstream",
        ["-m", "bifrost.quickstart.upstream", "--port", str(prepared.upstream_port)],
        environment,
        show=show,
    )
    stops.push_async_callback(upstream.stop)
    await upstream.says(f"Sample upstream: http://127.0.0.1:{prepared.upstream_port}/", seconds=START_SECONDS)
    await upstream.answers(
        f"http://127.0.0.1:{prepared.upstream_port}/mcp", statuses=frozenset({405}), seconds=START_SECONDS
    )
    return prepared, upstream


__all__ = ["ChildFailed", "Stack", "running"]
