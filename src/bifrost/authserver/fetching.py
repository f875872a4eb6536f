"""What is fetched for clients: their documents and their keys. Whom nobody here knows yet waits in a room of its own.

Anybody may name any address, and whoever answers slowly keeps a place and a look-up of a name for seconds. So clients
that somebody has allowed, and widely used ones, are asked by another client of ours than all others, who share a
number of places: a flood of invented ones costs neither the known ones their sign-ins nor the process its sockets.
"""

from collections.abc import Mapping
from typing import Protocol
from urllib.parse import urlsplit

import structlog

from bifrost.authserver.limits import KNOWN_HOSTS, Limit, Limits
from bifrost.http.client import Fetched, OutsideUnreachable, OutsideUrlRefused

MAX_STRANGERS_AT_ONCE = 100
FETCHES = Limit(name="client_documents", per_minute=300, in_all=False)
"""From one host, whatever its ports, so that nobody can aim this server at it; no error is remembered, so a limit has
to do. What is fetched for clients that somebody has allowed counts by itself: clients that are invented on their host
use up nothing of it."""

log = structlog.get_logger()


class Fetcher(Protocol):
    """The guarded outbound client."""

    async def fetch(self, url: str, *, headers: Mapping[str, str] | None = None, max_bytes: int = ...) -> Fetched:
        """Raises OutsideUrlRefused, OutsideUnreachable."""
        ...


class Fetching:
    def __init__(self, known: Fetcher, strangers: Fetcher, limits: Limits) -> None:
        self._known = known
        self._strangers = strangers
        self._limits = limits
        self._under_way = 0

    async def fetch(self, url: str, *, allowed: bool, headers: Mapping[str, str], max_bytes: int) -> Fetched:
        """`allowed`: whether it is for a client that somebody has allowed.

        Raises TooMany, OutsideUrlRefused; OutsideUnreachable, also for a stranger when all places are taken.
        """
        place, host = _place(url)
        await self._limits.admit(FETCHES, f"allowed {host}" if allowed else host)
        if allowed or place in KNOWN_HOSTS:
            return await self._known.fetch(url, headers=headers, max_bytes=max_bytes)
        if self._under_way >= MAX_STRANGERS_AT_ONCE:
            log.warning("client_fetches_full")
            raise OutsideUnreachable("Too much is being fetched just now.")
        self._under_way += 1
        try:
            return await self._strangers.fetch(url, headers=headers, max_bytes=max_bytes)
        finally:
            self._under_way -= 1


def _place(url: str) -> tuple[str, str]:
    """The host with its port, as far as it is named, and without. Raises OutsideUrlRefused."""
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise OutsideUrlRefused("This is not a URL that the gateway can fetch.") from error
    return parts.netloc.lower(), (parts.hostname or "").removesuffix(".")
