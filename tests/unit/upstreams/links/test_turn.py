"""Turns on a pipe, and that nobody waits for somebody else's person."""

import asyncio

import pytest

from bifrost.upstreams.links.turn import InTurn, Occupied, Turn
from tests.unit.upstreams.links._peer import Keeps

pytestmark = pytest.mark.anyio


async def _take(turn: Turn, order: list[str], name: str, until: asyncio.Event) -> None:
    async with turn.taken():
        order.append(name)
        await until.wait()


async def test_one_after_the_other() -> None:
    """2025-11-25: a pipe does not say which request a question belongs to."""
    turn, order, go = Turn(), list[str](), asyncio.Event()
    tasks = [asyncio.create_task(_take(turn, order, name, go)) for name in "abc"]
    await asyncio.sleep(0)
    assert order == ["a"]
    go.set()
    await asyncio.gather(*tasks)
    assert order == ["a", "b", "c"]


async def test_whoever_comes_or_waits_while_a_person_is_asked_is_sent_away() -> None:
    """A person may take ten minutes; the caller's next call has nothing to do with that."""
    turn, go = Turn(), asyncio.Event()
    first = asyncio.create_task(_take(turn, [], "first", go))
    await asyncio.sleep(0)
    waiting = asyncio.create_task(_take(turn, [], "waiting", go))
    await asyncio.sleep(0)
    with turn.asking():
        with pytest.raises(Occupied):
            await waiting
        with pytest.raises(Occupied):
            async with turn.taken():
                pass
    go.set()
    await first


async def test_after_the_answer_the_turn_is_waited_for_again() -> None:
    turn, order, go = Turn(), list[str](), asyncio.Event()
    first = asyncio.create_task(_take(turn, order, "first", go))
    await asyncio.sleep(0)
    with turn.asking():
        pass
    second = asyncio.create_task(_take(turn, order, "second", go))
    await asyncio.sleep(0)
    assert order == ["first"]
    go.set()
    await asyncio.gather(first, second)


async def test_a_call_that_was_given_up_leaves_its_turn_to_the_next() -> None:
    turn, order, never = Turn(), list[str](), asyncio.Event()
    first = asyncio.create_task(_take(turn, order, "first", never))
    await asyncio.sleep(0)
    second = asyncio.create_task(_take(turn, order, "second", never))
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.wait({first})
    await asyncio.sleep(0.01)
    assert order == ["first", "second"]
    second.cancel()
    await asyncio.wait({second})


async def test_a_question_passes_through_and_is_noticed() -> None:
    turn = Turn()
    keeps = Keeps()
    whose = InTurn(keeps, turn)
    async with turn.taken():
        await whose.notify("notifications/message", {})
        await whose.ask("elicitation/create", {})
    assert [method for method, _ in keeps.heard + keeps.asked] == ["notifications/message", "elicitation/create"]
