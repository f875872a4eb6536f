"""How often something may be asked for: registrations, authorization requests, wrong client secrets (contract §3).

Requests are counted by what they are about, (software, where it is sent back to), and all together; never by address
alone, because all users of a hosted client come from a few addresses, and an attacker has many.

A counter's name is a keyed hash of what it counts: clients choose their names and addresses say who somebody is, so
neither memory nor the database has them, and no name is longer than another.

Each process counts for itself, and begins to count in the database only when it has seen a quarter of a limit: a normal
day writes nothing. So with n processes a limit may be passed by n quarters of it.
"""

from collections import OrderedDict
from dataclasses import dataclass
from typing import Protocol

import structlog

from bifrost.base.clock import SECOND, Clock
from bifrost.base.errors import StorageFault, TooMany
from bifrost.base.sealing import KeyRing
from bifrost.protocol import redirect_uri

WINDOW_SECONDS = 60
IN_ALL = 5
"""All together may ask this many times as often as one. Those of `KNOWN_HOSTS` do not count there: each of them may ask
so much more often, and all of them together so much more often again, because anybody can name their hosts."""
OWN_SHARE = 4
"""A process counts for itself up to this part of a limit."""
MAX_COUNTERS = 20_000
"""In memory at a time; the one that was used least lately goes first, so that what counts all together never does."""
MAX_NAME_CHARACTERS = 64
MAX_LOGGED_CHARACTERS = 128
_USE = "request_counter"

KNOWN_HOSTS = frozenset(
    ("claude.ai", "claude.com", "chatgpt.com", "vscode.dev", "insiders.vscode.dev", "www.cursor.com")
)
"""Hosts of widely used clients, to which only they can be sent back: a flood of others does not lock them out."""

log = structlog.get_logger()


class CounterStore(Protocol):
    async def count(self, bucket: str, add: int, expires_at: int) -> int:
        """Add to a counter that all processes share, and return what it is then."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """At most `per_minute` for one subject; 0 is no limit."""

    name: str
    per_minute: int
    in_all: bool = True


@dataclass(slots=True)
class _Counter:
    own: int = 0
    told: int = 0
    """How much of `own` the shared counter knows."""
    full: bool = False


class Limits:
    def __init__(self, store: CounterStore, clock: Clock, ring: KeyRing) -> None:
        self._store = store
        self._clock = clock
        self._ring = ring
        self._window = 0
        self._counters: OrderedDict[str, _Counter] = OrderedDict()

    async def admit(self, limit: Limit, subject: str, *, known: bool = False) -> None:
        """Count one more. Raises TooMany."""
        if not limit.per_minute:
            return
        together = self._named(limit, "known" if known else "all") if limit.in_all else ""
        most = limit.per_minute * (IN_ALL if known else 1)
        # who is refused for its own sake does not use up what is there for all
        admitted = (
            not (together and self._counter(together).full)
            and await self._admits(self._named(limit, f"one {subject}"), most)
            and (not together or await self._admits(together, most * IN_ALL))
        )
        if not admitted:
            log.warning("limit_reached", limit=limit.name, subject=subject[:MAX_LOGGED_CHARACTERS])
            raise self._refusal()

    def refuse_if_full(self, limit: Limit, subject: str) -> None:
        """Without counting. Raises TooMany."""
        if self._counter(self._named(limit, f"one {subject}")).full:
            raise self._refusal()

    async def _admits(self, bucket: str, most: int) -> bool:
        counter = self._counter(bucket)
        if counter.full:
            return False
        counter.own += 1
        total = counter.own
        if counter.own > most // OWN_SHARE:
            total = await self._shared(bucket, counter)
        counter.full = total >= most
        return total <= most

    async def _shared(self, bucket: str, counter: _Counter) -> int:
        """What all processes have counted. Without the database each goes on by itself."""
        add, counter.told = counter.own - counter.told, counter.own
        try:
            return await self._store.count(bucket, add, (self._window + 2) * WINDOW_SECONDS * SECOND)
        except StorageFault:
            return counter.own

    def _named(self, limit: Limit, whose: str) -> str:
        """The bucket of this minute for `one …`, or for `all` or all `known` ones together."""
        return self._ring.mac(f"{self._minute()} {limit.name} {whose}", use=_USE)

    def _minute(self) -> int:
        return self._clock.now() // (WINDOW_SECONDS * SECOND)

    def _counter(self, bucket: str) -> _Counter:
        window = self._minute()
        if window != self._window:
            self._window = window
            self._counters.clear()
        counter = self._counters.setdefault(bucket, _Counter())
        self._counters.move_to_end(bucket)
        if len(self._counters) > MAX_COUNTERS:
            self._counters.popitem(last=False)
        return counter

    def _refusal(self) -> TooMany:
        left = WINDOW_SECONDS - self._clock.now() // SECOND % WINDOW_SECONDS
        return TooMany("Too many requests of this kind just now. Try again in a moment.", retry_after=left)


def subject(software: str, *redirect_uris: str) -> tuple[str, bool]:
    """Whom a request is about: what it calls itself and where it is sent back to, and whether that is a known host.

    Ports of loopback differ with every start, so all of loopback is one place.
    """
    targets = [redirect_uri.target(uri) for uri in redirect_uris]
    places = sorted({target.label if target.kind != "loopback" else "loopback" for target in targets})
    name = " ".join(software.casefold().split())[:MAX_NAME_CHARACTERS]
    return f"{name} {' '.join(places)}", bool(places) and KNOWN_HOSTS.issuperset(places)
