"""What is counted of a virtual key's limits: windows that fill and begin again."""

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Take:
    """What a call wants of one window. `resets_at` is when the window ends if this call begins it (milliseconds)."""

    name: str
    """`requests:1m` or `budget:1d`: another duration is another window."""
    amount: int
    """Calls, or millionths of money."""
    limit: int
    resets_at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """A window that is open. `resets_at` in milliseconds."""

    name: str
    used: int
    resets_at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Admission:
    """A call that was let through: what it took, and the windows out of which."""

    key_id: str
    takes: tuple[Take, ...]
    windows: tuple[Window, ...]


class WindowFull(Exception):
    """Nothing was taken, because this window is too full."""

    def __init__(self, window: Window) -> None:
        super().__init__(window.name)
        self.window = window


class UsageStore(Protocol):
    async def take(self, key_id: str, takes: tuple[Take, ...], now: int) -> tuple[Window, ...]:
        """Take all of them, or nothing. The windows as they are then, in the order of the takes. Raises WindowFull."""
        ...

    async def give_back(self, key_id: str, amount: int, window: Window) -> None:
        """To exactly this window, if it is still open."""

    async def windows(self, key_id: str, now: int) -> list[Window]: ...
