"""OAuth's JSON error."""

import json

import pytest

from bifrost.base import errors
from bifrost.base.errors import DomainError
from bifrost.http import oauth_error
from bifrost.protocol import oauth
from bifrost.protocol.oauth import OAuthError
from tests.unit._requests import request


@pytest.mark.parametrize(
    ("error", "code", "word"),
    [
        (OAuthError(oauth.INVALID_GRANT, "No."), 400, "invalid_grant"),
        (OAuthError(oauth.INVALID_CLIENT, "No."), 401, "invalid_client"),
        (errors.Invalid("No.", param="code"), 400, "invalid_request"),
        (errors.Invalid("No.", code="something_of_ours"), 400, "invalid_request"),
        (errors.TooLarge("No."), 413, "invalid_request"),
        (errors.Unsupported("No."), 415, "invalid_request"),
        (errors.MethodNotAllowed(("POST",)), 405, "invalid_request"),
        (errors.Misdirected("No."), 421, "invalid_request"),
        (errors.Unavailable("No."), 503, "temporarily_unavailable"),
        (errors.TooMany("No.", retry_after=7), 429, "temporarily_unavailable"),
        (errors.Unexpected(), 500, "server_error"),
    ],
)
def test_an_error_has_the_form_of_rfc_6749(error: DomainError, code: int, word: str) -> None:
    """Contract §2: `error`, `error_description`, `Cache-Control: no-store`."""
    answer = oauth_error.render(request(), error, "oauth_token")
    assert answer.status_code == code
    assert json.loads(bytes(answer.body)) == {"error": word, "error_description": error.message}
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["pragma"] == "no-cache"


def test_only_a_client_that_used_the_header_is_challenged_by_its_scheme() -> None:
    """RFC 6749 §5.2."""
    by_header = oauth_error.render(request(), OAuthError(oauth.INVALID_CLIENT, "No.", basic=True), "oauth_token")
    in_body = oauth_error.render(request(), OAuthError(oauth.INVALID_CLIENT, "No."), "oauth_token")
    assert by_header.headers["www-authenticate"].startswith("Basic ")
    assert "www-authenticate" not in in_body.headers


def test_what_passes_says_when_to_come_back_and_a_wrong_method_says_the_right_ones() -> None:
    """Contract §2: Retry-After, Allow."""
    assert oauth_error.render(request(), errors.TooMany("No.", retry_after=7), "x").headers["retry-after"] == "7"
    assert oauth_error.render(request(), errors.MethodNotAllowed(("POST",)), "x").headers["allow"] == "POST"
