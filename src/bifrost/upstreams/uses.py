"""What is in use, and what nobody has used for long."""

from collections import Counter
from collections.abc import Collection, Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from bifrost.base.clock import Clock

K = TypeVar("K", bound=Hashable)


@dataclass(slots=True)
class Uses(Generic[K]):
    clock: Clock
    _running: Counter[K] = field(default_factory=Counter)
    _ended_at: dict[K, int] = field(default_factory=dict)

    @contextmanager
    def of(self, key: K) -> Iterator[None]:
        """Around each use."""
        self._running[key] += 1
        try:
            yield
        finally:
            self._running[key] -= 1
            if not self._running[key]:
                del self._running[key]
            self._ended_at[key] = self.clock.now()

    def idle(self, keys: Collection[K], milliseconds: int) -> list[K]:
        """Of these, which are all there are, those that were not used for so long. The others are forgotten.

        One that was never used counts from the first time that it is asked about.
        """
        now = self.clock.now()
        self._ended_at = {key: self._ended_at.get(key, now) for key in keys}
        rested = [key for key, ended_at in self._ended_at.items() if now - ended_at >= milliseconds]
        return [key for key in rested if key not in self._running]
