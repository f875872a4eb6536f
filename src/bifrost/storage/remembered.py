"""Rows that are asked for at every request, kept in memory for as long as nothing they stand on has changed.

What is kept are rows, never decisions: whether a key has expired or a grant was revoked is judged at every request. A
row is used again only while the database's mark is the one from before it was read, and for a second at most, so that
a change is felt within that time even where no mark tells of it (contract §6).
"""

import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

from bifrost.storage.database import Database

MAX_AGE_SECONDS = 1.0
MAX_ROWS = 20_000

T = TypeVar("T")


class Remembered(Generic[T]):
    def __init__(self, database: Database, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._database = database
        self._monotonic = monotonic
        self._rows: OrderedDict[Hashable, tuple[int, float, T]] = OrderedDict()
        self._forgotten = 0

    async def row(self, key: Hashable, read: Callable[[], Awaitable[T | None]]) -> T | None:
        """What is kept under `key`, or what `read` finds now. That there is nothing is never kept.

        Raises StorageUnavailable.
        """
        mark = self._database.seen_mark()
        if mark is None:
            mark = await self._database.mark()
        now = self._monotonic()
        kept = self._rows.get(key)
        if kept is not None and kept[0] == mark and now - kept[1] < MAX_AGE_SECONDS:
            return kept[2]
        self._rows.pop(key, None)
        forgotten = self._forgotten
        found = await read()
        if found is not None and forgotten == self._forgotten:
            # the mark and the time are those from before: what changed while it was read makes it old at once
            self._rows[key] = (mark, now, found)
            if len(self._rows) > MAX_ROWS:
                self._rows.popitem(last=False)
        return found

    def forget(self, key: Hashable) -> None:
        """What this process has changed in a way of which no mark tells, for example a row that was added.

        What is being read at this moment may be from before, and is not kept.
        """
        self._rows.pop(key, None)
        self._forgotten += 1
