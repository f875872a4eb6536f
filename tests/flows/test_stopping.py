"""Stopping at any moment (contract §11): what works in the background ends when it is told to, and harms nothing."""

import asyncio
from pathlib import Path

import pytest

from bifrost.app import build
from bifrost.governance.errors import WeakVirtualKey
from bifrost.settings import load
from bifrost.storage.database import StorageUnavailable
from tests.flows._mcp import ask, result_of
from tests.support import oauth
from tests.support.gateway import RING, TestGateway, configuration

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


async def test_a_start_that_is_refused_leaves_nothing_open(database_url: str, tmp_path: Path) -> None:
    """Contract §11: whoever asked for the start may try again, with nothing of the first one in the way."""
    weak = {"virtual_keys": [{"name": "weak", "value": "sk-bf-short"}]}
    gateway = build(load(None, {}, configuration(database_url, tmp_path, governance=weak)), ring=RING)
    with pytest.raises(WeakVirtualKey):
        async with gateway.lifespan():
            pass
    with pytest.raises(StorageUnavailable):
        async with gateway.database.transaction():
            pass
