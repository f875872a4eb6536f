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
from bifrost.gateway.errors import LetterTooLarge
from bifrost.gateway.store import Letter, LetterStore
from bifrost.protocol import jsonrpc
from bifrost.upstreams.transports.streamable_http import MAX_ANSWER_BYTES

POLL_SECONDS = 0.2
OVERLAP_MILLISECONDS = 10 * SECOND
"""How far back is read again: clocks differ, and a transaction may end after a later one."""

LIFETIME_MILLISECONDS = 60 * SECOND
MAX_BODY_BYTES = MAX_ANSWER_BYTES + 64 * 1024
"""As large as an upstream's answer may be, and what is around it."""

_USE = "mcp-letter"

Handler = Callable[[str, dict[str, Raw]], None]
Concerns = Callable[[str], bool]
"""Whether letters about this session, or whatever a kind of letters names there, are for this process."""

log = structlog.get_logger()


@dataclass(slots=True)
class Letters:
    """`shared`: other processes may be there. `handlers` act on what is theirs, by kind; they must not wait.

    A letter of a kind in `concerns` is opened only by those whom it concerns: such letters may be large.
    """

    store: LetterStore
    ring: KeyRing
    clock: Clock
    shared: bool
    handlers: dict[str, Handler] = field(default_factory=dict)
    concerns: dict[str, Concerns] = field(default_factory=dict)
    _read: OrderedDict[str, int] = field(default_factory=OrderedDict)
    _since: int = 0
    _sending: set["asyncio.Task[None]"] = field(default_factory=set)

    async def send(self, session: str, kind: str, body: dict[str, Any], *, expires_at: int | None = None) -> None:
        """With `expires_at` it is kept until then; else only while somebody may wait for it.

        Raises StorageFault, LetterTooLarge.
        """
        if expires_at is None and not self.shared:
            return  # nobody else could read it
        now = self.clock.now()
        raw = jsonrpc.encode(body)
        if len(raw) > MAX_BODY_BYTES:
            raise LetterTooLarge
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
        """Until cancelled; where nobody else writes letters only until all have been read.

        Nothing ends it but that: without it every question asked across processes would go unanswered.
        """
        while True:
            try:
                await self.catch_up()
            except StorageFault:
                log.warning("letters_not_read")
            except Exception:
                log.exception("letters_not_read")
            else:
                if not self.shared:
                    return
            await asyncio.sleep(POLL_SECONDS)

    async def catch_up(self) -> None:
        """Acts on everything that was written since the last time, each once. Raises StorageFault."""
        now = self.clock.now()
        for letter in await self._unread(now):
            self._act(letter)
        self._since = now - OVERLAP_MILLISECONDS
        while self._read and next(iter(self._read.values())) < self._since - OVERLAP_MILLISECONDS:
            self._read.popitem(last=False)

    async def _unread(self, now: int) -> list[Letter]:
        """All there are at first; later only the envelopes are looked at again and again, and a body once."""
        if not self._since:
            letters = await self.store.letters(now)
            self._read |= {letter.id: max(now, letter.created_at) for letter in letters}
            return letters
        new = [one for one in await self.store.envelopes(self._since, now) if one.id not in self._read]
        mine = [one.id for one in new if self.concerns.get(one.kind, _everybody)(one.session)]
        letters = await self.store.opened(mine)
        self._read |= {one.id: max(now, one.created_at) for one in new}
        return letters

    def _act(self, letter: Letter) -> None:
        """Whatever is wrong with one letter, or with who acts on it, the next one is read all the same."""
        handler = self.handlers.get(letter.kind)
        if handler is None:
            return
        try:
            raw = self.ring.open(letter.body, use=_USE, owner=f"{letter.session} {letter.kind}")
            handler(letter.session, jsonrpc.members(raw))
        except (SealBrokenError, ValueError):
            log.warning("letter_unreadable", kind=letter.kind)
        except Exception:
            log.exception("letter_not_acted_on", kind=letter.kind)

    async def _posted(self, session: str, kind: str, body: dict[str, Any]) -> None:
        try:
            await self.send(session, kind, body)
        except (StorageFault, LetterTooLarge):
            log.warning("letter_lost", kind=kind)


def _everybody(_session: str) -> bool:
    return True
