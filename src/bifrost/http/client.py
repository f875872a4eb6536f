"""The outbound HTTP client: one for the process, pooled, with caps. No redirects, no cookies, no proxy variables.

Two doors: `open` for the URLs that an administrator configured, and `fetch` for URLs that come from outside. Behind
the second every address is judged at the moment its socket is made, after resolution, so that a name cannot be good
when it is checked and bad when it is used.
"""

import asyncio
import re
import socket
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from bifrost.base.errors import Invalid, Unavailable
from bifrost.http import addresses, tls
from bifrost.http.tls import MACHINE, Trust

MAX_CONNECTIONS_PER_HOST = 512
"""A call that waits for a person, and a stream that waits for news, each keep one."""

CONNECT_SECONDS = 5.0
FETCH_SECONDS = 10.0
MAX_LINE_BYTES = 1024 * 1024
MAX_FETCHED_BYTES = 256 * 1024
_URL = re.compile(r"(?P<scheme>https?)://(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::[0-9]{1,5})?(?:[/?][!-~]*)?")
_CONNECT_ONLY = aiohttp.ClientTimeout(total=None, connect=CONNECT_SECONDS)
_LOOPBACK_HOSTS = ("localhost", "127.0.0.1", "[::1]")


class OutsideUrlRefused(Invalid):
    """The URL, or the address behind it, is not one that this gateway goes to for a stranger."""

    default_code = "outside_url_refused"


class OutsideUnreachable(Unavailable):
    """No usable answer: one error for closed, filtered, slow, unresolvable and too large, so that it tells nothing."""

    default_code = "outside_unreachable"


class _AddressRefusedError(OSError):
    pass


@dataclass(frozen=True, slots=True)
class Fetched:
    status: int
    headers: Mapping[str, str]
    body: bytes


class OutboundClient:
    """Cookies are never kept: a jar shared by everybody would mix people up."""

    def __init__(self, *, vets: Callable[[str], bool], development: bool) -> None:
        """`vets` judges a resolved address; `development` adds loopback, also by plain http."""
        self._vets = vets
        self._development = development
        self._inside: aiohttp.ClientSession | None = None
        self._outside: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        for session in (self._inside, self._outside):
            if session:
                await session.close()
        self._inside = self._outside = None

    @asynccontextmanager
    async def open(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str],
        body: bytes | None = None,
        trust: Trust = MACHINE,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """For configured URLs. The answer, with its body unread; the caller decides how long it may take.

        A connection made under one trust is never used under another.

        Raises aiohttp.ClientError, TimeoutError when there is no connection.
        """
        if self._inside is None:
            self._inside = _session(limit_per_host=MAX_CONNECTIONS_PER_HOST)
        async with self._inside.request(
            method,
            url,
            data=body,
            headers=headers,
            timeout=_CONNECT_ONLY,
            allow_redirects=False,
            ssl=True if trust == MACHINE else tls.context(trust),
        ) as response:
            yield response

    async def fetch(
        self,
        url: str,
        *,
        method: str = "GET",
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        max_bytes: int = MAX_FETCHED_BYTES,
    ) -> Fetched:
        """For URLs from outside. Redirects are answers, not followed. Raises OutsideUrlRefused, OutsideUnreachable."""
        self.check_url(url)
        if self._outside is None:
            self._outside = _session(socket_factory=self._socket)
        timeout = aiohttp.ClientTimeout(total=FETCH_SECONDS, connect=CONNECT_SECONDS)
        try:
            async with self._outside.request(
                method, url, data=body, headers=headers, timeout=timeout, allow_redirects=False
            ) as response:
                return Fetched(response.status, response.headers, await _capped(response, max_bytes))
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
            raise OutsideUnreachable("The server at this URL gave no usable answer.") from error

    def check_url(self, url: str) -> None:
        """https, or loopback http in development; no userinfo, no fragment. Raises OutsideUrlRefused."""
        match = _URL.fullmatch(url)
        if match is None or "\\" in url or "#" in url:
            raise OutsideUrlRefused("This is not a URL that the gateway can fetch.")
        loopback = self._development and match["host"].lower() in _LOOPBACK_HOSTS
        if match["scheme"] != "https" and not loopback:
            raise OutsideUrlRefused("Only https URLs are fetched.")

    async def check_place(self, origin: str) -> None:
        """Whether an origin that came from afar leads where strangers may lead: every address of its host is judged.

        Raises OutsideUrlRefused, in words for an administrator.
        """
        if self._development:
            return
        parts = urlsplit(origin)
        try:
            port = parts.port or (443 if parts.scheme == "https" else 80)
            found = await asyncio.get_running_loop().getaddrinfo(parts.hostname, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError, ValueError) as error:
            raise OutsideUrlRefused(f"The host of {origin} cannot be found. Check how it is written.") from error
        if not all(self._vets(str(address[4][0])) for address in found):
            raise OutsideUrlRefused(
                f"{origin} is at an internal address. If it belongs there, add its network to client.allowed_networks."
            )

    def _socket(self, address: Any) -> socket.socket:
        """Called with the address that is about to be dialled, name or literal alike."""
        family, kind, protocol, _name, target = address
        host = str(target[0])
        if not (self._vets(host) or (self._development and addresses.is_loopback(host))):
            raise _AddressRefusedError("address refused")
        return socket.socket(family, kind, protocol)


def _session(**connector: Any) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, **connector),
        cookie_jar=aiohttp.DummyCookieJar(),
        trust_env=False,
        headers={"User-Agent": "bifrost"},
        read_bufsize=MAX_LINE_BYTES,
    )


async def _capped(response: aiohttp.ClientResponse, max_bytes: int) -> bytes:
    """Counted after decompression, so that a small answer cannot unfold into a large one."""
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > max_bytes:
            raise ValueError("too large")
    return bytes(body)
