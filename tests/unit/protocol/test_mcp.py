"""MCP's words, and values in headers."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bifrost.protocol import mcp

TEXT = st.text(st.characters(codec="utf-8"), max_size=40)


@pytest.mark.parametrize("text", ["add", "notes-search", "a b", "file:///a/b?c=d", "!", "=?base64", "a=b", "x" * 200])
def test_a_plain_value_stands_in_a_header_as_it_is(text: str) -> None:
    """MCP 2026-07-28, transports."""
    assert mcp.header_value(text) == text
    assert mcp.header_text(text) == text


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", "=?base64??="),
        (" add", "=?base64?IGFkZA==?="),
        ("add ", "=?base64?YWRkIA==?="),
        ("a\nb", "=?base64?YQpi?="),
        ("ü", "=?base64?w7w=?="),
        ("=?base64?YWRk?=", "=?base64?PT9iYXNlNjQ/WVdSaz89?="),
    ],
)
def test_a_value_that_a_header_could_not_carry_is_encoded(text: str, value: str) -> None:
    """MCP 2026-07-28, transports: also what only looks encoded, so that it is not decoded by mistake."""
    assert mcp.header_value(text) == value
    assert mcp.header_text(value) == text


@pytest.mark.parametrize("value", ["=?base64?A?=", "=?base64?AAA?=", "=?base64?/w==?=", "=?base64?=?="])
def test_a_broken_encoding_stands_for_nothing(value: str) -> None:
    """MCP 2026-07-28: it then differs from the body, which is a header mismatch."""
    assert mcp.header_text(value) is None


@given(TEXT)
def test_every_text_survives_the_header(text: str) -> None:
    """MCP 2026-07-28, transports."""
    assert mcp.header_text(mcp.header_value(text)) == text


@given(TEXT)
def test_no_text_can_break_out_of_its_header(text: str) -> None:
    """RFC 9110 §5.5: visible ASCII, with spaces only inside."""
    assert re.fullmatch(r"[!-~](?:[ -~]*[!-~])?", mcp.header_value(text))


@given(TEXT, TEXT)
def test_two_texts_have_the_same_value_only_when_they_are_equal(one: str, other: str) -> None:
    """A proxy that decides by the header must not confuse two tools."""
    assert (mcp.header_value(one) == mcp.header_value(other)) == (one == other)


@given(TEXT)
def test_no_header_value_makes_reading_fail(value: str) -> None:
    """Whatever a client sends is a text or nothing."""
    assert isinstance(mcp.header_text(value), str | None)


def test_the_eras_do_not_overlap_and_the_newest_comes_first() -> None:
    """Contract §7: both eras at once."""
    assert not set(mcp.MODERN_VERSIONS) & set(mcp.LEGACY_VERSIONS)
    assert list(mcp.LEGACY_VERSIONS) == sorted(mcp.LEGACY_VERSIONS, reverse=True)
    assert {"2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"} == set(mcp.LEGACY_VERSIONS)
    assert mcp.ASSUMED_VERSION in mcp.LEGACY_VERSIONS


def test_the_headers_have_lower_case_names() -> None:
    """They are compared with what ASGI hands over."""
    names = (mcp.VERSION_HEADER, mcp.METHOD_HEADER, mcp.NAME_HEADER, mcp.SESSION_HEADER)
    assert all(name == name.lower() for name in names)
