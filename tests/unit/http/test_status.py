"""The table of statuses."""

import pytest

from bifrost.base import errors
from bifrost.base.errors import DomainError
from bifrost.http import status


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.Invalid("x"), 400),
        (errors.Unauthenticated("x"), 401),
        (errors.Denied("x"), 403),
        (errors.NotFound("x"), 404),
        (errors.MethodNotAllowed(("GET",)), 405),
        (errors.TooSlow("x"), 408),
        (errors.Conflict("x"), 409),
        (errors.Gone("x"), 410),
        (errors.TooLarge("x"), 413),
        (errors.Unsupported("x"), 415),
        (errors.Misdirected("x"), 421),
        (errors.TooMany("x", retry_after=1), 429),
        (errors.Unexpected(), 500),
        (errors.Unavailable("x"), 503),
    ],
)
def test_every_kind_has_its_status(error: DomainError, code: int) -> None:
    """Contract §§1, 2, 5, 7."""
    assert status.of(error)[0] == code


def test_an_error_of_a_slice_has_the_status_of_its_kind() -> None:
    """Errors mean something; surfaces say it."""

    class Special(errors.Gone):
        pass

    class Rarer(Special):
        pass

    assert status.of(Rarer("x")) == status.of(errors.Gone("x"))


def test_an_error_without_a_row_is_noticed() -> None:
    """tests/test_house.py looks at every class."""
    with pytest.raises(LookupError, match="DomainError"):
        status.of(DomainError("x"))


def test_no_two_kinds_share_a_status_or_a_type() -> None:
    """Contract §2: `type` and `status_code` say the same."""
    assert len(set(status.TABLE.values())) == len(status.TABLE)
    assert len({code for code, _ in status.TABLE.values()}) == len(status.TABLE)


def test_what_passes_says_when_to_come_back_and_a_wrong_method_says_the_right_ones() -> None:
    """Contract §2: Retry-After, Allow."""
    assert status.headers(errors.TooMany("x", retry_after=30)) == {"Retry-After": "30"}
    assert status.headers(errors.Unavailable("x", retry_after=5)) == {"Retry-After": "5"}
    assert status.headers(errors.MethodNotAllowed(("GET", "HEAD"))) == {"Allow": "GET, HEAD"}
    assert status.headers(errors.TooSlow("x")) == {"Connection": "close"}
    assert status.headers(errors.Invalid("x")) == {}
