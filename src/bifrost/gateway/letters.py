"""Letters between processes: an answer, a cancellation or news that reached another process than the one they are for.

Every process reads them all, a few times a second, and acts on those about what it has. Where there is one process only
they are read once, at its start: how sessions that have outlived a restart stand.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import structlog
from msgspec import Raw

from bifrost.base import ids
from bifrost.base.clock import SECOND, Clock
from bifrost.base.errors import StorageFault
from bifrost.base.sealing import KeyRing, SealBrokenError
from bifrost.gateway.store import Letter, LetterStore
from bifrost.protocol import jsonrpc

POLL_SECONDS = 0.2
OVERLAP_MILLISECONDS = 10 * SECOND
"""How far back is read again: clocks differ, and a transaction may end after a later one."""

LIFETIME_MILLISECONDS = 60 * SECOND
MAX_BODY_BYTES = 1024 * 1024
_USE = "mcp-letter"

Handler = Callable[[str, dict[str, Raw]], None]

log = structlog.get_logger()


@dataclass(slots=True)
class Letters:
    """`shared`: other processes may be there. `handlers` act on what is theirs, by kind; they must not wait."""

    store: LetterStore
    ring: KeyRing
    clock: Clock
    shared: bool
    handlers: dict[str, Handler] = field(default_factory=dict)
    _read: OrderedDict[str, int] = field(default_factory=OrderedDict)
    _since: int = 0
    _sending: set["asyncio.Task[None]"] = field(default_factory=set)

    async def send(self, session: str, kind: str, body: dict[str, Any], *, expires_at: int | None = None) -> None:
        """With `expires_at` it is kept until then; else only while somebody may wait for it. Raises StorageFault."""
        if expires_at is None and not self.shared:
            return  # nobody else could read it
        now = self.clock.now()
        raw = jsonrpc.encode(body)
        if len(raw) > MAX_BODY_BYTES:
            log.warning("letter_too_large", kind=kind, bytes=len(raw))
            return
        letter = Letter(
            id=ids.new_id("mail_"),
            session=session,
            kind=kind,
            body=self.ring.seal(raw, use=_USE, owner=f"{session} {kind}"),
            created_at=now,
            expires_at=expires_at or now + LIFETIME_MILLISECONDS,
        )
        self._read[letter.id] = now
        await self.store.add_letter(letter)

    def post(self, session: str, kind: str, body: dict[str, Any]) -> None:
        """Without waiting: for news that may get lost."""
        if self.shared:
            task = asyncio.create_task(self._posted(session, kind, body))
            self._sending.add(task)
            task.add_done_callback(self._sending.discard)

    async def run(self) -> None:
        """Until cancelled; where nobody else writes letters only until all have been read."""
        while True:
            try:
                await self.catch_up()
            except StorageFault:
                log.warning("letters_not_read")
            else:
                if not self.shared:
                    return
            await asyncio.sleep(POLL_SECONDS)

    async def catch_up(self) -> None:
        """Acts on everything that was written since the last time. Raises StorageFault."""
        now = self.clock.now()
        for letter in await self.store.letters(self._since, now):
            if letter.id not in self._read:
                self._read[letter.id] = now
                self._act(letter)
        self._since = now - OVERLAP_MILLISECONDS
        while self._read and next(iter(self._read.values())) < self._since - OVERLAP_MILLISECONDS:
            self._read.popitem(last=False)

    def _act(self, letter: Letter) -> None:
        handler = self.handlers.get(letter.kind)
        if handler is None:
            return
        try:
            raw = self.ring.open(letter.body, use=_USE, owner=f"{letter.session} {letter.kind}")
            handler(letter.session, jsonrpc.members(raw))
        except (SealBrokenError, ValueError):
            log.warning("letter_unreadable", kind=letter.kind)

    async def _posted(self, session: str, kind: str, body: dict[str, Any]) -> None:
        try:
            await self.send(session, kind, body)
        except StorageFault:
            log.warning("letter_lost", kind=kind)
