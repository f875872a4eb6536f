"""What is in use, and what nobody has used for long."""

from collections.abc import Collection, Hashable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from bifrost.base.clock import Clock

K = TypeVar("K", bound=Hashable)


@dataclass(slots=True)
class Uses(Generic[K]):
    clock: Clock
    _running: dict[K, int] = field(default_factory=dict)
    _ended_at: dict[K, int] = field(default_factory=dict)
    _kept: dict[K, int] = field(default_factory=dict)

    def of(self, key: K) -> AbstractContextManager[None]:
        """Around each use."""
        return _Use(self, key)

    def begins(self, key: K) -> None:
        self._running[key] = self._running.get(key, 0) + 1

    def ends(self, key: K) -> None:
        running = self._running.pop(key) - 1
        if running:
            self._running[key] = running
        self._ended_at[key] = self.clock.now()

    @contextmanager
    def kept(self, key: K) -> Iterator[None]:
        """Around what is no use of it, but is not to be interrupted either: to listen."""
        self._kept[key] = self._kept.get(key, 0) + 1
        try:
            yield
        finally:
            kept = self._kept.pop(key) - 1
            if kept:
                self._kept[key] = kept

    def rests(self, key: K, milliseconds: int) -> bool:
        """Whether it was not used for so long, kept or not; also when it never was."""
        ended_at = self._ended_at.get(key)
        return key not in self._running and (ended_at is None or self.clock.now() - ended_at >= milliseconds)

    def idle(self, keys: Collection[K], milliseconds: int) -> list[K]:
        """Of these, which are all there are, those that were not used for so long. The others are forgotten.

        One that was never used counts from the first time that it is asked about. What is kept is not idle.
        """
        now = self.clock.now()
        self._ended_at = {key: self._ended_at.get(key, now) for key in keys}
        rested = [key for key, ended_at in self._ended_at.items() if now - ended_at >= milliseconds]
        return [key for key in rested if key not in self._running and key not in self._kept]


class _Use(Generic[K]):
    __slots__ = ("_key", "_uses")

    def __init__(self, uses: Uses[K], key: K) -> None:
        self._uses, self._key = uses, key

    def __enter__(self) -> None:
        self._uses.begins(self._key)

    def __exit__(self, *_why: object) -> None:
        self._uses.ends(self._key)
