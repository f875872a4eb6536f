"""The origins of the server."""

import pytest

from bifrost.http.public_urls import PublicUrls, is_loopback
from bifrost.settings import ConfigurationError, load
from tests.unit._requests import request

LOOPBACK = PublicUrls(("http://localhost:8080", "http://127.0.0.1:8080", "http://[::1]:8080"))
PUBLIC = PublicUrls(("https://gw.example.com", "https://other.example.com:8443"))


@pytest.mark.parametrize(
    ("urls", "host", "origin"),
    [
        (LOOPBACK, "localhost:8080", "http://localhost:8080"),
        (LOOPBACK, "127.0.0.1:8080", "http://127.0.0.1:8080"),
        (LOOPBACK, "[::1]:8080", "http://[::1]:8080"),
        (LOOPBACK, "LOCALHOST:8080", "http://localhost:8080"),
        (PUBLIC, "gw.example.com", "https://gw.example.com"),
        (PUBLIC, "gw.example.com:443", "https://gw.example.com"),
        (PUBLIC, "other.example.com:8443", "https://other.example.com:8443"),
        (PublicUrls(("http://localhost",)), "localhost:80", "http://localhost"),
    ],
)
def test_the_origin_of_a_request_is_the_configured_one_that_its_host_names(
    urls: PublicUrls, host: str, origin: str
) -> None:
    """Contract §1."""
    assert urls.origin_of(request({"host": host})) == origin


@pytest.mark.parametrize(
    ("urls", "host"),
    [
        (LOOPBACK, "localhost"),
        (LOOPBACK, "localhost:8081"),
        (LOOPBACK, "evil.example"),
        (LOOPBACK, "localhost:8080.evil.example"),
        (LOOPBACK, "localhost:8080@evil.example"),
        (LOOPBACK, "0.0.0.0:8080"),
        (LOOPBACK, "127.0.0.2:8080"),
        (LOOPBACK, ""),
        (PUBLIC, "gw.example.com:80"),
        (PUBLIC, "gw.example.com."),
        (PUBLIC, "sub.gw.example.com"),
        (PUBLIC, "other.example.com"),
        (PUBLIC, "gw.example.com:443:443"),
    ],
)
def test_a_request_for_another_host_is_not_for_us(urls: PublicUrls, host: str) -> None:
    """Contract §1: 421. A rebound name of a foreign page ends here."""
    assert urls.origin_of(request({"host": host})) is None


def test_a_request_without_a_host_or_with_two_is_not_for_us() -> None:
    """RFC 9112 §3.2."""
    assert LOOPBACK.origin_of(request()) is None
    twice = request([("host", "localhost:8080"), ("host", "localhost:8080")])
    assert LOOPBACK.origin_of(twice) is None


@pytest.mark.parametrize("header", ["x-forwarded-host", "forwarded", "x-original-host", "x-forwarded-proto"])
def test_no_other_header_names_the_host(header: str) -> None:
    """Contract §1: absolute URLs come from configuration alone."""
    sent = request({"host": "gw.example.com", header: "host=evil.example"})
    assert PUBLIC.origin_of(sent) == "https://gw.example.com"
    assert PUBLIC.origin_of(request({header: "gw.example.com"})) is None


def test_the_first_origin_is_the_issuer_as_it_was_written() -> None:
    """Contract §1: one stored string."""
    assert PUBLIC.issuer == "https://gw.example.com"
    assert PUBLIC.secure
    assert not LOOPBACK.secure


@pytest.mark.parametrize(
    ("origin", "loopback"),
    [
        ("http://localhost", True),
        ("http://localhost:8080", True),
        ("https://127.0.0.1:1", True),
        ("http://[::1]:8080", True),
        ("http://localhost.evil.example", False),
        ("http://127.0.0.1.evil.example", False),
        ("http://127.0.0.10", False),
        ("http://evil.example/localhost", False),
        ("http://[::1].evil.example", False),
        ("https://gw.example.com", False),
        ("null", False),
        ("", False),
    ],
)
def test_loopback_is_this_computer_and_nothing_that_looks_like_it(origin: str, *, loopback: bool) -> None:
    """Contract §10: anonymous use is the default only there."""
    assert is_loopback(origin) is loopback


def test_all_origins_must_be_loopback_to_count_as_local() -> None:
    """Contract §10: enforce_auth_on_inference."""
    assert LOOPBACK.only_loopback
    assert not PublicUrls(("http://localhost:8080", "https://gw.example.com")).only_loopback


@pytest.mark.parametrize(
    ("url", "host"), [("https://gw.example.com:443", "gw.example.com"), ("http://localhost:80", "localhost")]
)
def test_a_default_port_in_the_configuration_is_either_refused_or_served(url: str, host: str) -> None:
    """Contract §4: a default port is ignored. No client writes it into `Host`."""
    try:
        settings = load(None, {}, {"server": {"public_urls": [url]}})
    except ConfigurationError:
        return
    assert PublicUrls(settings.public_urls).origin_of(request({"host": host})) is not None
