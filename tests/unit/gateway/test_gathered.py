"""A change that is said on many links is told once."""

import asyncio
from collections.abc import Collection

import pytest

from bifrost.gateway import gathered
from bifrost.gateway.gathered import Gathered, News
from bifrost.protocol import mcp

pytestmark = pytest.mark.anyio


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    monkeypatch.setattr(gathered, "GATHER_SECONDS", 0.01)
    return []


def gathering(told: list[object]) -> Gathered:
    def announce(news: Collection[News]) -> None:
        told.append(sorted(news))

    return Gathered(lambda upstream_id, method: told.append((upstream_id, method)), announce)


async def test_it_is_old_at_once_and_told_once_when_it_is_old_again(told: list[object]) -> None:
    """Whoever asks in between has a list from before the last of them; whoever is told asks for a new one."""
    one = gathering(told)
    for _ in range(1_000):
        one.add("up_1", mcp.TOOLS_CHANGED, "")
    one.add("up_1", mcp.TOOLS_CHANGED, "vk:a")
    assert told == [("up_1", mcp.TOOLS_CHANGED)]
    await asyncio.sleep(0.05)
    both = [("up_1", mcp.TOOLS_CHANGED, ""), ("up_1", mcp.TOOLS_CHANGED, "vk:a")]
    assert told[1:] == [("up_1", mcp.TOOLS_CHANGED), both]


async def test_what_comes_later_is_told_too(told: list[object]) -> None:
    one = gathering(told)
    one.add("up_1", mcp.TOOLS_CHANGED, "")
    await asyncio.sleep(0.05)
    told.clear()
    one.add("up_1", mcp.TOOLS_CHANGED, "")
    await asyncio.sleep(0.05)
    assert told[-1] == [("up_1", mcp.TOOLS_CHANGED, "")]


async def test_nothing_is_told_by_a_process_that_stops(told: list[object]) -> None:
    one = gathering(told)
    one.close()
    one.add("up_1", mcp.TOOLS_CHANGED, "")
    one.close()
    await asyncio.sleep(0.05)
    assert told == [("up_1", mcp.TOOLS_CHANGED)]
