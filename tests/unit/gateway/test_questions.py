"""Open questions are bounded for each identity, so that nobody makes others unaskable."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from bifrost.gateway import questions as module
from bifrost.gateway.questions import Questions
from bifrost.identity.models import Identity
from bifrost.protocol import jsonrpc
from bifrost.protocol.jsonrpc import RpcError

pytestmark = pytest.mark.anyio

ANN, BEN, CLEO = Identity("vk", "ann"), Identity("vk", "ben"), Identity("vk", "cleo")


class Asking:
    def __init__(self) -> None:
        self.questions = Questions()
        self.asked: list[tuple[str, str]] = []

    async def ask(self, identity: Identity, session: str = "s") -> str:
        async def emit(raw: bytes) -> bool:
            said = json.loads(raw)
            if "id" in said:
                self.asked.append((session, said["id"]))
            return True

        return bytes(await self.questions.ask(session, identity, "roots/list", {}, emit)).decode()

    def answer(self, number: int) -> None:
        session, question_id = self.asked[number]
        message = jsonrpc.decode(jsonrpc.result_response(question_id, {"roots": []}))
        assert self.questions.answered(session, message)

    @asynccontextmanager
    async def open(self, identity: Identity, count: int) -> AsyncIterator[list["asyncio.Task[str]"]]:
        tasks = [asyncio.create_task(self.ask(identity, f"s{number}")) for number in range(count)]
        await asyncio.sleep(0)
        yield tasks
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def test_one_person_leaves_so_many_questions_open_in_whatever_sessions_and_nobody_else_notices(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """TC-211: the upstream is told that it was too much, which is another thing than a client that cannot be asked."""
    monkeypatch.setattr(module, "MAX_OPEN_OF_ONE_IDENTITY", 3)
    asking = Asking()
    async with asking.open(ANN, 3) as open_questions:
        with pytest.raises(RpcError) as refused:
            await asking.ask(ANN, "another")
        assert refused.value.code == jsonrpc.SERVER_ERROR
        async with asking.open(BEN, 3):
            assert len(asking.asked) == 6
        asking.answer(0)
        assert json.loads(await open_questions[0]) == {"roots": []}
        async with asking.open(ANN, 1):
            assert len(asking.asked) == 7
    async with asking.open(ANN, 3):
        assert len(asking.asked) == 10, "questions that were cancelled are open no more"


async def test_all_together_are_bounded_and_who_has_most_makes_room_for_who_has_fewer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """TC-211: some who leave questions open do not make all others unaskable; nobody takes a place from their like."""
    monkeypatch.setattr(module, "MAX_OPEN", 5)
    asking = Asking()
    async with asking.open(BEN, 1) as bens, asking.open(ANN, 4) as anns, asking.open(CLEO, 2) as cleos:
        for task in anns[:2]:
            with pytest.raises(RpcError) as refused:
                await task
            assert refused.value.code == jsonrpc.SERVER_ERROR
        with pytest.raises(RpcError):
            await asking.ask(CLEO)
        asking.answer(0)
        assert json.loads(await bens[0]) == {"roots": []}
        assert not any(task.done() for task in (*anns[2:], *cleos))
    async with asking.open(ANN, 5):
        with pytest.raises(RpcError):
            await asking.ask(ANN)


async def test_a_client_without_a_session_cannot_be_asked() -> None:
    """2025-11-25, transports: nobody could tell whose answer it is."""
    with pytest.raises(RpcError) as refused:
        await Asking().ask(ANN, "")
    assert refused.value.code == jsonrpc.METHOD_NOT_FOUND
