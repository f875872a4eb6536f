"""What the gateway keeps where every process finds it."""

from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """Something about one session that other processes must know. `body` is sealed for session and kind."""

    id: str
    session: str
    kind: str
    body: str = field(repr=False)
    created_at: int
    expires_at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """A letter without what is in it."""

    id: str
    session: str
    kind: str
    created_at: int


class LetterStore(Protocol):
    """Every method raises StorageUnavailable."""

    async def add_letter(self, letter: Letter) -> None: ...

    async def letters(self, now: int) -> list[Letter]:
        """All that have not expired, the oldest first."""
        ...

    async def envelopes(self, since: int, now: int) -> list[Envelope]:
        """Those that were written since then and have not expired, the oldest first."""
        ...

    async def opened(self, letter_ids: list[str]) -> list[Letter]:
        """These, in this order, as far as they are still there."""
        ...
