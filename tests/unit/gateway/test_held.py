"""Calls that wait for a person are bounded, and whoever is over the bound takes nothing from anybody else."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from msgspec import Raw

from bifrost.gateway import held as module
from bifrost.gateway.held import HeldCall, HeldCalls
from bifrost.identity.models import Identity
from bifrost.protocol.jsonrpc import RpcError
from bifrost.upstreams.links.base import Nobody, Requester

pytestmark = pytest.mark.anyio

ANN, BEN = Identity("vk", "ann"), Identity("vk", "ben")


async def asks(requester: Requester) -> Raw:
    return await requester.ask("roots/list", {})


async def works(_requester: Requester) -> Raw:
    await asyncio.Event().wait()
    return Raw(b"{}")


@asynccontextmanager
async def held_calls() -> AsyncIterator[HeldCalls]:
    held = HeldCalls()
    yield held
    held.close()
    await asyncio.sleep(0)


async def waits(held: HeldCalls, principal: str, identity: Identity) -> HeldCall:
    """Raises RpcError."""
    call = held.begin(principal, identity, asks)
    assert isinstance(await call.turn(Nobody()), dict)
    held.keep(call)
    return call


async def test_a_person_with_many_clients_and_endpoints_holds_no_more_than_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """TC-211: each client at each endpoint is a principal of its own."""
    monkeypatch.setattr(module, "MAX_HELD_BY_ONE_IDENTITY", 3)
    async with held_calls() as held:
        for number in range(3):
            await waits(held, f"ann at {number}", ANN)
        with pytest.raises(RpcError, match="Too many calls"):
            await waits(held, "ann at 4", ANN)
        await waits(held, "ben", BEN)


async def test_calls_at_work_are_no_calls_that_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ours: an upstream that hangs is no reason why nobody can be asked anything."""
    monkeypatch.setattr(module, "MAX_HELD", 2)
    async with held_calls() as held:
        for number in range(5):
            held.begin(f"ann at {number}", ANN, works)
        await waits(held, "ben", BEN)
        await waits(held, "ben at another", BEN)
        with pytest.raises(RpcError, match="Too many calls"):
            await waits(held, "ann", ANN)


async def test_one_that_was_refused_ends_and_leaves_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ours: nobody would ever answer it."""
    monkeypatch.setattr(module, "MAX_HELD_BY_ONE_PRINCIPAL", 1)
    async with held_calls() as held:
        kept = await waits(held, "ann", ANN)
        refused = held.begin("ann", ANN, asks)
        await refused.turn(Nobody())
        with pytest.raises(RpcError):
            held.keep(refused)
        assert refused.task is not None
        await asyncio.wait({refused.task}, timeout=5)
        assert refused.task.cancelled()
        kept.answered({next(iter(kept.questions)): Raw(b"{}")})
        assert isinstance(await kept.turn(Nobody()), Raw)
        await asyncio.sleep(0)
        await waits(held, "ann", ANN)


async def test_a_question_that_is_withdrawn_is_not_waited_for_any_more() -> None:
    """2025-11-25, cancellation: the call goes on, and nobody is asked for an answer that is not wanted."""

    async def changes_its_mind(requester: Requester) -> Raw:
        question = asyncio.ensure_future(requester.ask("elicitation/create", {}))
        await asyncio.sleep(0)
        question.cancel()
        await asyncio.gather(question, return_exceptions=True)
        await asyncio.sleep(module.GATHER_SECONDS * 2)
        return Raw(b'{"without":1}')

    async with held_calls() as held:
        assert await held.begin("ann", ANN, changes_its_mind).turn(Nobody()) == Raw(b'{"without":1}')
