"""Lists of hosts, as an administrator writes them."""

import pytest

from bifrost.protocol.hosts import is_listed, may_stand


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


@pytest.mark.parametrize(
    "listed", ["app.example.com", "*.Example.com", "localhost", "127.0.0.1", "[::1]", "a_b.example"]
)
def test_a_host_may_stand_in_any_list(listed: str) -> None:
    """Contract §3: as it is found later."""
    assert may_stand(listed, applications=False)
    assert may_stand(listed, applications=True)


@pytest.mark.parametrize("listed", ["cursor://", "com.example.app://", "VSCODE://"])
def test_an_application_may_stand_where_browsers_are_sent(listed: str) -> None:
    """Contract §3: documents have no application."""
    assert may_stand(listed, applications=True)
    assert not may_stand(listed, applications=False)


@pytest.mark.parametrize(
    "listed",
    ["", "*", "*.", "https://evil.example", "evil.example:8443", "evil.example/cb", "evil.example.", " evil.example"]
    + ["a.*.example", "münchen.example", "evil..example", "cursor://x", "evil.example\n"],
)
def test_what_nothing_could_be_found_by_may_stand_in_no_list(listed: str) -> None:
    """Contract §10: a line that blocks nothing is told of, and not passed over."""
    assert not may_stand(listed, applications=True)
