"""Is it a person's browser that asks? (RFC 9110 §12.5.1)"""

from starlette.requests import Request


def prefers_html(request: Request) -> bool:
    """`text/html` is named, and named at least as warmly as JSON. `*/*` alone is a program."""
    weights = dict(_weight(entry) for entry in request.headers.get("accept", "").split(","))
    html = max(weights.get("text/html", 0.0), weights.get("application/xhtml+xml", 0.0))
    return html > 0 and html >= weights.get("application/json", 0.0)


def _weight(entry: str) -> tuple[str, float]:
    kind, _, parameters = entry.strip().partition(";")
    name, _, value = parameters.strip().partition("=")
    if name.strip() != "q":
        return kind.strip().lower(), 1.0
    try:
        return kind.strip().lower(), min(max(float(value), 0.0), 1.0)
    except ValueError:
        return kind.strip().lower(), 0.0
