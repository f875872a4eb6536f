"""Commands of the management API: a body or a query has one reading, or an error that names the member."""

from typing import Annotated, Any

import msgspec
import pytest
from msgspec import Meta

from bifrost.base.errors import Invalid
from bifrost.http.commands import Command, Paging, all_sent, converted, from_body, from_query, named, sent
from tests.unit._requests import request

pytestmark = pytest.mark.anyio


class _Inner(Command, frozen=True, kw_only=True):
    tools: tuple[str, ...] = ()


class _Wanted(Command, frozen=True, kw_only=True):
    name: Annotated[str, Meta(min_length=1, max_length=5)]
    count: Annotated[int, Meta(ge=1)] = 1
    active: bool = True
    inner: tuple[_Inner, ...] = ()
    note: str | msgspec.UnsetType | None = msgspec.UNSET


@pytest.mark.parametrize(
    ("value", "message", "param"),
    [
        ({}, "The member name is missing.", "name"),
        ({"name": 1}, "The member name is not valid: expected text, got a whole number.", "name"),
        ({"name": None}, "The member name is not valid: expected text, got null.", "name"),
        ({"name": ""}, "The member name is not valid: expected text of length >= 1.", "name"),
        ({"name": "123456"}, "The member name is not valid: expected text of length <= 5.", "name"),
        ({"name": "a", "nam": 1}, "The member nam is not known here.", "nam"),
        ({"name": "a", "x" * 200: 1}, f"The member {'x' * 80} is not known here.", "x" * 80),
        ({"name": "a", "\u202e": 1}, "The member  is not known here.", ""),
        ({"name": "a", "count": "1"}, "The member count is not valid: expected a whole number, got text.", "count"),
        ({"name": "a", "count": True}, None, "count"),
        ({"name": "a", "count": 1.5}, None, "count"),
        ({"name": "a", "count": 0}, None, "count"),
        ({"name": "a", "active": "true"}, None, "active"),
        ({"name": "a", "note": []}, "The member note is not valid: expected text, got a list.", "note"),
        ({"name": "a", "inner": {}}, "The member inner is not valid: expected a list, got an object.", "inner"),
        ({"name": "a", "inner": [{"tools": [1]}]}, None, "inner[0].tools[0]"),
        ({"name": "a", "inner": [{}, {"tool": []}]}, "The member inner[1].tool is not known here.", "inner[1].tool"),
        ([], "The request is not valid: expected an object, got a list.", ""),
        (None, "The request is not valid: expected an object, got null.", ""),
    ],
    ids=lambda value: str(value)[:50],
)
def test_what_is_wrong_is_said_in_words_and_the_member_is_named(value: Any, message: str | None, param: str) -> None:
    """Contract §2: `error.param` names the offending parameter."""
    with pytest.raises(Invalid) as refused:
        converted(value, _Wanted)
    assert refused.value.param == param
    assert "`" not in refused.value.message
    assert "$" not in refused.value.message
    assert message is None or refused.value.message == message


def test_a_member_that_was_not_sent_differs_from_null() -> None:
    """Contract §9: a change touches only what is sent."""
    assert converted({"name": "a"}, _Wanted).note is msgspec.UNSET
    assert converted({"name": "a", "note": None}, _Wanted).note is None


def test_the_parameters_of_a_query_are_typed() -> None:
    """Contract §9: `limit` and `offset`; an empty value counts as absent."""
    assert from_query(request(query=b"limit=10&offset="), Paging) == Paging(limit=10, offset=0)
    assert from_query(request(), Paging) == Paging(limit=50, offset=0)


@pytest.mark.parametrize(
    ("query", "param"),
    [
        (b"limit=0", "limit"),
        (b"limit=201", "limit"),
        (b"limit=-1", "limit"),
        (b"limit=1e3", "limit"),
        (b"limit=ten", "limit"),
        (b"limit=" + b"9" * 400, "limit"),
        (b"offset=-1", "offset"),
        (b"offset=99999999999999999999", "offset"),
        (b"limit=1&limit=2", "limit"),
        (b"limti=1", "limti"),
    ],
    ids=str,
)
def test_a_bad_parameter_is_named(query: bytes, param: str) -> None:
    """Ours: a mistyped filter must not silently list everything."""
    with pytest.raises(Invalid) as refused:
        from_query(request(query=query), Paging)
    assert refused.value.param == param


async def test_a_body_is_read_strictly() -> None:
    """TC: two readings of one body; no duplicate members."""
    headers = {"Content-Type": "application/json"}
    assert (await from_body(request(body=b'{"name":"a"}', headers=headers), _Wanted)).name == "a"
    for body in (b'{"name":"a","name":"b"}', b"{", b"", b'{"name":NaN}', b"\xff"):
        with pytest.raises(Invalid):
            await from_body(request(body=body, headers=headers), _Wanted)


def test_what_was_not_sent_is_told_from_what_was_sent_as_null() -> None:
    """Contract §9: a change concerns only the members that were sent."""
    command = converted({"name": "a", "note": None}, _Wanted)
    assert all_sent(command) == {"name": "a", "count": 1, "active": True, "inner": (), "note": None}
    assert "note" not in all_sent(converted({"name": "a"}, _Wanted))
    assert (sent(msgspec.UNSET), sent(None), sent("")) == (None, None, "")


@pytest.mark.parametrize("name", ["", " ", "\t", "a\nb", "a\u202eb", "\x1b[31m"])
def test_a_name_is_something_to_read(name: str) -> None:
    """Contract §9: it is shown to people, and stands in lists."""
    with pytest.raises(Invalid) as refused:
        named(name)
    assert refused.value.param == "name"
    assert named(" Ünïcode ☃ ") == " Ünïcode ☃ "
