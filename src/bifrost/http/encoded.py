"""An answer of JSON that is bytes already: one that many get is encoded once, and nothing is worked out for any."""

from collections.abc import Sequence
from typing import Any

import msgspec
from starlette.responses import Response

_KIND = (b"content-type", b"application/json")
NO_STORE = ((b"cache-control", b"no-store"), (b"pragma", b"no-cache"))
"""Of every answer that may have a secret in it (RFC 6749 §5.1)."""


class EncodedJson(Response):
    """`fields` are those besides kind and length, by their names in lower case."""

    def __init__(self, body: bytes, status_code: int = 200, fields: Sequence[tuple[bytes, bytes]] = ()) -> None:
        # all that Starlette's own would do
        self.status_code = status_code
        self.body = body
        self.background = None
        self.raw_headers = [(b"content-length", b"%d" % len(body)), _KIND, *fields]


def not_stored(answer: Any, status_code: int = 200, fields: Sequence[tuple[bytes, bytes]] = ()) -> EncodedJson:
    """What is for whoever asked alone."""
    return EncodedJson(msgspec.json.encode(answer), status_code, (*NO_STORE, *fields))


def public(answer: Any, seconds: int) -> EncodedJson:
    """What is the same for everybody, and may be kept for so long."""
    return EncodedJson(msgspec.json.encode(answer), fields=((b"cache-control", b"public, max-age=%d" % seconds),))
