"""Cookies, read by hand: every value of a name is seen, so that a planted second cookie cannot hide the first."""

from starlette.requests import Request

MAX_VALUES = 32


def values(request: Request, name: str) -> list[str]:
    """Every value sent under this name, in order (RFC 6265 §5.4 lets a browser send several)."""
    found = []
    for header in request.headers.getlist("cookie"):
        for pair in header.split(";"):
            key, _, value = pair.strip().partition("=")
            if key == name:
                found.append(value)
    return found[:MAX_VALUES]


def browser_cookie(name: str, value: str, *, max_age: int, secure: bool, same_site: str = "Lax") -> str:
    """A `Set-Cookie` for the whole host, kept from scripts; `max_age` in seconds, 0 deletes it."""
    flags = "; Secure" if secure else ""
    return f"{name}={value}; Max-Age={max_age}; Path=/; HttpOnly; SameSite={same_site}{flags}"


def host_prefixed(name: str, *, secure: bool) -> str:
    """RFC 6265bis §4.1.3.2: under https the `__Host-` prefix keeps sibling hosts from setting it."""
    return f"__Host-{name}" if secure else name
