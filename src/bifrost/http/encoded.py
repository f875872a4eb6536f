"""An answer that is bytes already: one that many get is encoded once, and nothing is worked out for any."""

from collections.abc import Sequence
from typing import Any

import msgspec
from starlette.responses import Response

Field = tuple[bytes, bytes]
"""A header field; its name is in lower case."""

NO_STORE: Field = (b"cache-control", b"no-store")
SECRET = (NO_STORE, (b"pragma", b"no-cache"))
"""Of every answer to a program that may have a secret in it (RFC 6749 §5.1)."""

_JSON: Field = (b"content-type", b"application/json")


class Encoded(Response):
    """`fields` are those besides the length."""

    def __init__(self, body: bytes, status_code: int = 200, fields: Sequence[Field] = ()) -> None:
        # all that Starlette's own would do
        self.status_code = status_code
        self.body = body
        self.background = None
        self.raw_headers = [(b"content-length", b"%d" % len(body)), *fields]


class EncodedJson(Encoded):
    """`fields` are those besides kind and length."""

    def __init__(self, body: bytes, status_code: int = 200, fields: Sequence[Field] = ()) -> None:
        super().__init__(body, status_code, (_JSON, *fields))


def not_stored(answer: Any, status_code: int = 200, fields: Sequence[Field] = ()) -> EncodedJson:
    """What is for whoever asked alone."""
    return EncodedJson(msgspec.json.encode(answer), status_code, (*SECRET, *fields))


def public(answer: Any, seconds: int) -> EncodedJson:
    """What is the same for everybody, and may be kept for so long."""
    return EncodedJson(msgspec.json.encode(answer), fields=((b"cache-control", b"public, max-age=%d" % seconds),))
