"""Whoever lets one wait in vain lets nobody else wait (contract §7: lists return the rest)."""

import asyncio

import pytest

from bifrost.gateway import patience
from bifrost.gateway.patience import FAILURES_BEFORE_REST, InVain, Patience
from bifrost.protocol.jsonrpc import INTERNAL_ERROR, RpcError
from tests.support.clock import FakeClock

pytestmark = pytest.mark.anyio

LONG = 60.0


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "BUDGET_SECONDS", 0.01)
    monkeypatch.setattr(patience, "GLANCE_SECONDS", 0.0)


class Work:
    """Hangs until it is let go, and counts how often it was begun."""

    def __init__(self) -> None:
        self.begun = 0
        self.let_go = asyncio.Event()
        self.error: Exception | None = None

    async def __call__(self) -> str:
        self.begun += 1
        await self.let_go.wait()
        if self.error:
            raise self.error
        return "answer"

    async def end(self) -> None:
        self.let_go.set()
        for _ in range(5):
            await asyncio.sleep(0)


async def test_what_hangs_is_begun_once_and_waited_for_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """TC-210: however many lists are asked for meanwhile, nothing piles up behind them."""
    waits, work = Patience(FakeClock()), Work()
    with pytest.raises(TimeoutError):
        await waits.within("up", "tools", work)
    monkeypatch.setattr(patience, "BUDGET_SECONDS", LONG)
    monkeypatch.setattr(patience, "GLANCE_SECONDS", LONG)
    async with asyncio.timeout(5):
        for _ in range(20):
            with pytest.raises(TimeoutError):
                await waits.within("up", "tools", work)
    assert work.begun == 1
    await work.end()


async def test_other_things_of_one_who_hangs_get_a_glance(monkeypatch: pytest.MonkeyPatch) -> None:
    """TC-210: one that hangs at its prompts may still have tools."""
    waits, hangs, answers = Patience(FakeClock()), Work(), Work()
    with pytest.raises(TimeoutError):
        await waits.within("up", "prompts", hangs)
    monkeypatch.setattr(patience, "BUDGET_SECONDS", LONG)
    async with asyncio.timeout(5):
        with pytest.raises(TimeoutError):
            await waits.within("up", "tools", Work())
    monkeypatch.setattr(patience, "GLANCE_SECONDS", LONG)
    answers.let_go.set()
    assert await waits.within("up", "resources", answers) == "answer"
    await hangs.end()


@pytest.mark.parametrize("fails", [False, True])
async def test_who_answered_after_all_is_waited_for_again_and_who_failed_is_not(
    monkeypatch: pytest.MonkeyPatch, *, fails: bool
) -> None:
    """A time-out at the end says nothing better of an upstream than no answer at all."""
    waits, work = Patience(FakeClock()), Work()
    with pytest.raises(TimeoutError):
        await waits.within("up", "tools", work)
    work.error = ValueError() if fails else None
    await work.end()
    monkeypatch.setattr(patience, "BUDGET_SECONDS", LONG)
    late = Work()
    asyncio.get_running_loop().call_later(0.05, late.let_go.set)
    if fails:
        with pytest.raises(TimeoutError):
            await waits.within("up", "tools", late)
    else:
        assert await waits.within("up", "tools", late) == "answer"
    await late.end()


async def test_one_who_refuses_at_once_is_not_one_who_hangs() -> None:
    """What is raised in time is raised, and the next one asks again."""
    waits, work = Patience(FakeClock()), Work()
    work.error = ValueError("no")
    work.let_go.set()
    for _ in range(2):
        with pytest.raises(ValueError, match="no"):
            await waits.within("up", "tools", work)
    assert work.begun == 2


async def test_nobody_waits_for_the_sake_of_somebody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    """With accounts of their own, people have nothing to do with each other."""
    waits, work, other = Patience(FakeClock()), Work(), Work()
    with pytest.raises(TimeoutError):
        await waits.within("anna", "tools", work)
    monkeypatch.setattr(patience, "BUDGET_SECONDS", LONG)
    asyncio.get_running_loop().call_later(0.05, other.let_go.set)
    assert await waits.within("bert", "tools", other) == "answer"
    await work.end()


async def test_one_who_fails_again_and_again_is_asked_once_a_second() -> None:
    """It is asked again at once, and later; not by each of the many who ask for a list meanwhile."""
    clock, work = FakeClock(), Work()
    waits = Patience(clock)
    work.error = RpcError(INTERNAL_ERROR, "no")
    work.let_go.set()
    for _ in range(FAILURES_BEFORE_REST):
        with pytest.raises(RpcError):
            await waits.within("up", "tools", work)
    for _ in range(20):
        with pytest.raises(InVain):
            await waits.within("up", "tools", work)
    assert work.begun == FAILURES_BEFORE_REST
    clock.advance(seconds=1)
    with pytest.raises(RpcError):
        await waits.within("up", "tools", work)
    clock.advance(seconds=1)
    work.error = None
    assert [await waits.within("up", "tools", work) for _ in range(3)] == ["answer"] * 3
