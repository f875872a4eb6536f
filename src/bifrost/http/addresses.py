"""Which addresses an outside URL may lead to: global unicast only (RFC 6890, and what grew since).

The library's own `is_global` says yes to 6to4, NAT64 and site-local addresses, which embed or lead to private ones, so
the lists are spelled out here.
"""

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Network = IPv4Network | IPv6Network

_REFUSED_V4 = tuple(
    IPv4Network(network)
    for network in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",  # shared between providers and subscribers (RFC 6598)
        "127.0.0.0/8",
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.88.99.0/24",  # 6to4 relays (RFC 7526)
        "192.168.0.0/16",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",
        "240.0.0.0/4",
    )
)
_GLOBAL_V6 = IPv6Network("2000::/3")
"""Everything else of IPv6 is not global unicast: NAT64, mapped, unique local, link-local, site-local, multicast."""

_SUBSCRIBER_BITS = 64

_REFUSED_V6 = tuple(
    IPv6Network(network)
    for network in (
        "2001::/23",  # protocol assignments, Teredo and ORCHID among them
        "2001:db8::/32",
        "2002::/16",  # 6to4 embeds any IPv4 address
        "3fff::/20",
    )
)


def is_public(host: str) -> bool:
    """Whether a numeric address may be contacted for a stranger; False for anything that is not an address."""
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:
        return False
    if isinstance(address, IPv4Address):
        return not any(address in network for network in _REFUSED_V4)
    return address in _GLOBAL_V6 and not any(address in network for network in _REFUSED_V6)


def is_loopback(host: str) -> bool:
    """Whether a numeric address is this machine's own."""
    try:
        return ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        return False


def subscriber(address: str) -> str:
    """Whom it counts for: whoever has one address of a /64 of IPv6 has all of them (RFC 4291 §2.5.1, RFC 6177 §2).

    An address of IPv4 that a proxy writes as one of IPv6 (RFC 4291 §2.5.5.2) stays one subscriber's.
    """
    try:
        found = IPv6Address(address.partition("%")[0])
    except ValueError:
        return address
    if found.ipv4_mapped:
        return str(found.ipv4_mapped)
    return str(IPv6Network((int(found), _SUBSCRIBER_BITS), strict=False))


class AllowedNetworks:
    """Private networks that an operator opens for outside URLs: an authorization server in the house."""

    def __init__(self, networks: Sequence[str]) -> None:
        """Raises ValueError."""
        self._networks: list[Network] = [ip_network(network) for network in networks]

    def vets(self, host: str) -> bool:
        """Whether this resolved address may be contacted."""
        if is_public(host):
            return True
        try:
            address: IPv4Address | IPv6Address = ip_address(host.partition("%")[0])
        except ValueError:
            return False
        return any(address.version == network.version and address in network for network in self._networks)
