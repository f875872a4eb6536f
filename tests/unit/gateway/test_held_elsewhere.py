"""A held call is resumed from another process as it would be here (contract §7 and §10)."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from msgspec import Raw

from bifrost.gateway import held_elsewhere
from bifrost.gateway import letters as letters_module
from bifrost.gateway.errors import TooManyLetters
from bifrost.gateway.held import HeldCall, HeldCalls, Run
from bifrost.gateway.held_elsewhere import HeldElsewhere
from bifrost.gateway.letter_limits import LETTERS, LetterLimits
from bifrost.identity.models import Identity
from bifrost.protocol.jsonrpc import RpcError
from bifrost.storage.database import StorageUnavailable
from bifrost.upstreams.links.base import Requester
from tests.support.clock import FakeClock
from tests.support.servers import until
from tests.unit.gateway._letters import PostBox, letters

pytestmark = pytest.mark.anyio

OWNER = "vk:1  /mcp"


class Process:
    def __init__(self, box: PostBox, clock: FakeClock) -> None:
        self.held = HeldCalls()
        self.letters = letters(box, clock)
        self.elsewhere = HeldElsewhere(self.held, self.letters, LetterLimits(clock))
        self.letters.handlers |= self.elsewhere.reads()
        self.letters.concerns |= self.elsewhere.concerns()
        self.task = asyncio.create_task(self.letters.run())

    async def asked(self, run: Run) -> HeldCall:
        """A call that waits for the answer to its first question."""
        call = self.held.begin(OWNER, Identity("vk", "k"), run)
        assert isinstance(await call.turn(_Nobody()), dict)
        return call


class _Nobody:
    async def notify(self, method: str, params: dict[str, Raw]) -> None: ...

    async def ask(self, method: str, params: dict[str, Raw]) -> Raw:
        raise AssertionError(method)


def answering(then: Callable[[], Awaitable[Raw]]) -> Run:
    async def run(requester: Requester) -> Raw:
        await requester.ask("sampling/createMessage", {})
        return await then()

    return run


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(letters_module, "POLL_SECONDS", 0.002)
    monkeypatch.setattr(held_elsewhere, "TAKEN_SECONDS", 1.0)
    monkeypatch.setattr(held_elsewhere, "SIGN_SECONDS", 0.02)
    monkeypatch.setattr(held_elsewhere, "SILENCE_SECONDS", 1.0)


@asynccontextmanager
async def processes(clock: FakeClock) -> AsyncIterator[tuple[Process, Process, PostBox]]:
    box = PostBox()
    first, second = Process(box, clock), Process(box, clock)
    await asyncio.sleep(0.01)
    try:
        async with asyncio.timeout(20):
            yield first, second, box
    finally:
        for process in (first, second):
            process.task.cancel()
            process.held.close()


async def test_a_large_result_comes_through(clock: FakeClock) -> None:
    """As large as an upstream's answer may be."""
    large = Raw(b'{"text":"' + b"x" * (15 * 1024 * 1024) + b'"}')

    async def result() -> Raw:
        return large

    async with processes(clock) as (here, there, _):
        call = await here.asked(answering(result))
        assert await there.elsewhere.turn(call.id, OWNER, {"q1": Raw(b"{}")}) == large


