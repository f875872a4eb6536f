"""How many letters one principal may cause: each is a row that every process reads, and some are kept for a week."""

from collections import OrderedDict
from dataclasses import dataclass, field

from bifrost.base.clock import SECOND, Clock
from bifrost.gateway.errors import TooManyLetters

MAX_PRINCIPALS = 20_000


@dataclass(frozen=True, slots=True)
class Measure:
    """`most` in each window of so many seconds, in each process."""

    name: str
    most: int
    seconds: int


LETTERS = Measure("letters", most=500, seconds=10)
"""Answers and cancellations that reached another process than the one they are for, or one that is gone."""

LASTING = Measure("lasting", most=300, seconds=60)
"""Ends and log levels of sessions, which outlive a restart."""


@dataclass(slots=True)
class LetterLimits:
    clock: Clock
    _counts: OrderedDict[tuple[str, str], tuple[int, int]] = field(default_factory=OrderedDict)
    """By principal and measure: the window, and how many in it."""

    def check(self, principal: str, measure: Measure) -> None:
        """Counts one more. Raises TooManyLetters."""
        if not self.has_room(principal, measure):
            raise TooManyLetters(measure.seconds)

    def has_room(self, principal: str, measure: Measure) -> bool:
        """Counts one more, and says whether it is within measure."""
        window = self.clock.now() // (measure.seconds * SECOND)
        known, count = self._counts.pop((principal, measure.name), (window, 0))
        count = count + 1 if known == window else 1
        self._counts[principal, measure.name] = window, count
        while len(self._counts) > MAX_PRINCIPALS:
            self._counts.popitem(last=False)
        return count <= measure.most
