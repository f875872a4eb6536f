"""Taking turns on a pipe that does not say which request a question belongs to."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field

from msgspec import Raw

from bifrost.upstreams.links.base import Requester


class Occupied(Exception):
    """Whoever has the turn waits for a person, which may take long: use another pipe. Nothing was sent."""


@dataclass(slots=True)
class Turn:
    _taken: bool = False
    _questions: int = 0
    """That are open, of the one whose turn it is."""

    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    @asynccontextmanager
    async def taken(self) -> AsyncIterator[None]:
        """Around one request. Raises Occupied, also where a question is asked while this waits."""
        while self._taken:
            if self._questions:
                raise Occupied
            await self._changed.wait()
        self._taken = True
        try:
            yield
        finally:
            self._taken = False
            self._tell()

    @contextmanager
    def asking(self) -> Iterator[None]:
        """Around one question."""
        self._questions += 1
        self._tell()
        try:
            yield
        finally:
            self._questions -= 1

    def _tell(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()


@dataclass(frozen=True, slots=True)
class InTurn:
    """A requester whose turn it is."""

    requester: Requester
    turn: Turn

    async def notify(self, method: str, params: dict[str, Raw]) -> None:
        await self.requester.notify(method, params)

    async def ask(self, method: str, params: dict[str, Raw]) -> Raw:
        with self.turn.asking():
            return await self.requester.ask(method, params)
