"""What is in use, and what nobody has used for long."""

from collections.abc import Collection, Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from bifrost.base.clock import Clock

K = TypeVar("K", bound=Hashable)


@dataclass(eq=False, slots=True)
class Use:
    """How one thing is used; a `with` block of it is one use, and so is what begins and ends elsewhere."""

    clock: Clock
    running: int = 0
    kept: int = 0
    ended_at: int | None = None
    """When the last use ended; from when it counts, if there was none."""

    def __enter__(self) -> None:
        self.begins()

    def __exit__(self, *_why: object) -> None:
        self.ends()

    def begins(self) -> None:
        self.running += 1

    def ends(self) -> None:
        self.running -= 1
        self.ended_at = self.clock.now()


@dataclass(slots=True)
class Uses(Generic[K]):
    clock: Clock
    _uses: dict[K, Use] = field(default_factory=dict)

    def of(self, key: K) -> Use:
        """Around each use."""
        use = self._uses.get(key)
        if use is None:
            use = self._uses[key] = Use(self.clock)
        return use

    def runs(self, key: K) -> bool:
        """Whether it is in use now."""
        use = self._uses.get(key)
        return use is not None and use.running > 0

    @contextmanager
    def kept(self, key: K) -> Iterator[None]:
        """Around what is no use of it, but is not to be interrupted either: to listen."""
        use = self.of(key)
        use.kept += 1
        try:
            yield
        finally:
            use.kept -= 1

    def rests(self, key: K, milliseconds: int) -> bool:
        """Whether it was not used for so long, kept or not; also when it never was."""
        use = self._uses.get(key)
        if use is None or use.running:
            return use is None
        return use.ended_at is None or self.clock.now() - use.ended_at >= milliseconds

    def idle(self, keys: Collection[K], milliseconds: int) -> list[K]:
        """Of these, which are all there are, those that were not used for so long. The others are forgotten.

        One that was never used counts from the first time that it is asked about. What is kept is not idle.
        """
        now = self.clock.now()
        going_on = {key: use for key, use in self._uses.items() if use.running or use.kept}
        self._uses = {**going_on, **{key: self.of(key) for key in keys}}
        return [key for key in keys if self._rested(self._uses[key], now) >= milliseconds]

    def _rested(self, use: Use, now: int) -> int:
        """Milliseconds; less than 0 for what does not rest."""
        use.ended_at = now if use.ended_at is None else use.ended_at
        return -1 if use.running or use.kept else now - use.ended_at
