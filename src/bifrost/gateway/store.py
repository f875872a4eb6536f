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


class LetterStore(Protocol):
    async def add_letter(self, letter: Letter) -> None:
        """Raises StorageUnavailable."""
        ...

    async def letters(self, since: int, now: int) -> list[Letter]:
        """Those that were written since then and have not expired, the oldest first. Raises StorageUnavailable."""
        ...
