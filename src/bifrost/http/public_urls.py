"""The origins under which the server is known. Absolute URLs come from here and never from a request's headers."""

import functools
import re
from dataclasses import dataclass

from starlette.requests import Request

LOOPBACK_HOSTS = ("localhost", "127.0.0.1", "[::1]")


@dataclass(frozen=True, slots=True)
class PublicUrls:
    """`origins` without trailing slash, the issuer first."""

    origins: tuple[str, ...]

    @property
    def issuer(self) -> str:
        """One stored string: the same bytes in metadata, `iss` and tokens (RFC 8414 §2, RFC 9207 §2)."""
        return self.origins[0]

    @property
    def secure(self) -> bool:
        return self.issuer.startswith("https://")

    @property
    def only_loopback(self) -> bool:
        return all(is_loopback(origin) for origin in self.origins)

    def origin_of(self, request: Request) -> str | None:
        """The public origin that the request's Host names, or None: then the request is not for us."""
        hosts = request.headers.getlist("host")
        if len(hosts) != 1:
            return None
        return _origin_named(self.origins, hosts[0].lower())

    def sent_from_here(self, request: Request) -> bool:
        """Whether one of our own pages sent it: the Origin is ours, exactly (SameSite does not stop a sibling host)."""
        return request.headers.getlist("origin") == [self.origin_of(request)]


def is_loopback(origin: str) -> bool:
    host = _authority(origin)
    return any(host == name or host.startswith(f"{name}:") for name in LOOPBACK_HOSTS)


def _authority(origin: str) -> str:
    return origin.partition("://")[2]


@functools.lru_cache(maxsize=1_024)
def _origin_named(origins: tuple[str, ...], host: str) -> str | None:
    return next((origin for origin in origins if host in _hosts(origin)), None)


def _hosts(origin: str) -> tuple[str, ...]:
    """A default port may be left out of Host or written in it."""
    authority = _authority(origin)
    if re.search(r":[0-9]+$", authority):
        return (authority,)
    return authority, f"{authority}{':443' if origin.startswith('https://') else ':80'}"
