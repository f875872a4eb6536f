"""The outbound HTTP client: one for the process, pooled, with caps. No redirects, no cookies, no proxy variables.

Three doors: `inside` for the URLs of the configuration file, `vetted` for those that an administrator added from afar,
and `fetch` for URLs that come from outside. Behind the last two every address is judged at the moment its socket is
made, after resolution, so that a name cannot be good when it is checked and bad when it is used.
"""

import asyncio
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from bifrost.base.errors import Invalid, Unavailable
from bifrost.http import addresses
from bifrost.http.names import Names
from bifrost.http.pooled_client import CONNECT_SECONDS, PooledClient

FETCH_SECONDS = 10.0
MAX_FETCHED_BYTES = 256 * 1024
_URL = re.compile(
    r"(?P<scheme>https?)://(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::[0-9]{1,5})?"
    r"(?:[/?][!\"$-\[\]-~]*)?"
)
"""Without userinfo, and without a fragment or a backslash, which two parsers read differently."""
_LOOPBACK_HOSTS = ("localhost", "127.0.0.1", "[::1]")


class OutsideUrlRefused(Invalid):
    """The URL, or the address behind it, is not one that this gateway goes to for a stranger."""

    default_code = "outside_url_refused"


class OutsideUnreachable(Unavailable):
    """No usable answer: one error for closed, filtered, slow, unresolvable and too large, so that it tells nothing."""

    default_code = "outside_unreachable"


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
        self.inside = PooledClient()
        """For the URLs of the configuration file."""
        self.vetted = PooledClient(vets=self._may_lead_to)
        """For those that came through the API, from afar."""
        self._outside = PooledClient(vets=self._may_contact)
        self._names = Names()

    async def close(self) -> None:
        await self.inside.close()
        await self.vetted.close()
        await self._outside.close()
        self._names.close()

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
        try:
            with await self._outside.ask(
                method, url, body=body or b"", headers=headers or {}, seconds=FETCH_SECONDS
            ) as answer:
                return Fetched(answer.status, answer.headers, await answer.read(max_bytes))
        except (OSError, ValueError) as error:
            raise OutsideUnreachable("The server at this URL gave no usable answer.") from error

    def check_url(self, url: str) -> None:
        """https, or loopback http in development; no userinfo, no fragment. Raises OutsideUrlRefused."""
        match = _URL.fullmatch(url)
        if match is None:
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
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                found = await self._names.addresses(urlsplit(origin).hostname or "", 0)
        except (OSError, ValueError) as error:
            raise OutsideUrlRefused(f"The host of {origin} cannot be found. Check how it is written.") from error
        if not all(self._vets(str(address[0])) for _, address in found):
            raise OutsideUrlRefused(
                f"{origin} is at an internal address. If it belongs there, add its network to client.allowed_networks."
            )

    def _may_lead_to(self, address: str) -> bool:
        """As `check_place` judges, at the moment of the connection."""
        return self._development or self._vets(address)

    def _may_contact(self, address: str) -> bool:
        """Called with the address that is about to be dialled, name or literal alike."""
        return self._vets(address) or (self._development and addresses.is_loopback(address))
