"""The address of the client: the peer's, unless the peer is a configured proxy (contract §1)."""

import re
from collections.abc import Sequence
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

from starlette.requests import Request

Network = IPv4Network | IPv6Network

KNOWN_HOPS = 1_024
"""Hosts of which it is kept whether they are proxies: it is nearly always the same few that are asked for."""

MAX_CHARACTERS = 64
"""Of a hop: an address has no more, and what is none becomes a name in tables and logs."""

_MAPPED = "::ffff:"
_WITH_PORT = re.compile(r"(?P<v4>[0-9.]+)(?::[0-9]+)?|\[(?P<v6>[0-9A-Fa-f:.]+)\](?::[0-9]+)?")


class TrustedProxies:
    def __init__(self, networks: Sequence[str]) -> None:
        """Addresses or networks of the proxies. Raises ValueError."""
        self._networks: list[Network] = [ip_network(network) for network in networks]
        self._trusts = lru_cache(maxsize=KNOWN_HOPS)(self._judged)

    def client_address(self, request: Request) -> str:
        """The rightmost hop of X-Forwarded-For that is not one of ours; forged hops stand further left."""
        peer = _plain(request.client.host) if request.client else ""
        hops = [hop.strip() for hop in ",".join(request.headers.getlist("x-forwarded-for")).split(",") if hop.strip()]
        while hops and self._trusts(peer):
            peer = _address(hops.pop())
        return peer

    def _judged(self, host: str) -> bool:
        try:
            address = ip_address(host)
        except ValueError:
            return False
        return any(address in network for network in self._networks)


def _address(hop: str) -> str:
    """Without the port, which some proxies write too: every connection of a client would be a client of its own."""
    match = _WITH_PORT.fullmatch(hop)
    return _plain((match["v4"] or match["v6"]) if match else hop[:MAX_CHARACTERS])


def _plain(address: str) -> str:
    """An address of IPv4 as itself, also where a socket for both kinds has it as one of IPv6 (RFC 4291 §2.5.5.2)."""
    return address[len(_MAPPED) :] if address.lower().startswith(_MAPPED) and "." in address else address
