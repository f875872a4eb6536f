"""Stopping at any moment (contract §11): what works in the background ends when it is told to, and harms nothing."""

import asyncio

import pytest

from tests.flows._mcp import ask, result_of
from tests.support import oauth
from tests.support.gateway import TestGateway

pytestmark = pytest.mark.anyio

MOMENTS = 300
"""Turns of the event loop after which the background work is stopped, each in its turn."""


async def _turns(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def test_the_sweeper_ends_whenever_it_is_stopped(running: TestGateway) -> None:
    """Contract §11: SIGTERM must not wait for a sweep that has missed its cancellation."""
    missed = []
    for moment in range(MOMENTS):
        # a connection of its own, so that what one moment may have broken does not hide the next one
        await running.gateway.database.close()
        await running.gateway.database.open()
        sweeping = asyncio.create_task(running.gateway.sweeper.run())
        await _turns(moment)
        sweeping.cancel()
        _done, pending = await asyncio.wait({sweeping}, timeout=1)
        if pending:
            missed.append(moment)
            sweeping.cancel()
            await asyncio.wait({sweeping})
    assert missed == []


async def test_work_that_is_stopped_leaves_the_storage_usable(running: TestGateway) -> None:
    """Contract §2: whatever was cancelled, the next request can write again."""
    for moment in range(MOMENTS):
        sweeping = asyncio.create_task(running.gateway.sweeper.sweep())
        await _turns(moment)
        sweeping.cancel()
        await asyncio.wait({sweeping})
    async with running.browser() as browser:
        await oauth.begin(browser, await oauth.register(running.http))
    assert result_of(await ask(running.http, "ping")) == {}
