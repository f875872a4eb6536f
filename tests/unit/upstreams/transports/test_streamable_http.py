"""What is made of an upstream's answer, without a network."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from msgspec import UNSET

from bifrost.http.client_connection import TooLarge
from bifrost.protocol.jsonrpc import Message, RpcError
from bifrost.upstreams.errors import UpstreamUnavailable
from bifrost.upstreams.transports.streamable_http import MAX_ANSWER_BYTES, Reply

pytestmark = pytest.mark.anyio

ANSWER = b'{"jsonrpc":"2.0","id":1,"result":{"x":1}}'
ERROR = b'{"jsonrpc":"2.0","id":1,"error":{"code":-32601,"message":"No."}}'
NOTICE = b'{"jsonrpc":"2.0","method":"notifications/progress","params":{}}'


class Response:
    """As much of an answer as is looked at."""

    def __init__(self, *chunks: bytes, status: int = 200, content_type: str = "application/json") -> None:
        self.status = status
        self.media_type = content_type
        self._chunks = chunks

    async def chunks(self) -> AsyncIterator[bytes]:
        for chunk in self._chunks:
            yield chunk

    def at_once(self, limit: int) -> bytes | None:
        return self._chunks[0] if len(self._chunks) == 1 and len(self._chunks[0]) <= limit else None

    async def read(self, limit: int) -> bytes:
        if sum(map(len, self._chunks)) > limit:
            raise TooLarge
        return b"".join(self._chunks)


async def message(response: Any) -> Message | None:
    return await Reply("notes", response).answer(1)


def event(*chunks: bytes, status: int = 200) -> Response:
    return Response(*chunks, status=status, content_type="text/event-stream")


async def test_an_answer_in_json_is_read() -> None:
    """MCP 2025-11-25, transports."""
    found = await message(Response(ANSWER[:10], ANSWER[10:]))
    assert found is not None
    assert found.id == 1


@pytest.mark.parametrize(
    "stream",
    [
        b"data: " + ANSWER + b"\n\n",
        b"event: message\nid: 7\ndata: " + ANSWER + b"\n\n",
        b"data: " + NOTICE + b"\n\ndata: " + ANSWER + b"\n\n",
        b": keep-alive\n\ndata: " + ANSWER + b"\n\n",
        b"data: " + ANSWER + b"\n\ndata: not json\n\n",
    ],
)
async def test_the_first_answer_on_a_stream_is_the_one(stream: bytes) -> None:
    """MCP 2025-11-25: notifications may come before the response."""
    found = await message(event(stream))
    assert found is not None
    assert found.result is not UNSET


@pytest.mark.parametrize(
    "primer", [b"id: 1\ndata:\n\n", b"id: 1\ndata: \n\n", b"data\n\n", b"id: 1\nretry: 500\ndata:\n\n"]
)
async def test_an_event_without_data_that_only_primes_reconnection_is_passed_over(primer: bytes) -> None:
    """MCP 2025-11-25, transports: a server should begin a stream with an event id and an empty data field."""
    found = await message(event(primer + b"data: " + ANSWER + b"\n\n"))
    assert found is not None
    assert found.id == 1


@pytest.mark.parametrize("response", [Response(ERROR), Response(ERROR, status=404), Response(ERROR, status=400)])
async def test_an_error_is_an_answer_whatever_the_status(response: Response) -> None:
    """MCP 2026-07-28: errors come with a status of their own."""
    found = await message(response)
    assert found is not None
    assert found.error is not UNSET


@pytest.mark.parametrize(
    "response",
    [
        Response(status=202),
        Response(ANSWER, status=202),
        Response(b"", status=404),
        Response(b"not found", status=404),
        Response(b"<html>", content_type="text/html"),
        Response(b"not json", status=500, content_type="text/plain"),
        event(b""),
        event(b"data: " + NOTICE + b"\n\n"),
        event(b"data: " + ANSWER + b"\n\n", status=404),
    ],
)
async def test_where_there_is_no_answer_there_is_none(response: Response) -> None:
    """A 202, a status without a JSON-RPC body, a stream that ends."""
    assert await message(response) is None


@pytest.mark.parametrize("response", [Response(b"not json"), Response(b"[]"), event(b"data: not json\n\n")])
async def test_an_answer_that_is_no_json_rpc_is_said_to_be_none(response: Response) -> None:
    """Contract §8: an error for that call only, in words that name the upstream and nothing else."""
    with pytest.raises(UpstreamUnavailable, match="notes answered") as caught:
        await message(response)
    assert isinstance(caught.value.__cause__, RpcError)


@pytest.mark.parametrize("content_type", ["application/json", "text/event-stream"])
async def test_an_answer_without_end_is_given_up(content_type: str) -> None:
    """Contract §8: size caps."""
    chunks = [b"x" * (MAX_ANSWER_BYTES // 4)] * 5
    with pytest.raises(UpstreamUnavailable, match="more than"):
        await message(Response(*chunks, content_type=content_type))
