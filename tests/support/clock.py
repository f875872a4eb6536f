"""A clock that is moved by hand."""

from bifrost.base.clock import SECOND

START = 1_800_000_000 * SECOND


class FakeClock:
    def __init__(self, now: int = START) -> None:
        self._now = now

    def now(self) -> int:
        return self._now

    def advance(self, *, seconds: float) -> None:
        self._now += int(seconds * SECOND)
