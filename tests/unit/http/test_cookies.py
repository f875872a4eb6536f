"""Cookies."""

import pytest

from bifrost.http import cookies
from bifrost.http.cookies import MAX_VALUES
from tests.unit._requests import request


@pytest.mark.parametrize(
    ("headers", "values"),
    [
        ([], []),
        ([("cookie", "")], []),
        ([("cookie", "a=1")], ["1"]),
        ([("cookie", "b=2; a=1; c=3")], ["1"]),
        ([("cookie", "a=1;a=2; a=3")], ["1", "2", "3"]),
        ([("cookie", "a=1"), ("cookie", "a=2")], ["1", "2"]),
        ([("cookie", "a=x=y=")], ["x=y="]),
        ([("cookie", "a=")], [""]),
        ([("cookie", "A=1; aa=2; xa=3; a")], [""]),
        ([("cookie", 'a="1"')], ['"1"']),
        ([("cookie", "__Host-a=1")], []),
        ([("cookie", ";;; a=1 ;")], ["1"]),
    ],
)
def test_every_value_of_a_name_is_seen_in_the_order_sent(headers: list[tuple[str, str]], values: list[str]) -> None:
    """Contract §4: a planted second cookie must not hide the first; RFC 6265 §5.4."""
    assert cookies.values(request(headers), "a") == values


def test_at_most_a_few_values_are_looked_at() -> None:
    """A header full of cookies must not become work."""
    header = "; ".join(f"a={number}" for number in range(100))
    assert len(cookies.values(request([("cookie", header)]), "a")) == MAX_VALUES


def test_a_cookie_is_for_the_whole_host_and_kept_from_scripts_and_other_sites() -> None:
    """Contract §4: HttpOnly; SameSite=Lax; Path=/; Max-Age."""
    attributes = cookies.browser_cookie("a", "x", max_age=900, secure=False).split("; ")
    assert attributes[0] == "a=x"
    assert set(attributes[1:]) == {"Max-Age=900", "Path=/", "HttpOnly", "SameSite=Lax"}


def test_under_https_a_cookie_is_secure_and_its_name_cannot_be_set_by_a_sibling_host() -> None:
    """Contract §4: Secure and `__Host-`, which also demands Path=/ and no Domain."""
    name = cookies.host_prefixed("a", secure=True)
    cookie = cookies.browser_cookie(name, "x", max_age=900, secure=True)
    assert cookie.startswith("__Host-a=x; ")
    assert "Secure" in cookie.split("; ")
    assert "Domain" not in cookie
    assert cookies.host_prefixed("a", secure=False) == "a"
