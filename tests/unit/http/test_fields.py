"""Header fields, one by one."""

import pytest

from bifrost.http import fields
from tests.unit._requests import request

SENT = request([("Accept", "a"), ("X-One", "first"), ("x-one", "caf\xe9"), ("x-on", "other"), ("empty", "")])


@pytest.mark.parametrize(
    ("name", "values"), [(b"x-one", ["first", "café"]), (b"accept", ["a"]), (b"empty", [""]), (b"x", []), (b"", [])]
)
def test_all_fields_of_a_name_are_found_in_their_order(name: bytes, values: list[str]) -> None:
    """RFC 9110 §5.2, and Starlette reads them alike."""
    assert fields.values(SENT, name) == values == SENT.headers.getlist(name.decode())


@pytest.mark.parametrize(("name", "value"), [(b"x-one", "first"), (b"empty", ""), (b"x", "otherwise")])
def test_of_several_fields_the_first_counts(name: bytes, value: str) -> None:
    """RFC 9110 §5.3: where only one is allowed."""
    assert fields.first(SENT, name, "otherwise") == value == SENT.headers.get(name.decode(), "otherwise")
