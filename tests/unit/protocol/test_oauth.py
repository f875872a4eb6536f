"""OAuth's words."""

import pytest

from bifrost.base.errors import DomainError
from bifrost.protocol import oauth
from bifrost.protocol.oauth import OAuthError


@pytest.mark.parametrize(
    ("code", "status"),
    [
        (oauth.INVALID_CLIENT, 401),
        (oauth.INVALID_REQUEST, 400),
        (oauth.INVALID_GRANT, 400),
        (oauth.INVALID_SCOPE, 400),
        (oauth.INVALID_TARGET, 400),
        (oauth.INVALID_REDIRECT_URI, 400),
        (oauth.INVALID_CLIENT_METADATA, 400),
        (oauth.UNAUTHORIZED_CLIENT, 400),
        (oauth.UNSUPPORTED_GRANT_TYPE, 400),
    ],
)
def test_only_a_client_that_cannot_be_authenticated_gets_401(code: str, status: int) -> None:
    """Contract §6: unknown client → 401 invalid_client; RFC 6749 §5.2."""
    error = OAuthError(code, "No.")
    assert (error.code, error.message, error.status, error.basic) == (code, "No.", status, False)


def test_an_oauth_error_is_a_domain_error_with_a_parameter() -> None:
    """Contract §2."""
    error = OAuthError(oauth.INVALID_TARGET, "No.", param="resource", basic=True)
    assert isinstance(error, DomainError)
    assert (error.param, error.basic) == ("resource", True)