async def test_a_result_that_is_too_large_is_an_error_at_once(
    clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody waits for what cannot come."""
    monkeypatch.setattr(letters_module, "MAX_BODY_BYTES", 500)

    async def result() -> Raw:
        return Raw(b'{"text":"' + b"x" * 500 + b'"}')

    async with processes(clock) as (here, there, _):
        call = await here.asked(answering(result))
        with pytest.raises(RpcError, match="too large to be passed on between processes"):
            await there.elsewhere.turn(call.id, OWNER, {"q1": Raw(b"{}")})


async def test_a_client_that_leaves_cancels_the_call_in_the_other_process(clock: FakeClock) -> None:
    """2026-07-28, cancellation: to go away is to cancel."""
    ended = asyncio.Event()

    async def result() -> Raw:
        try:
            await asyncio.sleep(60)
        finally:
            ended.set()
        return Raw(b"{}")

    async with processes(clock) as (here, there, _):
        call = await here.asked(answering(result))
        turn = asyncio.create_task(there.elsewhere.turn(call.id, OWNER, {"q1": Raw(b"{}")}))
        await until(lambda: bool(here.elsewhere._tasks))
        turn.cancel()
        await ended.wait()
        await until(lambda: not here.held.holds(call.id) and not here.elsewhere._tasks)


async def test_a_state_that_is_sent_again_and_again_fills_no_table(clock: FakeClock) -> None:
    """Contract §10: it stays good for ten minutes, and each time every process would be asked for its call."""
    box = PostBox(away=True)
    elsewhere = HeldElsewhere(HeldCalls(), letters(box, clock), LetterLimits(clock))
    for _ in range(LETTERS.most):
        with pytest.raises(StorageUnavailable):
            await elsewhere.turn("held_gone", OWNER, {})
    with pytest.raises(TooManyLetters):
        await elsewhere.turn("held_gone", OWNER, {})
    with pytest.raises(StorageUnavailable):
        await elsewhere.turn("held_gone", "vk:2  /mcp", {})


async def test_a_process_that_ends_in_the_middle_is_not_waited_for(
    clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever waits learns within half a minute that the call is gone."""
    monkeypatch.setattr(held_elsewhere, "SILENCE_SECONDS", 0.2)

    async def result() -> Raw:
        await asyncio.sleep(60)
        return Raw(b"{}")

    async with processes(clock) as (here, there, _):
        call = await here.asked(answering(result))
        turn = asyncio.create_task(there.elsewhere.turn(call.id, OWNER, {"q1": Raw(b"{}")}))
        await until(lambda: bool(here.elsewhere._tasks))
        await asyncio.sleep(0.5)
        assert not turn.done(), "signs are given for as long as it works"
        for task in here.elsewhere._tasks.values():
            task.cancel()
        with pytest.raises(RpcError, match="not waiting any more"):
            await turn


@pytest.mark.parametrize(
    ("fault", "code", "data"),
    [
        (RpcError(-32042, "Open this.", b'{"a":1}', {"b": Raw(b"2")}), -32042, b'{"a":1}'),
        (KeyError("secret"), -32603, None),
    ],
)
async def test_an_error_comes_through_as_it_is_and_a_fault_of_ours_without_its_cause(
    clock: FakeClock, fault: Exception, code: int, data: bytes | None
) -> None:
    """Contract §2: no cause leaves in a message."""

    async def result() -> Raw:
        raise fault

    async with processes(clock) as (here, there, _):
        call = await here.asked(answering(result))
        with pytest.raises(RpcError) as raised:
            await there.elsewhere.turn(call.id, OWNER, {"q1": Raw(b"{}")})
        assert (raised.value.code, raised.value.data) == (code, data)
        assert raised.value.more == getattr(fault, "more", {})
        assert "secret" not in raised.value.message


async def test_nobody_elses_call_is_resumed(clock: FakeClock) -> None:
    """Contract §7: another principal finds no such call, and it goes on waiting for its own."""

    async def result() -> Raw:
        return Raw(b'{"mine":1}')

    async with processes(clock) as (here, there, _):
        call = await here.asked(answering(result))
        with pytest.raises(RpcError, match="not waiting any more"):
            await there.elsewhere.turn(call.id, "vk:2  /mcp", {"q1": Raw(b"{}")})
        assert await there.elsewhere.turn(call.id, OWNER, {"q1": Raw(b"{}")}) == Raw(b'{"mine":1}')


async def test_two_who_wait_for_one_call_are_told_when_one_of_them_leaves(clock: FakeClock) -> None:
    """A client may send the same answer twice; that one of the two goes away is no fault of the server's."""

    async def result() -> Raw:
        await asyncio.sleep(60)
        return Raw(b"{}")

    async with processes(clock) as (here, _, _box):
        call = await here.asked(answering(result))
        call.answered({"q1": Raw(b"{}")})
        one, other = (asyncio.create_task(call.turn(_Nobody())) for _ in range(2))
        await asyncio.sleep(0.01)
        one.cancel()
        with pytest.raises(RpcError, match="not waiting any more"):
            await other
