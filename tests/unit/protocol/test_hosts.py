"""Lists of hosts, as an administrator writes them."""

import pytest

from bifrost.protocol.hosts import is_listed


@pytest.mark.parametrize(
    ("host", "listed", "expected"),
    [
        ("app.example.com", ["app.example.com"], True),
        ("APP.example.com:8443", ["app.EXAMPLE.com"], True),
        ("app.example.com.", ["app.example.com"], True),
        ("app.example.com.:443", ["*.example.com"], True),
        ("a.b.example.com", ["*.example.com"], True),
        ("a.b.example.com", ["*.Example.com"], True),
        ("example.com", ["*.example.com"], False),
        ("evilexample.com", ["*.example.com"], False),
        ("example.com.evil.example", ["example.com"], False),
        ("app.example.com", ["other.example", "app.example.com"], True),
        ("app.example.com", [], False),
        ("[::1]:8080", ["[::1]"], True),
        ("127.0.0.1:8080", ["127.0.0.1"], True),
        ("cursor://", ["cursor://"], True),
        ("", ["example.com"], False),
    ],
)
def test_a_host_is_listed_by_its_name_or_below_one(host: str, listed: list[str], expected: bool) -> None:
    """Contract §3: case, port and a last dot make no other host."""
    assert is_listed(host, listed) is expected
