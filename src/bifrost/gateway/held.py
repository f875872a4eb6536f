"""A call that an upstream of the older era is working on while its stateless client answers a question.

The upstream asks in the middle of a call and waits; the client gets the question as a result (`input_required`) and
sends the call again with the answer. In between the call is held here, bounded in time and in number.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import structlog
from msgspec import Raw

from bifrost.base import ids
from bifrost.identity.models import Identity
from bifrost.protocol import jsonrpc, mcp
from bifrost.protocol.jsonrpc import RpcError
from bifrost.upstreams.links.base import Nobody, Requester

MAX_HELD = 1_000
MAX_HELD_BY_ONE_IDENTITY = 64
MAX_HELD_BY_ONE_PRINCIPAL = 16
"""A principal is an identity at one endpoint by one client: who has many of them has no more than one identity's."""

GATHER_SECONDS = 0.02
"""Questions that come together are put together."""

Run = Callable[[Requester], Awaitable[Raw]]

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class _Question:
    method: str
    params: Mapping[str, Raw]
    answer: "asyncio.Future[Raw]"


@dataclass(slots=True)
class HeldCall:
    """Towards the upstream it is the requester for as long as the call lasts; towards clients, for one turn each."""

    id: str
    principal: str
    identity: Identity
    task: "asyncio.Task[Raw] | None" = None
    audience: Requester = field(default_factory=Nobody)
    questions: dict[str, _Question] = field(default_factory=dict)
    _asked: asyncio.Event = field(default_factory=asyncio.Event)
    _count: int = 0

    async def notify(self, method: str, params: dict[str, Raw]) -> None:
        await self.audience.notify(method, params)

    async def ask(self, method: str, params: dict[str, Raw]) -> Raw:
        self._count += 1
        key = f"q{self._count}"
        question = self.questions[key] = _Question(method, params, asyncio.get_running_loop().create_future())
        self._asked.set()
        try:
            return await question.answer
        finally:
            self.questions.pop(key, None)
            if not self.questions:
                self._asked.clear()

    async def turn(self, audience: Requester) -> Raw | dict[str, Any]:
        """The result, or the questions that are open now. Raises whatever the call raises."""
        assert self.task is not None  # noqa: S101 - it is set where the call is made
        self.audience = audience
        try:
            while not await self._has_turned(self.task):
                pass  # what was asked is not wanted any more
            if self.task.cancelled():
                raise gone()  # somebody else who waited for the same call has left
            if self.task.done():
                return self.task.result()
        except asyncio.CancelledError:
            self.task.cancel()  # the client has gone, and to go is to cancel
            raise
        finally:
            self.audience = Nobody()
        return {key: {"method": one.method, "params": one.params} for key, one in self.questions.items()}

    async def _has_turned(self, task: "asyncio.Task[Raw]") -> bool:
        """Waits until it is over or something is asked; False when that was withdrawn at once."""
        asked = asyncio.ensure_future(self._asked.wait())
        try:
            await asyncio.wait({task, asked}, return_when=asyncio.FIRST_COMPLETED)
            if not task.done():
                await asyncio.wait({task}, timeout=GATHER_SECONDS)
        finally:
            asked.cancel()
        return task.done() or bool(self.questions)

    def answered(self, responses: Mapping[str, Raw]) -> None:
        """What it lacks stays open and is asked again."""
        for key, response in responses.items():
            question = self.questions.get(key)
            if question and not question.answer.done() and bytes(response).startswith(b"{"):
                question.answer.set_result(response)
                self.questions.pop(key)
        if not self.questions:
            self._asked.clear()


@dataclass(slots=True)
class HeldCalls:
    _calls: dict[str, HeldCall] = field(default_factory=dict)

    def begin(self, principal: str, identity: Identity, run: Run) -> HeldCall:
        call = HeldCall(ids.new_id("held_"), principal, identity)
        call.task = asyncio.create_task(_awaited(run, call))
        self._calls[call.id] = call
        call.task.add_done_callback(lambda done: self._ended(call.id, done))
        return call

    def keep(self, call: HeldCall) -> None:
        """Whether it may wait for a person. Raises RpcError, and ends it, when too many do."""
        waiting = [other for other in self._calls.values() if other.questions]
        of_one = [other for other in waiting if other.identity == call.identity]
        own = sum(1 for other in of_one if other.principal == call.principal)
        if len(waiting) > MAX_HELD or len(of_one) > MAX_HELD_BY_ONE_IDENTITY or own > MAX_HELD_BY_ONE_PRINCIPAL:
            log.warning("too_many_held_calls", held=len(waiting), by_this_identity=len(of_one))
            if call.task:
                call.task.cancel()
            raise RpcError(jsonrpc.SERVER_ERROR, "Too many calls are waiting for answers. Try again later.")

    def resumed(self, held_id: str, principal: str) -> HeldCall:
        """Raises RpcError: it is over, or another process has it."""
        call = self._calls.get(held_id)
        if call is None or call.principal != principal:
            raise gone()
        return call

    def holds(self, held_id: str) -> bool:
        return held_id in self._calls

    def close(self) -> None:
        for call in [*self._calls.values()]:
            if call.task:
                call.task.cancel()

    def _ended(self, held_id: str, task: "asyncio.Task[Raw]") -> None:
        self._calls.pop(held_id, None)
        if not task.cancelled() and task.exception() is not None:
            log.info("held_call_failed", reason=str(task.exception()))


def gone() -> RpcError:
    return RpcError(
        jsonrpc.INVALID_PARAMS,
        "The call that asked this is not waiting any more. Call again without requestState.",
    )


async def _awaited(run: Run, requester: Requester) -> Raw:
    return await run(requester)


def askable(capabilities: bytes) -> bool:
    """Whether an upstream could ask this client anything."""
    declared = jsonrpc.object_members(Raw(capabilities))
    return any(area in declared for area in mcp.CLIENT_CAPABILITY.values())
