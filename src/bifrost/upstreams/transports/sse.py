"""Server-sent events, as much as MCP uses of them (HTML §9.2)."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

BYTE_ORDER_MARK = b"\xef\xbb\xbf"
MAX_RETRY_DIGITS = 6
MESSAGE = (b"", b"message")
"""The names of events that are messages."""

_FIELDS = frozenset((b"data", b"event", b"id", b"retry"))


@dataclass(frozen=True, slots=True)
class Event:
    """`id` is where a stream may be resumed after this event; `retry` is in milliseconds; both only if it said so."""

    data: bytes | None = None
    name: bytes = b""
    id: str | None = None
    retry: int | None = None


async def events(chunks: AsyncIterator[bytes]) -> AsyncIterator[Event]:
    """Every event that has data, an id or a time to wait before reconnecting; comments are passed over."""
    fields: dict[bytes, bytearray] = {}
    async for line in _lines(chunks):
        if line:
            name, _, value = line.partition(b":")
            if name in fields and name == b"data":
                fields[name] += b"\n" + value.removeprefix(b" ")
            elif name in _FIELDS:
                fields[name] = bytearray(value.removeprefix(b" "))
        elif fields:
            yield _event(fields)
            fields = {}


def _event(fields: dict[bytes, bytearray]) -> Event:
    last_id = fields[b"id"].decode(errors="replace") if b"id" in fields else None
    retry = fields.get(b"retry", b"")
    return Event(
        data=bytes(fields[b"data"]) if b"data" in fields else None,
        name=bytes(fields.get(b"event", b"")),
        id=last_id if last_id and last_id.isprintable() and last_id.isascii() else None,
        retry=int(retry) if retry.isdigit() and len(retry) <= MAX_RETRY_DIGITS else None,
    )


async def _lines(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Lines end with LF, CR LF or CR. Only what is new is looked at: a long line in many pieces stays cheap."""
    half = bytearray()
    begun = after_cr = False
    async for chunk in chunks:
        new = chunk
        if after_cr and new:
            # the CR before it ended a line already; this LF is its other half
            new = new.removeprefix(b"\n")
            after_cr = False
        after_cr = after_cr or new.endswith(b"\r")
        *ends, rest = new.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
        for end in ends:
            line = bytes(half + end) if half else end
            half.clear()
            yield line if begun else line.removeprefix(BYTE_ORDER_MARK)
            begun = True
        half += rest
