"""One open stream of one client, and what waits in it."""

import asyncio
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from msgspec import Raw

from bifrost.gateway.models import KINDS, Call
from bifrost.protocol import jsonrpc, mcp
from bifrost.protocol.jsonrpc import Id

MAX_WAITING = 256
"""Messages that a stream keeps for a client that reads slowly; then it ends, and the client opens a new one."""

MAX_WAITING_BYTES = 4 * 1024 * 1024
"""Of these messages together, unless it is a single one."""

CHANGES = frozenset(kind.changed for kind in KINDS)


@dataclass(eq=False, slots=True)
class Stream:
    """One open stream of one client. `session` names its own links; `wants` are the changes that it asked for."""

    call: Call
    session: str
    wants: frozenset[str] = CHANGES
    subscription: Id | None = None
    _messages: "asyncio.Queue[bytes | None]" = field(default_factory=lambda: asyncio.Queue(MAX_WAITING))
    _bytes: int = 0

    def marked(self, params: Mapping[str, Raw]) -> Mapping[str, Any]:
        """A stateless client may have several subscriptions, so each message says which (2026-07-28)."""
        if self.subscription is None:
            return params
        return {
            **params,
            "_meta": {**jsonrpc.object_members(params.get("_meta")), mcp.META_SUBSCRIPTION: self.subscription},
        }

    def offer(self, message: bytes) -> bool:
        if self._messages.full() or (self._bytes and self._bytes + len(message) > MAX_WAITING_BYTES):
            self.end()
            return False
        self._messages.put_nowait(message)
        self._bytes += len(message)
        return True

    def changed(self, methods: Collection[str]) -> None:
        """Tells of these lists, as far as the client wants to know."""
        for method in sorted(self.wants.intersection(methods)):
            self.offer(jsonrpc.notification(method, self.marked({})))

    async def next(self) -> bytes | None:
        """The next message; None when the stream has ended."""
        message = await self._messages.get()
        self._bytes -= len(message or b"")
        return message

    def end(self) -> None:
        if self._messages.full():
            self._messages.get_nowait()
        self._messages.put_nowait(None)
