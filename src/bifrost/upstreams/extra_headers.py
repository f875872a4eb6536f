"""Header fields of a caller's request that an upstream may get as well: those that its `allowed_extra_headers` name.

Never a field that proves who the caller is to us, or says who somebody is to others: an upstream would be handed what
it could use elsewhere (MCP security: token passthrough), or believe what anybody can write.
"""

import re
from collections.abc import Callable, Iterable, Mapping

Field = Callable[[str], list[str]]
"""The values of a field of the caller's request, by its name in lower case."""

RESERVED_HEADERS = frozenset(
    (
        "accept", "accept-encoding", "connection", "content-encoding", "content-length", "content-type", "expect",
        "host", "keep-alive", "last-event-id", "mcp-method", "mcp-name", "mcp-protocol-version", "mcp-session-id",
        "proxy-authorization", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade", "user-agent",
    )
)  # fmt: skip
"""Headers that are the gateway's own business on the way to an upstream; so is whatever begins with `mcp-`."""

STATIC_HEADERS = frozenset(("proxy-authorization", "user-agent"))
"""Of those, what an administrator may set for an upstream: it asks for nobody else, and frames nothing."""

_OF_THE_CALLER = frozenset(
    (
        "api-key", "authorization", "cookie", "dpop", "forwarded", "origin", "proxy-authenticate",
        "proxy-authentication-info", "referer", "set-cookie", "via", "www-authenticate", "x-api-key", "x-goog-api-key",
        "x-real-ip",
    )
)  # fmt: skip
"""What proves to us who a caller is, and what their browser or a proxy says of them."""

_MCP = "mcp-"
_PREFIXES = ("x-bf-", "x-forwarded-", _MCP, "sec-")
MAX_CHARACTERS = 8_192
_VALUE = re.compile(rf"[!-~](?:[\t -~]{{0,{MAX_CHARACTERS - 2}}}[!-~])?")
"""RFC 9110 §5.5, in ASCII."""


def may_be_passed_on(name: str) -> bool:
    return not never_passed_on((name,))


def never_passed_on(names: Iterable[str]) -> str:
    """The first of these that is no caller's to send to an upstream; empty when there is none."""
    return _first(names, RESERVED_HEADERS | _OF_THE_CALLER, _PREFIXES)


def ours(names: Iterable[str], *, static: bool = False) -> str:
    """The first of these that the gateway itself says to an upstream; empty when there is none."""
    return _first(names, RESERVED_HEADERS - STATIC_HEADERS if static else RESERVED_HEADERS, (_MCP,))


def _first(names: Iterable[str], reserved: frozenset[str], prefixes: tuple[str, ...]) -> str:
    return next((name for name in names if name.lower() in reserved or name.lower().startswith(prefixes)), "")


def passed_on(allowed: tuple[str, ...], sent: Field) -> Mapping[str, str]:
    """Those that are allowed and were sent, repeated ones as one list (RFC 9110 §5.3); nothing that is not plain.

    What the caller's `Connection` names was for this hop alone (RFC 9110 §7.6.1).
    """
    this_hop = {name.strip().lower() for line in sent("connection") for name in line.split(",")}
    passed = [name for name in allowed if may_be_passed_on(name) and name.lower() not in this_hop]
    found = {name: ", ".join(sent(name.lower())) for name in passed}
    return {name: value for name, value in found.items() if _VALUE.fullmatch(value)}
