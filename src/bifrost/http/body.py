"""Reading a request body: never more than the endpoint's limit, only of the kind it reads, and not for ever."""

import asyncio
import functools

from starlette.requests import ClientDisconnect, Request

from bifrost.base.errors import Invalid, TooLarge, TooSlow, Unsupported

MAX_DIGITS = 20
"""Of a Content-Length: what 64 bits need. Python refuses to convert thousands of them."""
SECONDS = 30.0
"""For a whole body, however its parts arrive."""

ARRIVED = "bifrost.arrived"
"""Where the server leaves in the scope what gives the whole body if it is here already, and else None.

Most are, and then nothing has to be waited for.
"""

_UTF_8 = ("charset=utf-8", 'charset="utf-8', "charset=utf8")


async def read(request: Request, *, limit: int, content_type: str) -> bytes:
    """The body, at most `limit` bytes. Raises TooLarge, TooSlow, Unsupported, Invalid."""
    if not _is_of_kind(request.headers.get("content-type", ""), content_type):
        raise Unsupported(f"Send the body as {content_type}.")
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise Unsupported("Send the body without a content encoding.")
    declared = request.headers.get("content-length", "0")
    if not declared.isascii() or not declared.isdigit() or len(declared) > MAX_DIGITS:
        raise Invalid("The Content-Length is not a number.")
    if int(declared) > limit:
        raise TooLarge(f"The body is larger than {limit} bytes.")
    arrived = request.scope.get(ARRIVED)
    whole: bytes | None = arrived() if arrived else None
    if whole is not None:
        return _within(whole, limit)
    try:
        async with asyncio.timeout(SECONDS):
            return await _received(request, limit)
    except TimeoutError as error:
        raise TooSlow(f"The body did not arrive within {SECONDS:g} seconds.") from error


@functools.lru_cache(maxsize=256)
def _is_of_kind(sent: str, content_type: str) -> bool:
    kind, *parameters = (part.strip().lower() for part in sent.split(";"))
    charsets = [part for part in parameters if part.startswith("charset=") and part.strip('"') not in _UTF_8]
    return kind == content_type and not charsets


def _within(whole: bytes, limit: int) -> bytes:
    if len(whole) > limit:
        raise TooLarge(f"The body is larger than {limit} bytes.")
    return whole


async def _received(request: Request, limit: int) -> bytes:
    """As ASGI gives it: most bodies come in one piece, for which a stream of pieces would cost more than they do."""
    pieces: list[bytes] = []
    size = 0
    while True:
        message = await request.receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        pieces.append(message.get("body", b""))
        size += len(pieces[-1])
        if size > limit:
            raise TooLarge(f"The body is larger than {limit} bytes.")
        if not message.get("more_body", False):
            return pieces[0] if len(pieces) == 1 else b"".join(pieces)
