"""What things are called on /mcp, where many upstreams share one list, and how a name finds its upstream again.

Tools and prompts carry their upstream's name as a prefix. URIs stay as they are, since results are full of them and
cannot be rewritten; where two upstreams list the same one, the second is shown under a URI of ours that says which.
"""

import re
from urllib.parse import quote, unquote

from bifrost.upstreams.models import Upstream

PREFIX_SEPARATOR = "-"
OWN_SCHEME = "bifrost"

_EXPRESSION = re.compile(r"\{[^{}]*\}")


def prefix(upstream: Upstream) -> str:
    """What its names begin with where many upstreams share one list."""
    return f"{upstream.name}{PREFIX_SEPARATOR}"


def split(name: str) -> tuple[str, str]:
    """The upstream's name and its own name for the thing; upstream names have no hyphen, so the first one separates.

    No upstream is named by a name without one.
    """
    upstream, separator, own = name.partition(PREFIX_SEPARATOR)
    return (upstream, own) if separator else ("", name)


def explicit_uri(upstream: Upstream, uri: str) -> str:
    """A URI that says which upstream it is for: `bifrost://<upstream>/<the whole URI, escaped>`."""
    return f"{OWN_SCHEME}://{upstream.name}/{quote(uri, safe='')}"


def explicit(uri: str) -> tuple[str, str] | None:
    """The upstream's name and its own URI, when the URI says which upstream it is for."""
    prefix = f"{OWN_SCHEME}://"
    name, slash, rest = uri.removeprefix(prefix).partition("/")
    return (name, unquote(rest)) if uri.startswith(prefix) and slash else None


def fits(template: str, uri: str) -> bool:
    """Whether a URI may have been made from this template (RFC 6570): its fixed parts are there, in their order.

    Generous, and linear in time: the template is an upstream's, the URI a client's.
    """
    first, *others = _EXPRESSION.split(template)
    if not others:
        return uri == first
    *middle, last = others
    if not uri.startswith(first):
        return False
    place = len(first)
    for part in middle:
        found = uri.find(part, place)
        if found < 0:
            return False
        place = found + len(part)
    return uri.endswith(last) and len(uri) - len(last) >= place
