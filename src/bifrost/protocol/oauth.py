"""OAuth's own words: error codes, grant types and client authentication methods (RFC 6749, 7591, 8707)."""

from typing import Final, Literal

from bifrost.base.errors import Invalid

AUTHORIZATION_CODE = "authorization_code"
REFRESH_TOKEN = "refresh_token"  # noqa: S105 - a grant type's name
GRANT_TYPES = (AUTHORIZATION_CODE, REFRESH_TOKEN)
RESPONSE_TYPE = "code"

NONE = "none"
CLIENT_SECRET_POST = "client_secret_post"  # noqa: S105 - a method's name
CLIENT_SECRET_BASIC = "client_secret_basic"  # noqa: S105 - a method's name
PRIVATE_KEY_JWT = "private_key_jwt"
ES256 = "ES256"
AUTH_METHODS = (NONE, CLIENT_SECRET_POST, CLIENT_SECRET_BASIC)
"""What a client can register for itself. `none` first: some use their metadata document only when they see it."""

ENDPOINT_AUTH_METHODS = (*AUTH_METHODS, PRIVATE_KEY_JWT)
"""What the token and revocation endpoints take (RFC 8414 §2); keys come from a document or an administrator."""

CLIENT_ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
"""RFC 7523 §2.2."""

AccessTokenFormat = Literal["opaque", "jwt"]
OPAQUE: Final = "opaque"
JWT: Final = "jwt"
"""RFC 9068."""

INVALID_REQUEST = "invalid_request"
INVALID_REQUEST_URI = "invalid_request_uri"
REQUEST_NOT_SUPPORTED = "request_not_supported"
"""OpenID Connect Core §3.1.2.6."""
INVALID_CLIENT = "invalid_client"
INVALID_GRANT = "invalid_grant"
INVALID_SCOPE = "invalid_scope"
INVALID_TARGET = "invalid_target"
INVALID_REDIRECT_URI = "invalid_redirect_uri"
INVALID_CLIENT_METADATA = "invalid_client_metadata"
UNAUTHORIZED_CLIENT = "unauthorized_client"
UNSUPPORTED_GRANT_TYPE = "unsupported_grant_type"
UNSUPPORTED_RESPONSE_TYPE = "unsupported_response_type"
ACCESS_DENIED = "access_denied"


class OAuthError(Invalid):
    """A refusal in OAuth's own form (RFC 6749 §5.2): `code` is `error`, `message` is `error_description`.

    `basic` or `bearer` says that the client used the Authorization header, so a 401 must name that scheme; `nonce` is
    what its next DPoP proof must contain (RFC 9449 §8); `retry_after` asks for so many seconds of quiet before the same
    comes again.
    """

    def __init__(
        self,
        code: str,
        message: str,
        *,
        param: str = "",
        basic: bool = False,
        bearer: bool = False,
        nonce: str = "",
        retry_after: int = 0,
    ) -> None:
        super().__init__(message, code=code, param=param)
        self.retry_after = retry_after
        self.basic = basic
        self.bearer = bearer
        self.nonce = nonce

    @property
    def status(self) -> int:
        return 401 if self.code == INVALID_CLIENT else 400
