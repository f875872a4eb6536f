"""What an upstream is told of questions that were too many: each is refused, one after the other.

It may ask again when some are answered; not to be told would leave it waiting for ever.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import structlog

from bifrost.base.errors import DomainError
from bifrost.protocol import jsonrpc
from bifrost.protocol.jsonrpc import RpcError

MAX_REFUSALS = 1_000
"""That an upstream has not taken yet; whoever does not read what it is told is told no more."""

MAX_QUESTION_ID = 256
"""Characters of the id of a question that is refused."""

TOO_MANY = "Too many questions to this client are open. Ask again when some are answered."

log = structlog.get_logger()


@dataclass(slots=True)
class Refusals:
    """What an upstream is told of the questions that were too many, one after the other."""

    upstream: str
    respond: Callable[[bytes], Awaitable[None]]
    _ids: deque[jsonrpc.Id] = field(default_factory=deque)
    _task: "asyncio.Task[None] | None" = None

    def add(self, question_id: jsonrpc.Id) -> None:
        if len(self._ids) >= MAX_REFUSALS or len(str(question_id)) > MAX_QUESTION_ID:
            return
        self._ids.append(question_id)
        if self._task is None:
            log.warning("too_many_questions", upstream=self.upstream)
            self._task = asyncio.create_task(self._tell())

    def end(self) -> None:
        self._ids.clear()
        if self._task is not None:
            self._task.cancel()

    async def _tell(self) -> None:
        try:
            while self._ids:
                refusal = RpcError(jsonrpc.SERVER_ERROR, TOO_MANY)
                await self.respond(jsonrpc.error_response(self._ids.popleft(), refusal))
        except DomainError as error:
            self._ids.clear()
            log.warning("upstream_question_unanswered", upstream=self.upstream, reason=error.message)
        finally:
            self._task = None
