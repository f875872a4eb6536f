"""Header fields that are looked up give the answers of those that are searched."""

import pytest
from starlette.datastructures import Headers

from bifrost.http.request import FoundHeaders, IncomingRequest
from tests.unit._requests import request

FIELDS = [(b"host", b"a.example"), (b"x-twice", b"1"), (b"origin", b"https://\xe9"), (b"x-twice", b"2"), (b"x-no", b"")]
NAMES = ["host", "Host", "X-Twice", "origin", "x-no", "absent", "hos", "x-twice "]


@pytest.mark.parametrize("name", NAMES)
def test_a_field_is_found_as_it_would_be_by_searching(name: str) -> None:
    """RFC 9110 §5.1: without case; ours: the first of a name, all of them in order where a rule wants all."""
    found, searched = FoundHeaders(FIELDS), Headers(raw=FIELDS)
    assert found.get(name) == searched.get(name)
    assert found.get(name, "none") == searched.get(name, "none")
    assert found.getlist(name) == searched.getlist(name)
    assert (name in found) == (name in searched)
    assert found.items() == searched.items()
    if name in searched:
        assert found[name] == searched[name]
    else:
        with pytest.raises(KeyError):
            found[name]


def test_a_request_has_the_fields_of_its_scope() -> None:
    """Ours: nothing is kept of one request for another."""
    one, other = (request([("x-api-key", value)]) for value in ("1", "2"))
    requests = [IncomingRequest(each.scope, each.receive) for each in (one, other)]
    assert [each.headers["X-Api-Key"] for each in requests] == ["1", "2"]
    assert [each.method for each in requests] == ["GET", "GET"]
