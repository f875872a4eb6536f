"""What is fetched for clients: their documents and their keys. Whom nobody here knows yet waits in a room of its own.

Anybody may name any address, and whoever answers slowly keeps a place and a look-up of a name for seconds. So clients
that somebody has allowed, and widely used ones, are asked by another client of ours than all others, who share a
number of places: a flood of invented ones costs neither the known ones their sign-ins nor the process its sockets.
"""

from collections.abc import Mapping
from typing import Protocol

import structlog

from bifrost.http.client import Fetched, OutsideUnreachable

MAX_STRANGERS_AT_ONCE = 100

log = structlog.get_logger()


class Fetcher(Protocol):
    """The guarded outbound client."""

    async def fetch(self, url: str, *, headers: Mapping[str, str] | None = None, max_bytes: int = ...) -> Fetched:
        """Raises OutsideUrlRefused, OutsideUnreachable."""
        ...


class Fetching:
    def __init__(self, known: Fetcher, strangers: Fetcher) -> None:
        self._known = known
        self._strangers = strangers
        self._under_way = 0

    async def fetch(self, url: str, *, known: bool, headers: Mapping[str, str], max_bytes: int) -> Fetched:
        """Raises OutsideUrlRefused; OutsideUnreachable, also for a stranger when all places are taken."""
        if known:
            return await self._known.fetch(url, headers=headers, max_bytes=max_bytes)
        if self._under_way >= MAX_STRANGERS_AT_ONCE:
            log.warning("client_fetches_full")
            raise OutsideUnreachable("Too much is being fetched just now.")
        self._under_way += 1
        try:
            return await self._strangers.fetch(url, headers=headers, max_bytes=max_bytes)
        finally:
            self._under_way -= 1
