"""Server-sent events, as much as MCP uses of them (HTML §9.2): the data of each event."""

from collections.abc import AsyncIterator


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
    """Lines end with LF, CR LF or CR; a CR at the end of a chunk may be half of a CR LF."""
    rest = b""
    async for chunk in chunks:
        rest += chunk
        held = b"\r" if rest.endswith(b"\r") else b""
        *lines, rest = rest.removesuffix(held).replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
        rest += held
        for line in lines:
            yield line
    if rest:
        yield rest.rstrip(b"\r")
