"""A place for letters in memory, which may be away, and which counts how often a body was read."""

from dataclasses import dataclass, field

from bifrost.base.sealing import KeyRing
from bifrost.gateway.letters import Letters
from bifrost.gateway.store import Envelope, Letter
from bifrost.storage.database import StorageUnavailable
from tests.support.clock import FakeClock

RING = KeyRing([b"k" * 32])


@dataclass
class PostBox:
    kept: list[Letter] = field(default_factory=list)
    opened_ids: list[str] = field(default_factory=list)
    away: bool = False

    async def add_letter(self, letter: Letter) -> None:
        self._check()
        self.kept.append(letter)

    async def letters(self, now: int) -> list[Letter]:
        self._check()
        return [one for one in self.kept if one.expires_at > now]

    async def envelopes(self, since: int, now: int) -> list[Envelope]:
        return [
            Envelope(id=one.id, session=one.session, kind=one.kind, created_at=one.created_at)
            for one in await self.letters(now)
            if one.created_at >= since
        ]

    async def opened(self, letter_ids: list[str]) -> list[Letter]:
        self._check()
        self.opened_ids += letter_ids
        return [one for one in self.kept if one.id in letter_ids]

    def _check(self) -> None:
        if self.away:
            raise StorageUnavailable


def letters(box: PostBox, clock: FakeClock, *, shared: bool = True) -> Letters:
    return Letters(box, RING, clock, shared=shared)
