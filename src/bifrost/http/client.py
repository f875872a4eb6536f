"""The outbound HTTP client: one for the process, pooled, with caps. No redirects, no cookies, no proxy variables."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import aiohttp

MAX_CONNECTIONS_PER_HOST = 64
CONNECT_SECONDS = 5.0
MAX_LINE_BYTES = 1024 * 1024


class OutboundClient:
    """Cookies are never kept: a jar shared by everybody would mix people up."""

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        if self._session:
            await self._session.close()
        self._session = None

    @asynccontextmanager
    async def post(
        self, url: str, *, body: bytes, headers: Mapping[str, str], seconds: float
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """The answer, whatever its status, with its body unread. Raises aiohttp.ClientError, TimeoutError."""
        timeout = aiohttp.ClientTimeout(total=seconds, connect=min(seconds, CONNECT_SECONDS))
        async with self._opened().post(
            url, data=body, headers=headers, timeout=timeout, allow_redirects=False
        ) as response:
            yield response

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0, limit_per_host=MAX_CONNECTIONS_PER_HOST),
                cookie_jar=aiohttp.DummyCookieJar(),
                trust_env=False,
                headers={"User-Agent": "bifrost"},
                read_bufsize=MAX_LINE_BYTES,
            )
        return self._session
