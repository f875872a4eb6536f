"""What can go wrong, in domain words. A surface (http/surface.py) decides how each kind looks on the wire.

DomainError
├─ Invalid            the request is wrong; sending it again will not help
├─ Unauthenticated    a credential is missing or does not verify
├─ Denied             known, but not allowed
├─ NotFound           no such thing (or none that the caller may know of)
├─ MethodNotAllowed   the address is right, the HTTP method is not
├─ TooSlow            the request did not arrive in time
├─ Conflict           somebody was faster, or it already happened
├─ Gone               it existed and has expired
├─ TooLarge           a body or a member over its limit
├─ TooMany            a limit was reached; try later
├─ Misdirected        the request names a host this server is not
├─ Unsupported        the body is of a kind that this endpoint does not read
├─ Unavailable        storage or an upstream does not answer; try later
└─ Unexpected         a fault of ours: the cause is in the log, never in the answer
"""


class DomainError(Exception):
    """`code` is stable snake_case, `message` is for the caller, `param` names the offending parameter."""

    default_code = "error"

    def __init__(self, message: str, *, code: str = "", param: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.code = code or self.default_code
        self.param = param


class Invalid(DomainError):
    default_code = "invalid_request"


class Unauthenticated(DomainError):
    default_code = "invalid_token"


class Denied(DomainError):
    default_code = "access_denied"


class NotFound(DomainError):
    default_code = "not_found"


class MethodNotAllowed(DomainError):
    default_code = "method_not_allowed"

    def __init__(self, allowed: tuple[str, ...]) -> None:
        super().__init__(f"This address answers {', '.join(allowed)} only.")
        self.allowed = allowed


class TooSlow(DomainError):
    default_code = "request_timeout"


class Conflict(DomainError):
    default_code = "conflict"


class Gone(DomainError):
    default_code = "expired"


class TooLarge(DomainError):
    default_code = "too_large"


class TooMany(DomainError):
    """`retry_after` is in seconds."""

    default_code = "rate_limited"

    def __init__(self, message: str, *, retry_after: int, code: str = "", param: str = "") -> None:
        super().__init__(message, code=code, param=param)
        self.retry_after = retry_after


class Misdirected(DomainError):
    default_code = "misdirected_request"


class Unsupported(DomainError):
    default_code = "unsupported_media_type"


class Unavailable(DomainError):
    """`retry_after` is in seconds."""

    default_code = "temporarily_unavailable"

    def __init__(self, message: str, *, code: str = "", retry_after: int = 5) -> None:
        super().__init__(message, code=code)
        self.retry_after = retry_after


class StorageFault(Unavailable):
    """The database does not answer. Nothing was written; the same request may be sent again."""


class Unexpected(DomainError):
    default_code = "server_error"

    def __init__(self) -> None:
        super().__init__("Something went wrong on our side. The request id finds it in the server's log.")
