"""Which addresses an outside URL may lead to."""

import pytest

from bifrost.http.addresses import AllowedNetworks, is_loopback, is_public, subscriber

REFUSED = [
    "0.0.0.0",  # noqa: S104 - judged, not bound
    "10.1.2.3",
    "100.64.0.1",
    "127.0.0.1",
    "127.255.255.254",
    "169.254.169.254",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.8",
    "192.0.2.1",
    "192.88.99.1",
    "192.168.1.1",
    "198.18.0.1",
    "198.51.100.7",
    "203.0.113.9",
    "224.0.0.1",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::127.0.0.1",
    "::ffff:127.0.0.1",
    "::ffff:169.254.169.254",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::1",
    "100::1",
    "2001::1",
    "2001:db8::1",
    "2002:a9fe:a9fe::",
    "3fff::1",
    "5f00::1",
    "fc00::1",
    "fd12:3456::1",
    "fe80::1",
    "fe80::1%lo",
    "fec0::1",
    "ff02::1",
]


@pytest.mark.parametrize(
    ("address", "counted"),
    [
        ("198.51.100.7", "198.51.100.7"),
        ("2a00:1450:4001:1::1", "2a00:1450:4001:1::/64"),
        ("2a00:1450:4001:1:ffff:ffff:ffff:ffff", "2a00:1450:4001:1::/64"),
        ("2a00:1450:4001:2::1", "2a00:1450:4001:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::ffff:198.51.100.7", "198.51.100.7"),
        ("unknown", "unknown"),
        ("", ""),
    ],
)
def test_all_addresses_of_a_subscriber_count_as_one(address: str, counted: str) -> None:
    """Contract §5: whoever has one address of IPv6 has more of them than anybody could count."""
    assert subscriber(address) == counted


@pytest.mark.parametrize("address", REFUSED)
def test_a_special_use_address_is_refused(address: str) -> None:
    """TC-098, RFC 6890: private, shared, mapped, translated, tunnelled, site-local, documentation, multicast."""
    assert not is_public(address)


@pytest.mark.parametrize("address", ["1.1.1.1", "8.8.8.8", "172.32.0.1", "100.128.0.1", "2606:4700::1111", "2a00::1"])
def test_a_global_unicast_address_is_public(address: str) -> None:
    """What is left is the internet."""
    assert is_public(address)


@pytest.mark.parametrize("text", ["", "localhost", "0177.0.0.1", "2130706433", "0x7f.1", "127.1", "①②⑦.0.0.1"])
def test_what_is_not_an_address_is_not_public(text: str) -> None:
    """Only addresses are judged, after resolution; a name or an odd spelling never passes as one."""
    assert not is_public(text)


def test_an_operator_can_open_a_network_of_the_house() -> None:
    """`client.allowed_networks`: an authorization server in the house, and nothing around it."""
    house = AllowedNetworks(["10.20.0.0/16", "fd00:1::/32"])
    assert house.vets("10.20.3.4")
    assert house.vets("fd00:1::5")
    assert house.vets("1.1.1.1")
    assert not house.vets("10.21.0.1")
    assert not house.vets("127.0.0.1")
    assert not house.vets("not an address")


@pytest.mark.parametrize("address", ["127.0.0.1", "127.255.255.254", "::1", "::1%lo"])
def test_an_address_of_this_machine_is_loopback(address: str) -> None:
    """RFC 6890 §2.2."""
    assert is_loopback(address)


@pytest.mark.parametrize("text", ["128.0.0.1", "10.0.0.1", "0.0.0.0", "::", "::2", "localhost", "", "127.1"])  # noqa: S104
def test_another_address_or_a_name_is_not_loopback(text: str) -> None:
    """Only addresses are judged; a name is what a resolver makes of it."""
    assert not is_loopback(text)
