"""Events are kept by the recorder that is around them, and by nobody else."""

import asyncio

import pytest

from bifrost.base.events import Event, Name, add, heard, tell

pytestmark = pytest.mark.anyio


def test_without_a_recorder_nothing_is_kept() -> None:
    """Ours: a use-case says what it does wherever it runs."""
    tell(Name.CONSENT_DENIED)
    with heard() as events:
        pass
    assert events == []


def test_a_recorder_hears_what_is_told_inside_in_its_order() -> None:
    """Ours."""
    with heard() as events:
        tell(Name.CONSENT_DENIED, actor="vk:1", target="grant_1", client="a name")
        add(Event(name="virtual_key_rotate", result="failure"))
    tell(Name.CONSENT_DENIED)
    assert events == [
        Event(name="consent_denied", actor="vk:1", target="grant_1", details={"client": "a name"}),
        Event(name="virtual_key_rotate", result="failure"),
    ]


async def test_two_requests_at_the_same_time_do_not_hear_each_other() -> None:
    """Ours: a task is a request; what it starts belongs to it."""

    async def request(name: str) -> list[str]:
        with heard() as events:
            for _ in range(3):
                await asyncio.create_task(_tells(name))
            return [event.name for event in events]

    first, second = await asyncio.gather(request("a"), request("b"))
    assert (first, second) == (["a"] * 3, ["b"] * 3)


async def _tells(name: str) -> None:
    await asyncio.sleep(0)
    add(Event(name=name))
