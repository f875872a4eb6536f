"""Is it a person's browser that asks? (RFC 9110 §12.5.1)"""

from starlette.requests import Request


def prefers_html(request: Request) -> bool:
    """`text/html` is named, and named at least as warmly as JSON. `*/*` alone is a program."""
    weights = dict(_weight(entry) for entry in request.headers.get("accept", "").split(","))
    html = max(weights.get("text/html", 0.0), weights.get("application/xhtml+xml", 0.0))
    return html > 0 and html >= weights.get("application/json", 0.0)


def _weight(entry: str) -> tuple[str, float]:
    """The media type and its `q`, wherever among the parameters that stands."""
    kind, *parameters = (part.strip() for part in entry.split(";"))
    weight = 1.0
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip().lower() == "q":
            weight = _quality(value)
    return kind.lower(), weight


def _quality(text: str) -> float:
    try:
        return min(max(float(text), 0.0), 1.0)
    except ValueError:
        return 0.0
