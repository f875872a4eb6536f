"""Resource indicators."""

import pytest

from bifrost.protocol import resource

ORIGINS = ("https://gw.example.com", "http://localhost:8080", "http://[::1]:8080")


@pytest.mark.parametrize(
    ("indicator", "path"),
    [
        ("https://gw.example.com/mcp", "/mcp"),
        ("https://gw.example.com/mcp/", "/mcp"),
        ("https://gw.example.com", "/mcp"),
        ("https://gw.example.com/", "/mcp"),
        ("HTTPS://GW.Example.COM/mcp", "/mcp"),
        ("https://gw.example.com:443/mcp", "/mcp"),
        ("https://gw.example.com/mcp/notes", "/mcp/notes"),
        ("https://gw.example.com/mcp/notes/", "/mcp/notes"),
        ("https://gw.example.com/mcp/my_notes-2", "/mcp/my_notes-2"),
        ("http://localhost:8080/mcp", "/mcp"),
        ("http://LOCALHOST:8080/mcp", "/mcp"),
        ("http://[::1]:8080/mcp", "/mcp"),
        ("https://gw.example.com/mcp/2notes", "/mcp/2notes"),
        ("https://gw.example.com/mcp/a", "/mcp/a"),
        ("https://gw.example.com/mcp/" + "a" * 64, "/mcp/" + "a" * 64),
    ],
)
def test_a_resource_indicator_names_one_of_our_endpoints(indicator: str, path: str) -> None:
    """Contract §4: case of scheme and host, default port and one trailing slash are ignored; an origin means /mcp."""
    assert resource.endpoint_path(indicator, ORIGINS) == path


@pytest.mark.parametrize(
    "indicator",
    [
        "",
        "/mcp",
        "gw.example.com/mcp",
        "https://",
        "https:///mcp",
        "https://other.example.com/mcp",
        "http://gw.example.com/mcp",
        "https://gw.example.com:8443/mcp",
        "https://gw.example.com:80/mcp",
        "http://localhost/mcp",
        "https://gw.example.com.evil.example/mcp",
        "https://gw.example.com@evil.example/mcp",
        "https://user@gw.example.com/mcp",
        "https://gw.example.com\\@evil.example/mcp",
        "https://gw.example.com/MCP",
        "https://gw.example.com/mcp2",
        "https://gw.example.com//mcp",
        "https://gw.example.com/mcp//",
        "https://gw.example.com//",
        "https://gw.example.com/mcp/a/b",
        "https://gw.example.com/mcp/../admin",
        "https://gw.example.com/mcp/%6eotes",
        "https://gw.example.com/mcp/Notes",
        "https://gw.example.com/mcp/-notes",
        "https://gw.example.com/mcp/" + "a" * 65,
        "https://gw.example.com/mcp?x=1",
        "https://gw.example.com/mcp#",
        "https://gw.example.com/mcp#x",
        "https://gw.example.com?x",
        "https://gw.example.com/mcp\n",
        " https://gw.example.com/mcp",
        "urn:mcp",
        "https://gw.example.com:443:443/mcp",
        "https://gw.example.com:x/mcp",
        "https://gw.example.com?x/mcp",
        "https://gw.example.com#x/mcp",
        "https://gw.example.com:/mcp",
        "https:/gw.example.com/mcp",
        "x-https://gw.example.com/mcp",
    ],
)
def test_any_other_resource_indicator_is_not_ours(indicator: str) -> None:
    """Contract §4: invalid_target; RFC 8707 §2: no fragment."""
    assert resource.endpoint_path(indicator, ORIGINS) is None


@pytest.mark.parametrize(
    ("path", "slug"), [("/mcp", None), ("/mcp/notes", "notes"), ("/mcp/", None), ("/other", None), ("/mcp/a/b", None)]
)
def test_the_slug_of_an_endpoint_path(path: str, slug: str | None) -> None:
    """Contract §1."""
    assert resource.slug(path) == slug


@pytest.mark.parametrize(
    ("scheme", "authority", "origin"),
    [
        ("https", "GW.example.com:443", "https://gw.example.com"),
        ("HTTP", "localhost:80", "http://localhost"),
        ("http", "localhost:443", "http://localhost:443"),
        ("https", "[::1]:443", "https://[::1]"),
        ("https", "a:8443", "https://a:8443"),
        ("https", "a:443:443", "https://a:443:443"),
        ("https", "a:x:443", "https://a:x"),
        ("ftp", "a", "ftp://a"),
    ],
)
def test_an_origin_is_lower_case_without_its_default_port(scheme: str, authority: str, origin: str) -> None:
    """RFC 6454 §6.2."""
    assert resource.origin(scheme, authority) == origin
