"""Server-sent events, as much as MCP uses of them (HTML §9.2): the data of each event."""

from collections.abc import AsyncIterator

BYTE_ORDER_MARK = b"\xef\xbb\xbf"


async def data(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The data of every event that has any; comments, names and ids are passed over."""
    pending: list[bytes] = []
    async for line in _lines(chunks):
        if line.startswith(b"data:"):
            pending.append(line[5:].removeprefix(b" "))
        elif not line and pending:
            yield b"\n".join(pending)
            pending = []


async def _lines(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Lines end with LF, CR LF or CR. Only what is new is looked at: a long line in many pieces stays cheap."""
    pieces: list[bytes] = []
    begun = after_cr = False
    async for chunk in chunks:
        new = chunk
        if new and not begun:
            new, begun = new.removeprefix(BYTE_ORDER_MARK), True
        if after_cr and new:
            # the CR before it ended a line already; this LF is its other half
            new = new.removeprefix(b"\n")
            after_cr = False
        after_cr = after_cr or new.endswith(b"\r")
        *ends, rest = new.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
        for end in ends:
            yield b"".join((*pieces, end))
            pieces = []
        if rest:
            pieces.append(rest)
