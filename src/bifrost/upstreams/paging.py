"""The whole of what an upstream lists, page by page, as far as anybody can be expected to take it."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from msgspec import Raw

from bifrost.protocol import caching, jsonrpc
from bifrost.upstreams.errors import UpstreamUnavailable

PAGE_SECONDS = 10.0
"""For one page."""

WHOLE_SECONDS = 60.0
MAX_PAGES = 100
MAX_ENTRIES = 5_000
MAX_BYTES = 8 * 1024 * 1024
"""Of the entries of one list."""

Limit = Literal["pages", "entries", "bytes", "time"]
Page = Callable[[Mapping[str, Any]], Awaitable[Mapping[str, Raw]]]
"""Asks for one page with these parameters: the members of the result."""


@dataclass(frozen=True, slots=True)
class Listed:
    """`cut` is the limit at which reading ended; None when it is all there is.

    `ttl`: for how many milliseconds all of its pages may be kept, as the upstream says; 0 when it does not.
    """

    entries: tuple[Raw, ...]
    cut: Limit | None = None
    ttl: int = 0


async def listed(upstream: str, member: str, page: Page) -> Listed:
    """Raises UpstreamUnavailable, and whatever `page` raises."""
    loop = asyncio.get_running_loop()
    ends_at = loop.time() + WHOLE_SECONDS
    entries: list[Raw] = []
    params: dict[str, Any] = {}
    size, ttls = 0, []
    for _ in range(MAX_PAGES):
        result = await page(params)
        ttls.append(caching.ttl(result.get(caching.TTL)))
        for entry in _entries(upstream, member, result.get(member)):
            size += len(bytes(entry))
            if size > MAX_BYTES or len(entries) >= MAX_ENTRIES:
                return Listed(tuple(entries), "bytes" if size > MAX_BYTES else "entries")
            entries.append(entry.copy())  # or it would keep its whole page, of which nobody counts the rest
        cursor = jsonrpc.text(result.get("nextCursor"))
        if not cursor:
            return Listed(tuple(entries), ttl=min(ttls))
        if loop.time() > ends_at:
            return Listed(tuple(entries), "time")
        params = {"cursor": cursor}
    return Listed(tuple(entries), "pages")


def _entries(upstream: str, member: str, raw: Raw | None) -> list[Raw]:
    try:
        return jsonrpc.items(raw or b"[]")
    except (ValueError, RecursionError) as error:
        raise UpstreamUnavailable(f"What {upstream} lists as its {member} cannot be read.") from error
