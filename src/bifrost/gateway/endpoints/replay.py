"""What went out on the streams of older clients, kept for a moment, so that a broken one can be resumed (2025-11-25).

Bounded in number, size and time, and in this process only: a client that finds nothing here has lost the stream.
"""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from bifrost.base import ids
from bifrost.base.clock import SECOND, Clock

MAX_STREAMS = 500
MAX_STREAMS_OF_ONE_OWNER = 64
"""So that nobody's streams are the end of everybody else's."""

MAX_EVENTS = 256
MAX_BYTES = 256 * 1024
"""Of one stream; a message that is larger is not kept."""

MAX_DIGITS = 10
KEPT_MILLISECONDS = 60 * SECOND
RETRY_MILLISECONDS = 1_000


@dataclass(slots=True)
class Recording:
    """One stream of one session. `primes`: the client knows that it can resume, so it is told where from at once."""

    session: str
    owner: str
    primes: bool
    clock: Clock
    id: str = field(default_factory=lambda: ids.new_id(""))
    finished_at: int | None = None
    _events: OrderedDict[int, bytes] = field(default_factory=OrderedDict)
    _count: int = 0
    _bytes: int = 0
    _news: asyncio.Event = field(default_factory=asyncio.Event)

    def primer(self) -> bytes:
        return f"id: {self.id}.0\nretry: {RETRY_MILLISECONDS}\ndata:\n\n".encode()

    def add(self, message: bytes) -> str:
        """The event's id."""
        self._count += 1
        if len(message) <= MAX_BYTES:
            self._keep(message)
        self._news.set()
        return f"{self.id}.{self._count}"

    def _keep(self, message: bytes) -> None:
        self._events[self._count] = message
        self._bytes += len(message)
        while len(self._events) > MAX_EVENTS or self._bytes > MAX_BYTES:
            self._bytes -= len(self._events.popitem(last=False)[1])

    def finished(self) -> None:
        self.finished_at = self.clock.now()
        self._news.set()

    async def after(self, number: int) -> AsyncIterator[tuple[str, bytes]]:
        """Event ids and messages from there on, also those still to come."""
        while True:
            following = [(count, message) for count, message in self._events.items() if count > number]
            for number, message in following:  # noqa: PLR1704 - it goes on from there
                yield f"{self.id}.{number}", message
            if following:
                continue  # others may have come while these were sent
            if self.finished_at is not None:
                return
            self._news.clear()
            await self._news.wait()


@dataclass(slots=True)
class Recordings:
    clock: Clock
    _kept: OrderedDict[str, Recording] = field(default_factory=OrderedDict)

    def begin(self, session: str, owner: str = "", *, primes: bool) -> Recording:
        """`owner` is whose session it is."""
        own = [one.id for one in self._kept.values() if one.owner == owner]
        if len(own) >= MAX_STREAMS_OF_ONE_OWNER:
            del self._kept[own[0]]
        recording = Recording(session, owner, primes, self.clock)
        self._kept[recording.id] = recording
        while len(self._kept) > MAX_STREAMS or self._is_over(next(iter(self._kept.values()))):
            self._kept.popitem(last=False)
        return recording

    def found(self, session: str, event_id: str) -> tuple[Recording, int] | None:
        """The recording that this event belongs to, and its number there; None when it is not this session's."""
        stream_id, _, number = event_id.rpartition(".")
        recording = self._kept.get(stream_id)
        if recording is None or recording.session != session or self._is_over(recording):
            return None
        is_number = number.isascii() and number.isdigit() and len(number) < MAX_DIGITS
        return (recording, int(number)) if is_number else None

    def _is_over(self, recording: Recording) -> bool:
        ended = recording.finished_at
        return ended is not None and self.clock.now() - ended > KEPT_MILLISECONDS
