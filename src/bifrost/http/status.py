"""One table: kind of domain error → HTTP status and the `type` of the gateway's error body."""

from bifrost.base import errors

TABLE: dict[type[errors.DomainError], tuple[int, str]] = {
    errors.Invalid: (400, "invalid_request_error"),
    errors.Unauthenticated: (401, "authentication_error"),
    errors.Denied: (403, "permission_error"),
    errors.NotFound: (404, "not_found_error"),
    errors.MethodNotAllowed: (405, "method_not_allowed_error"),
    errors.TooSlow: (408, "request_timeout_error"),
    errors.Conflict: (409, "conflict_error"),
    errors.Gone: (410, "expired_error"),
    errors.TooLarge: (413, "too_large_error"),
    errors.Unsupported: (415, "unsupported_media_type_error"),
    errors.Misdirected: (421, "misdirected_request_error"),
    errors.TooMany: (429, "rate_limit_error"),
    errors.Unexpected: (500, "internal_error"),
    errors.Unavailable: (503, "unavailable_error"),
}


def of(error: errors.DomainError) -> tuple[int, str]:
    """The status and type of the nearest class of the error that the table knows."""
    for kind in type(error).__mro__:
        if kind in TABLE:
            return TABLE[kind]
    raise LookupError(f"{type(error).__name__} has no row in the status table")


def headers(error: errors.DomainError) -> dict[str, str]:
    if isinstance(error, (errors.TooMany, errors.Unavailable)):
        return {"Retry-After": str(error.retry_after)}
    if isinstance(error, errors.MethodNotAllowed):
        return {"Allow": ", ".join(error.allowed)}
    if isinstance(error, errors.TooSlow):
        return {"Connection": "close"}  # the rest of the request is not waited for (RFC 9110 §15.5.9)
    return {}
