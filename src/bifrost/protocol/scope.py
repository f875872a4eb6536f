"""Scopes (RFC 6749 §3.3) of the MCP endpoints: two words, and the order they are written in."""

import re

READ = "mcp:read"
WRITE = "mcp:write"
OFFLINE_ACCESS = "offline_access"
SUPPORTED = (READ, WRITE)
DEFAULT = " ".join(SUPPORTED)

IN_WORDS = {
    READ: "See the tools you may use, and call those that only read",
    WRITE: "Call every tool you may use, including those that change things",
}

_TOKEN = re.compile(r"[!#-\[\]-~]{1,256}")


def is_scope(word: str) -> bool:
    """RFC 6749 §3.3: visible ASCII but for the quotation mark and the backslash; and of a sensible length."""
    return _TOKEN.fullmatch(word) is not None


def granted(requested: str | None) -> str:
    """What is granted for what was asked: unknown words are dropped, and nothing left means the default.

    Widely used bridges ask only for `openid email profile` (contract §4), so an unknown scope is no error;
    RFC 6749 §3.3 lets the server ignore it as long as the token response names what was granted.
    """
    words = set((requested or "").split(" "))
    return " ".join(word for word in SUPPORTED if word in words) or DEFAULT


def limited(granted: str, limit: str) -> str:
    """At most what the limit allows; an empty limit is none. Read is always left, because write implies it."""
    return " ".join(word for word in granted.split(" ") if not limit or allows(limit, word)) or READ


def narrowed(requested: str | None, grant: str) -> str | None:
    """RFC 6749 §6: absent means the same as granted, and so do words that mean nothing here; more makes it None."""
    words = set((requested or "").split(" ")) & set(SUPPORTED)
    if not words:
        return grant
    if not all(allows(grant, word) for word in words):
        return None
    return " ".join(word for word in SUPPORTED if word in words)


def allows(scope: str, needed: str) -> bool:
    """Write implies read."""
    words = scope.split(" ")
    return needed in words or (needed == READ and WRITE in words)
