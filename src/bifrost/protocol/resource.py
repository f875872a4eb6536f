"""Resource indicators (RFC 8707): which of our MCP endpoints a request names."""

import re
from collections.abc import Collection

_URI = re.compile(r"(?P<scheme>[A-Za-z]+)://(?P<authority>[^/]+)(?P<path>/.*)?")
"""Only what could be ours is told apart: what is in an authority or a path and belongs in none is none of ours."""
_ENDPOINT = re.compile(r"/mcp(?:/(?P<slug>[a-z0-9][a-z0-9_-]{0,63}))?")
_PORT = re.compile(r":[0-9]+$")
_DEFAULT_PORTS = {"http": ":80", "https": ":443"}

DEFAULT_PATH = "/mcp"


def endpoint_path(resource: str, origins: Collection[str]) -> str | None:
    """The path (`/mcp` or `/mcp/{slug}`) of the endpoint that `resource` names, or None when it is not ours.

    Scheme and host compare case-insensitively, a default port and one trailing slash are ignored, and a bare origin
    means `/mcp` (contract §4). The slug is only checked for its form.
    """
    match = _URI.fullmatch(resource)
    if not match or origin(match["scheme"], match["authority"]) not in origins:
        return None
    path = (match["path"] or "").removesuffix("/") or DEFAULT_PATH
    return path if _ENDPOINT.fullmatch(path) else None


def origin(scheme: str, authority: str) -> str:
    """RFC 6454 §6.2 of a URL's scheme and authority."""
    scheme, authority = scheme.lower(), authority.lower()
    host = authority.removesuffix(_DEFAULT_PORTS.get(scheme, " "))
    return f"{scheme}://{authority if _PORT.search(host) else host}"


def slug(path: str) -> str | None:
    """The slug of an endpoint path; None for `/mcp` itself."""
    match = _ENDPOINT.fullmatch(path)
    return match["slug"] if match else None
