"""JSON with one reading only."""

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bifrost.base.errors import Invalid
from bifrost.http import strict_json

MAX_DEPTH, MAX_DIGITS = 16, 32

TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=10)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**30), 10**30) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=12,
)


@given(JSON)
def test_ordinary_json_is_read_as_it_is(value: Any) -> None:
    """Contract §3."""
    assert strict_json.loads(json.dumps(value).encode()) == value
    assert strict_json.loads(json.dumps(value, ensure_ascii=False).encode()) == value


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b" ",
        b"{",
        b"{'a':1}",
        b'{"a":1,}',
        b"[1,]",
        b"nul",
        b'{"a":1} {"b":2}',
        b'{"a":1}x',
        b"// comment\n{}",
        b"01",
        b"+1",
        b"\xef\xbb\xbf{}",
        # not UTF-8
        b'"\xff"',
        b'"\xed\xa0\x80"',
        '"ü"'.encode("latin-1"),
        "{}".encode("utf-16"),
        # two members of one name
        b'{"a":1,"a":1}',
        b'{"a":1,"\\u0061":2}',
        b'{"x":{"a":1,"a":2}}',
        b'[{"a":1,"a":2}]',
        # numbers that are none, or that another reader reads differently
        b"NaN",
        b'{"a":Infinity}',
        b"[-Infinity]",
        b"1" * (MAX_DIGITS + 1),
        b"1." + b"1" * MAX_DIGITS,
        b"1e400",
        b'{"a":-1e999}',
        # text that is none
        b'"\\u0000"',
        b'{"\\u0000":1}',
        b'"\\ud800"',
        b'"x\\udc00y"',
        b'{"\\ud800":1}',
        b'"\\udfff"',
        b'"\\udbff"',
        b'[["\\ud83d"]]',
        b'"\n"',
    ],
)
def test_json_that_two_readers_could_read_differently_is_refused(raw: bytes) -> None:
    """Contract §3: UTF-8, no duplicate keys, bounded depth and numbers."""
    with pytest.raises(Invalid):
        strict_json.loads(raw)


def test_a_pair_of_surrogates_is_a_character() -> None:
    """RFC 8259 §7."""
    assert strict_json.loads(b'"\\ud83d\\ude00"') == "\U0001f600"


@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a":', "}")])
def test_nesting_has_a_limit(opening: str, closing: str) -> None:
    """Contract §3: bounded depth, also beside brackets that were closed."""
    beside = f"[{opening * (MAX_DEPTH - 1)}1{closing * (MAX_DEPTH - 1)}{',[]' * 20}]"
    assert strict_json.loads(beside.encode())
    with pytest.raises(Invalid, match=f"deeper than {MAX_DEPTH} levels"):
        strict_json.loads(f"[{beside}]".encode())
    strict_json.loads(f"{opening * MAX_DEPTH}1{closing * MAX_DEPTH}".encode())
    for depth in (MAX_DEPTH + 1, 1_000, 100_000):
        with pytest.raises(Invalid):
            strict_json.loads(f"{opening * depth}1{closing * depth}".encode())


def test_a_number_may_have_as_many_digits_as_the_limit_says() -> None:
    """Contract §3: bounded numbers."""
    assert strict_json.loads(b"1" * MAX_DIGITS) == int("1" * MAX_DIGITS)
    assert strict_json.loads(b"1.5e3") == 1_500


@given(st.binary(max_size=60))
def test_no_body_fails_in_another_way(raw: bytes) -> None:
    """The endpoint handles Invalid and nothing else."""
    with contextlib.suppress(Invalid):
        strict_json.loads(raw)
