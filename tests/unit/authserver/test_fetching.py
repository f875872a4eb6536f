"""What is fetched for clients: a flood of invented ones leaves the known ones alone."""

import asyncio
from collections.abc import Mapping

import pytest

from bifrost.authserver import fetching
from bifrost.authserver.fetching import Fetching
from bifrost.authserver.limits import Limits
from bifrost.http.client import Fetched, OutsideUnreachable
from tests.support.clock import FakeClock
from tests.support.gateway import RING

pytestmark = pytest.mark.anyio

ANSWER = Fetched(200, {}, b"{}")


class Hosts:
    """They answer when they like."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.answers = asyncio.Event()

    async def fetch(self, url: str, *, headers: Mapping[str, str] | None = None, max_bytes: int = 0) -> Fetched:
        assert headers is not None
        assert max_bytes
        self.asked.append(url)
        await self.answers.wait()
        if "broken" in url:
            raise OutsideUnreachable("The server at this URL gave no usable answer.")
        return ANSWER


class Counters:
    """No limit is near."""

    async def count(self, _bucket: str, add: int, _expires_at: int) -> int:
        return add


async def _ask(one: Fetching, url: str, *, allowed: bool = False) -> Fetched:
    return await one.fetch(url, allowed=allowed, headers={}, max_bytes=5)


@pytest.mark.parametrize("ending", ["answered", "broken", "cancelled"])
async def test_strangers_share_places_and_the_known_have_their_own_way(
    monkeypatch: pytest.MonkeyPatch, clock: FakeClock, ending: str
) -> None:
    """TC-095: who comes too much is told at once, and a place is free again whatever became of its fetch."""
    monkeypatch.setattr(fetching, "MAX_STRANGERS_AT_ONCE", 3)
    known, strangers = Hosts(), Hosts()
    known.answers.set()
    one = Fetching(known, strangers, Limits(Counters(), clock, RING))
    waiting = [asyncio.create_task(_ask(one, f"https://{ending}-{number}.example/")) for number in range(3)]
    await asyncio.sleep(0)
    assert len(strangers.asked) == 3
    with pytest.raises(OutsideUnreachable):
        await _ask(one, "https://late.example/")
    assert len(strangers.asked) == 3
    assert await _ask(one, "https://known.example/", allowed=True) == ANSWER
    assert await _ask(one, "https://claude.ai/client.json") == ANSWER
    assert known.asked == ["https://known.example/", "https://claude.ai/client.json"]
    with pytest.raises(OutsideUnreachable):
        await _ask(one, "https://claude.ai:81/client.json")
    if ending == "cancelled":
        for task in waiting:
            task.cancel()
    strangers.answers.set()
    ended = await asyncio.gather(*waiting, return_exceptions=True)
    assert all((end == ANSWER) is (ending == "answered") for end in ended)
    assert await _ask(one, "https://late.example/") == ANSWER
