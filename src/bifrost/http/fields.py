"""Header fields of a request, one by one.

Starlette's mapping decodes all of them for each question, and a dozen questions are asked of every request.
"""

from starlette.requests import Request


def values(request: Request, name: bytes) -> list[str]:
    """Of every field of this name, which is in lower case, in their order."""
    return [value.decode("latin-1") for field, value in request.scope["headers"] if field == name]


def first(request: Request, name: bytes, otherwise: str = "") -> str:
    """Of the first field of this name."""
    for field, value in request.scope["headers"]:
        if field == name:
            return str(value, "latin-1")
    return otherwise
