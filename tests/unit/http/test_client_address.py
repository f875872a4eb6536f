"""The address of the client."""

import pytest

from bifrost.http.client_address import TrustedProxies
from tests.unit._requests import request

PEER = "203.0.113.7"


def address(proxies: list[str], *forwarded: str, peer: tuple[str, int] | None = (PEER, 1)) -> str:
    headers = [("x-forwarded-for", value) for value in forwarded]
    return TrustedProxies(proxies).client_address(request(headers, peer=peer))


@pytest.mark.parametrize("forwarded", ["198.51.100.1", "127.0.0.1", "10.0.0.1, 10.0.0.2", ""])
def test_nobody_is_believed_unless_configured(forwarded: str) -> None:
    """Contract §1: forwarded headers are read only from configured trusted proxies."""
    assert address([], forwarded) == PEER
    assert address(["10.0.0.0/8"], forwarded) == PEER


@pytest.mark.parametrize(
    ("forwarded", "client"),
    [
        (["198.51.100.1"], "198.51.100.1"),
        (["6.6.6.6, 198.51.100.1"], "198.51.100.1"),
        (["6.6.6.6", "198.51.100.1"], "198.51.100.1"),
        (["198.51.100.1, 10.1.2.3"], "198.51.100.1"),
        (["6.6.6.6, 198.51.100.1, 10.1.2.3, 10.4.5.6"], "198.51.100.1"),
        (["10.9.9.9, 10.1.2.3"], "10.9.9.9"),
        (["2001:db8::5"], "2001:db8::5"),
        (["198.51.100.1:54321"], "198.51.100.1"),
        (["198.51.100.1:54321, 10.1.2.3:443"], "198.51.100.1"),
        (["[2001:db8::5]:54321"], "2001:db8::5"),
        (["[2001:db8::5]"], "2001:db8::5"),
        ([" 198.51.100.1 ,"], "198.51.100.1"),
        ([], PEER),
        ([""], PEER),
        ([",, ,"], PEER),
    ],
)
def test_the_client_is_the_last_hop_that_is_none_of_our_proxies(forwarded: list[str], client: str) -> None:
    """TC-156, contract §1: what stands further left was written by whoever sent it."""
    assert address([PEER, "10.0.0.0/8"], *forwarded) == client


def test_a_forged_hop_never_becomes_the_client() -> None:
    """Contract §5: the limit of failures for each address cannot be escaped by inventing addresses."""
    seen = {address([PEER], f"192.0.2.{number}, 198.51.100.1") for number in range(50)}
    assert seen == {"198.51.100.1"}


def test_a_proxy_on_ipv6_is_known_by_its_network() -> None:
    """Contract §1."""
    assert address(["2001:db8::/32"], "198.51.100.1", peer=("2001:db8::1", 1)) == "198.51.100.1"


def test_an_address_of_ipv4_is_known_in_the_form_of_ipv6() -> None:
    """Contract §1: a socket that listens on both kinds has it so, and a proxy may write what it had."""
    assert address([PEER], "198.51.100.1", peer=(f"::ffff:{PEER}", 1)) == "198.51.100.1"
    assert address([PEER, "10.0.0.0/8"], "198.51.100.1, ::FFFF:10.1.2.3") == "198.51.100.1"
    assert address([], peer=(f"::ffff:{PEER}", 1)) == PEER


def test_a_hop_that_is_no_address_ends_the_search() -> None:
    """It cannot be one of our proxies."""
    assert address([PEER], "198.51.100.1, unknown") == "unknown"
    assert len(address([PEER], "x" * 4_000)) == 64, "and fills no table"


def test_without_a_peer_there_is_no_address() -> None:
    """A server on a Unix socket."""
    assert address([PEER], "198.51.100.1", peer=None) == ""


@pytest.mark.parametrize("network", ["10.0.0.0/33", "proxy.example", "10.0.0.1/8", ""])
def test_a_proxy_that_is_no_network_is_refused_at_the_start(network: str) -> None:
    """Contract §10: refused, not ignored."""
    with pytest.raises(ValueError, match=r".+"):
        TrustedProxies([network])
