"""Redirect URIs: which may be registered, and which presented one matches (OAuth 2.1 §2.3, RFC 8252, RFC 9700 §2.1).

Everything is decided on the raw string. A URL parser would drop control characters and disagree with browsers about
backslashes and userinfo, which is how open redirectors are made.
"""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv6Address
from typing import Literal
from urllib.parse import quote

MAX_CHARACTERS = 2_048
MAX_PORT = 65_535

APP_SCHEMES = frozenset(
    ("claude", "cline", "codex", "cursor", "goose", "jetbrains", "kiro", "lmstudio", "raycast", "roo")
    + ("vscode", "vscode-insiders", "vscodium", "warp", "windsurf", "zed")
)
"""Private-use schemes without a dot that known clients own; an operator may add others."""

_FORBIDDEN_SCHEMES = frozenset(
    ("about", "blob", "chrome", "data", "file", "filesystem", "ftp", "intent", "javascript", "jar", "mailto")
    + ("mhtml", "resource", "sms", "tel", "urn", "vbscript", "view-source", "ws", "wss")
)

Kind = Literal["https", "loopback", "app"]

_VISIBLE = re.compile(r"[!-~]+")
_NEVER = re.compile(r"[#\\*<>\"{}|^`]|%(?![0-9A-Fa-f]{2})|%(?:0[0-9A-Fa-f]|1[0-9A-Fa-f]|5[Cc]|7[Ff])")
_PARTS = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*):(?://(?P<authority>[^/?]*))?(?P<path>[^?]*)(?P<query>\?.*)?")
_AUTHORITY = re.compile(
    r"(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*\.?)(?::(?P<port>[0-9]{1,5}))?"
)
_LOOPBACK = re.compile(
    r"http://(?P<host>127\.0\.0\.1|\[::1\]|localhost)(?::(?P<port>[1-9][0-9]{0,4}))?(?P<rest>(?:[/?].*)?)"
)
_DOT_SEGMENT = re.compile(r"(?:^|/|%2f)(?:\.|%2e){1,2}(?:$|/|%2f|;)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class RedirectTarget:
    """Where a redirect leads, in the words a person is shown."""

    kind: Kind
    label: str
    """host[:port] for https and loopback, `scheme://` for an application."""


def refusal(uri: str, app_schemes: Collection[str] = APP_SCHEMES) -> str | None:
    """Why this URI may not be registered, or None when it may."""
    if len(uri) > MAX_CHARACTERS:
        return f"it has more than {MAX_CHARACTERS} characters"
    if not _VISIBLE.fullmatch(uri) or _NEVER.search(uri):
        return "it contains a fragment or a character that is not allowed in a redirect URI"
    parts = _PARTS.fullmatch(uri)
    if not parts:
        return "it is not an absolute URI"
    if _DOT_SEGMENT.search(parts["path"]):
        return "it contains dot segments"
    if "@" in (parts["authority"] or ""):
        return "it contains userinfo"
    scheme = parts["scheme"].lower()
    if scheme == "https":
        return None if _is_authority(parts["authority"]) else "its host is not valid"
    if scheme == "http":
        return None if _loopback(uri) else "http is for loopback hosts only (RFC 8252 section 7.3)"
    return _app_refusal(scheme, parts, app_schemes)


def select(registered: Sequence[str], presented: str | None) -> str | None:
    """The redirect URI of a request, or None when it does not match.

    Exact string comparison (OAuth 2.1 §4.1.1); it may be left out only when exactly one is registered (§2.3.2).
    """
    if presented is None:
        return registered[0] if len(registered) == 1 else None
    return presented if any(matches(uri, presented) for uri in registered) else None


def matches(registered: str, presented: str) -> bool:
    """Equal as strings, but for the port of a loopback redirect: any port will do (RFC 8252 §7.3)."""
    if registered == presented:
        return True
    ours, theirs = _loopback(registered), _loopback(presented)
    return bool(ours and theirs and ours["host"] == theirs["host"] and ours["rest"] == theirs["rest"])


@lru_cache(maxsize=1_000)
def target(uri: str) -> RedirectTarget:
    parts = _PARTS.fullmatch(uri)
    if not parts:
        return RedirectTarget("app", "an application")
    if parts["scheme"].lower() == "https":
        return RedirectTarget("https", parts["authority"] or "")
    if _loopback(uri):
        return RedirectTarget("loopback", parts["authority"] or "")
    return RedirectTarget("app", f"{parts['scheme']}://")


def with_response(uri: str, **parameters: str | None) -> str:
    """Add response parameters and keep the registered query byte for byte (OAuth 2.1 §2.3).

    A space is %20, which every reader takes for one: some that get a redirect by their own scheme leave a + as it is.
    """
    added = "&".join(f"{name}={quote(value, safe='')}" for name, value in parameters.items() if value is not None)
    if "?" not in uri:
        return f"{uri}?{added}"
    return f"{uri}{added}" if uri.endswith(("?", "&")) else f"{uri}&{added}"


def _loopback(uri: str) -> re.Match[str] | None:
    match = _LOOPBACK.fullmatch(uri)
    return match if match and int(match["port"] or 1) <= MAX_PORT else None


def _is_authority(authority: str | None) -> bool:
    match = _AUTHORITY.fullmatch(authority or "")
    if match is None or not (match["port"] is None or 0 < int(match["port"]) <= MAX_PORT):
        return False
    return not match["host"].startswith("[") or _is_ipv6(match["host"][1:-1])


def _is_ipv6(literal: str) -> bool:
    try:
        IPv6Address(literal)
    except ValueError:
        return False
    return True


def _app_refusal(scheme: str, parts: re.Match[str], app_schemes: Collection[str]) -> str | None:
    """RFC 8252 §7.1: a private-use scheme should be a reversed domain name, so it carries a dot."""
    if scheme in _FORBIDDEN_SCHEMES:
        return f"the scheme {scheme} is never allowed"
    if "." not in scheme and scheme not in app_schemes:
        return f"the scheme {scheme} is neither a reversed domain name nor that of a known application"
    if not (parts["authority"] or parts["path"]):
        return "nothing follows its scheme"
    if any(bracket in (parts["authority"] or "") for bracket in "[]") and not _is_authority(parts["authority"]):
        return "its host is not valid"  # brackets are for IPv6 addresses (RFC 3986 §3.2.2)
    return None
