"""An answer of JSON that is bytes already: one that many get is encoded once, and nothing is worked out for any."""

from collections.abc import Sequence

from starlette.responses import Response

_KIND = (b"content-type", b"application/json")
NO_STORE = (b"cache-control", b"no-store")


class EncodedJson(Response):
    """`fields` are those besides kind and length, by their names in lower case."""

    def __init__(self, body: bytes, status_code: int = 200, fields: Sequence[tuple[bytes, bytes]] = ()) -> None:
        # all that Starlette's own would do
        self.status_code = status_code
        self.body = body
        self.background = None
        self.raw_headers = [(b"content-length", b"%d" % len(body)), _KIND, *fields]
