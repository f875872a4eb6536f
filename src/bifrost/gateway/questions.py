"""Questions that upstreams ask clients of the older era: out on one stream, the answer in with another request."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

import msgspec
import structlog
from msgspec import Raw

from bifrost.base import ids
from bifrost.identity.models import Identity
from bifrost.protocol import jsonrpc, mcp
from bifrost.protocol.jsonrpc import Message, RpcError
from bifrost.upstreams.links.base import PERSON_SECONDS
from bifrost.upstreams.links.refusals import TOO_MANY

Emit = Callable[[bytes], Awaitable[bool]]
"""Sends a message to the client while its request runs; False when the client takes no stream."""

MAX_OPEN = 10_000
MAX_OPEN_OF_ONE_IDENTITY = 1_000
"""So that whoever leaves questions open is the only one who cannot be asked any more."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class _Question:
    identity: Identity
    answer: "asyncio.Future[Raw]"


@dataclass(slots=True)
class Questions:
    """Each belongs to one session, and only that session can answer it."""

    _open: dict[tuple[str, str], _Question] = field(default_factory=dict)
    """The oldest first."""

    _of: Counter[Identity] = field(default_factory=Counter)

    async def ask(self, session: str, identity: Identity, method: str, params: Mapping[str, Raw], emit: Emit) -> Raw:
        """Raises RpcError: the client said no, cannot be asked, has too many questions open, or took too long."""
        if not session:
            raise RpcError(jsonrpc.METHOD_NOT_FOUND, "This client cannot be asked.")
        if self._of[identity] >= MAX_OPEN_OF_ONE_IDENTITY or not self._has_room(identity):
            log.warning("too_many_questions", open=len(self._open), of_this_identity=self._of[identity])
            raise RpcError(jsonrpc.SERVER_ERROR, TOO_MANY)
        question_id = ids.new_id("ask_")
        question = self._open[session, question_id] = _Question(identity, asyncio.get_running_loop().create_future())
        self._of[identity] += 1
        try:
            async with asyncio.timeout(PERSON_SECONDS):
                if not await emit(jsonrpc.request(question_id, method, params)):
                    raise RpcError(jsonrpc.METHOD_NOT_FOUND, "This client cannot be asked.")
                return await question.answer
        except TimeoutError as error:
            raise RpcError(jsonrpc.INTERNAL_ERROR, "The client did not answer in time.") from error
        except asyncio.CancelledError:
            await emit(jsonrpc.notification(mcp.CANCELLED, {"requestId": question_id}))
            raise
        finally:
            self._end((session, question_id))

    def _has_room(self, identity: Identity) -> bool:
        """Where all places are taken, whoever has most of them gives up their oldest for one who has fewer."""
        if len(self._open) < MAX_OPEN:
            return True
        most = max(self._of, key=self._of.__getitem__)
        if self._of[most] <= self._of[identity] + 1:
            return False
        key, question = next((key, one) for key, one in self._open.items() if one.identity == most)
        log.warning("question_given_up", of_this_identity=self._of[most])
        self._end(key)
        if not question.answer.done():
            question.answer.set_exception(RpcError(jsonrpc.SERVER_ERROR, TOO_MANY))
        return True

    def _end(self, key: tuple[str, str]) -> None:
        question = self._open.pop(key, None)
        if question is not None:
            self._of[question.identity] -= 1
            if not self._of[question.identity]:
                del self._of[question.identity]

    def answered(self, session: str, message: Message) -> bool:
        """False when nothing here waits for it."""
        question = self._open.get((session, str(message.id)))
        if question is None or question.answer.done():
            return False
        answer = question.answer
        try:
            answer.set_result(jsonrpc.outcome(message))
        except RpcError as error:
            answer.set_exception(error)
        return True


class OlderClient(msgspec.Struct, frozen=True):
    """Hears everything on the stream of its request, and answers questions if it has a session."""

    session: str
    identity: Identity
    questions: Questions
    emit: Emit

    async def notify(self, method: str, params: dict[str, Raw]) -> None:
        await self.emit(jsonrpc.notification(method, params))

    async def ask(self, method: str, params: dict[str, Raw]) -> Raw:
        return await self.questions.ask(self.session, self.identity, method, params, self.emit)


class StatelessClient(msgspec.Struct, frozen=True):
    """Hears of its own request only: progress, and logs if it wants them (2026-07-28, transports and logging)."""

    log_level: str
    emit: Emit

    async def notify(self, method: str, params: dict[str, Raw]) -> None:
        if method == mcp.PROGRESS or (method == mcp.LOG_MESSAGE and self._wants(params)):
            await self.emit(jsonrpc.notification(method, params))

    async def ask(self, method: str, params: dict[str, Raw]) -> Raw:  # noqa: ARG002 - the interface
        raise RpcError(jsonrpc.METHOD_NOT_FOUND, "A client of this revision is asked with a result.")

    def _wants(self, params: dict[str, Raw]) -> bool:
        if self.log_level not in mcp.LOG_LEVELS:
            return False
        level = jsonrpc.text(params.get("level"))
        return level not in mcp.LOG_LEVELS or mcp.LOG_LEVELS.index(level) >= mcp.LOG_LEVELS.index(self.log_level)
