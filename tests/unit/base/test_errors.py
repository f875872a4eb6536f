"""The domain's errors."""

import re

import pytest

from bifrost.base import errors
from bifrost.base.errors import DomainError

KINDS = DomainError.__subclasses__()
OURS = [kind for kind in KINDS if kind.__module__ == errors.__name__]


def test_every_kind_is_named_in_the_picture_at_the_top_of_the_module() -> None:
    """The module's own docstring."""
    assert errors.__doc__
    pictured = set(re.findall(r"[├└]─ (\w+)", errors.__doc__))
    assert pictured == {kind.__name__ for kind in OURS}


@pytest.mark.parametrize("kind", OURS, ids=lambda kind: str(kind.__name__))
def test_the_code_of_a_kind_is_stable_snake_case(kind: type[DomainError]) -> None:
    """Contract §2: `error.code` is stable snake_case."""
    assert re.fullmatch(r"[a-z]+(?:_[a-z]+)*", kind.default_code)
    assert kind.default_code != DomainError.default_code


def test_the_codes_of_the_kinds_differ() -> None:
    """Contract §2: a code says which."""
    assert len({kind.default_code for kind in OURS}) == len(OURS)


def test_an_error_says_its_message_its_code_and_its_parameter() -> None:
    """Contract §2."""
    error = errors.Invalid("No.", code="invalid_target", param="resource")
    assert (str(error), error.message, error.code, error.param) == ("No.", "No.", "invalid_target", "resource")
    plain = errors.Invalid("No.")
    assert (plain.code, plain.param) == ("invalid_request", "")


def test_errors_that_pass_say_when_to_come_back() -> None:
    """Contract §2: 503 and 429 carry Retry-After, in seconds."""
    assert errors.TooMany("Slow down.", retry_after=30).retry_after == 30
    assert errors.Unavailable("Later.").retry_after > 0


def test_a_wrong_method_names_the_right_ones() -> None:
    """Contract §2: 405 and `Allow`."""
    error = errors.MethodNotAllowed(("GET", "POST"))
    assert error.allowed == ("GET", "POST")
    assert "GET, POST" in error.message


def test_a_fault_of_ours_says_nothing_about_its_cause() -> None:
    """Contract §2: no stack trace, SQL, path or library name ever leaves."""
    assert errors.Unexpected().message == errors.Unexpected().message
    assert errors.Unexpected().code == "server_error"
    assert errors.Unexpected().__cause__ is None
