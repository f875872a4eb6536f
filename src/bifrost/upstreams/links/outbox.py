"""What a pipe says to one requester, in order: whoever reads slowly holds up neither the pipe nor others on it."""

import asyncio
from collections import deque
from dataclasses import dataclass, field

import structlog

from bifrost.protocol.jsonrpc import Id, Message
from bifrost.upstreams.links.base import Running

MAX_MESSAGES = 256
MAX_BYTES = 4 * 1024 * 1024
"""Of the messages that wait, unless it is a single one. What comes on top is lost: it would be read too late."""

log = structlog.get_logger()


@dataclass(eq=False, slots=True)
class Outbox:
    running: Running
    _waiting: deque[tuple[Message, int]] = field(default_factory=deque)
    _bytes: int = 0
    _lost: int = 0
    _task: "asyncio.Task[None] | None" = None

    def put(self, message: Message, size: int) -> None:
        if len(self._waiting) >= MAX_MESSAGES or (self._bytes and self._bytes + size > MAX_BYTES):
            self._lost += 1
            return
        self._waiting.append((message, size))
        self._bytes += size
        if self._task is None:
            self._task = asyncio.create_task(self._deliver())

    def asked(self, question_id: Id) -> bool:
        """Whether this question is put to the requester, or waits to be."""
        return bool(self.running.asked(question_id)) or any(one.id == question_id for one, _ in self._waiting)

    async def emptied(self) -> None:
        """Waits until everything has been taken: what is said before an answer comes before it."""
        if self._task is not None:
            await asyncio.wait({self._task})

    def end(self) -> None:
        self._waiting.clear()
        if self._task is not None:
            self._task.cancel()
        if self._lost:
            log.warning("requester_too_slow", upstream=self.running.peer.upstream.name, messages_lost=self._lost)

    async def _deliver(self) -> None:
        try:
            while self._waiting:
                message, size = self._waiting.popleft()
                self._bytes -= size
                await self.running.incoming(message)
        except Exception:
            log.exception("unexpected_error", upstream=self.running.peer.upstream.name)
        finally:
            self._task = None
