"""The outbound client, as far as it can be seen without a network."""

import pytest

from bifrost.http.client import OutboundClient, OutsideUrlRefused

STRICT = OutboundClient(vets=lambda _address: True, development=False)
DEVELOPMENT = OutboundClient(vets=lambda _address: True, development=True)


@pytest.mark.anyio
async def test_a_client_that_was_never_used_can_be_closed_twice() -> None:
    """Stopping must never fail."""
    await STRICT.close()
    await STRICT.close()


@pytest.mark.parametrize(
    "url", ["https://as.example.com", "https://as.example.com:8443/a?b=c", "https://[2001:db8::1]/x", "https://a/"]
)
def test_an_outside_url_is_https(url: str) -> None:
    """Contract §8: every URL that comes from outside goes through one guarded client."""
    STRICT.check_url(url)
    DEVELOPMENT.check_url(url)


@pytest.mark.parametrize("url", ["http://localhost:9000/x", "http://127.0.0.1/x", "http://[::1]:9000/x"])
def test_plain_http_is_for_loopback_in_development_only(url: str) -> None:
    """Contract §8."""
    DEVELOPMENT.check_url(url)
    with pytest.raises(OutsideUrlRefused):
        STRICT.check_url(url)


@pytest.mark.parametrize(
    "url",
    ["", "as.example.com", "//as.example.com", "http://as.example.com", "ftp://as.example.com", "file:///etc/passwd"]
    + ["https://user@as.example.com", "https://user:pw@as.example.com/x", "https://as.example.com/x#y", "https://"]
    + ["https://as.example.com\\@evil.example", "https://as.example.com/a b", "https://as.example.com/\r\nX: y"]
    + ["https://as.example.com:999999/", "javascript:alert(1)", "https://bücher.example", "HTTPS://as.example.com"],
)
def test_any_other_outside_url_is_refused(url: str) -> None:
    """Contract §8: no userinfo, no fragment, nothing that two parsers read differently."""
    for client in (STRICT, DEVELOPMENT):
        with pytest.raises(OutsideUrlRefused):
            client.check_url(url)
