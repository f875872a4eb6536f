"""A client that presents a dead token again and again is asked to wait, and answered without the storage meanwhile."""

from collections import OrderedDict
from dataclasses import dataclass, field

from bifrost.base.clock import SECOND, Clock

MAX_REFUSALS = 10
WAIT_SECONDS = 60
MAX_KEPT = 10_000
"""Pairs of client and token that are counted at a time; the oldest are forgotten first."""


@dataclass(slots=True)
class _Refused:
    times: int
    until: int


@dataclass(slots=True)
class Backoff:
    """Counts by client *and* token: many people share a client id, and none shall wait for another's dead token.

    Each process counts for itself. Only what can never be good again is counted, so nobody is refused for the count.
    """

    clock: Clock
    _refused: OrderedDict[tuple[str, str], _Refused] = field(default_factory=OrderedDict)

    def wait(self, client_id: str, token_hash: str) -> int:
        """For how many seconds this client need not ask again: it has heard often enough that this token is dead."""
        known = self._refused.get((client_id, token_hash))
        left = known.until - self.clock.now() if known and known.times >= MAX_REFUSALS else 0
        return max(0, -(-left // SECOND))

    def refused(self, client_id: str, token_hash: str) -> None:
        """Remember one more refusal; they count together while no more than the wait lies between two of them."""
        key, now = (client_id, token_hash), self.clock.now()
        known = self._refused.pop(key, None)
        times = known.times if known and known.until > now else 0
        self._refused[key] = _Refused(times + 1, now + WAIT_SECONDS * SECOND)
        if len(self._refused) > MAX_KEPT:
            self._refused.popitem(last=False)
