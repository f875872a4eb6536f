"""Streamable HTTP as a client: one POST, and the one message that answers it, from JSON or from a stream of events."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass

import aiohttp
from msgspec import UNSET

from bifrost.http.client import OutboundClient
from bifrost.protocol import jsonrpc
from bifrost.protocol.jsonrpc import Message, RpcError
from bifrost.upstreams.errors import UpstreamUnavailable
from bifrost.upstreams.transports import sse

MAX_ANSWER_BYTES = 16 * 1024 * 1024
ACCEPT = {"Accept": "application/json, text/event-stream", "Content-Type": "application/json"}
_HTTP_OK = 200
_HTTP_ACCEPTED = 202


@dataclass(frozen=True, slots=True)
class Exchange:
    """What came back: `message` is None when the answer carried none (a 202, or a status without a JSON-RPC body)."""

    status: int
    headers: Mapping[str, str]
    message: Message | None
    challenges: tuple[str, ...] = ()
    """The values of WWW-Authenticate."""


@dataclass(frozen=True, slots=True)
class StreamableHttp:
    client: OutboundClient

    async def exchange(
        self,
        url: str,
        *,
        body: bytes,
        headers: Mapping[str, str],
        seconds: float,
        upstream: str,
        request_id: int | None = None,
    ) -> Exchange:
        """Only an answer to `request_id` is one; a notification has none.

        Raises UpstreamUnavailable, in words that name the upstream and nothing else.
        """
        try:
            async with self.client.post(url, body=body, headers={**ACCEPT, **headers}, seconds=seconds) as response:
                challenges = tuple(response.headers.getall("WWW-Authenticate", ()))
                return Exchange(
                    response.status, response.headers, await _message(response, upstream, request_id), challenges
                )
        except TimeoutError as error:
            raise UpstreamUnavailable(f"{upstream} did not answer within {seconds:g} seconds.") from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise UpstreamUnavailable(f"{upstream} cannot be reached.") from error


async def _message(response: aiohttp.ClientResponse, upstream: str, request_id: int | None) -> Message | None:
    chunks = _capped(response.content.iter_any(), upstream)
    try:
        if response.content_type == "text/event-stream" and response.status == _HTTP_OK:
            return await _from_events(chunks, request_id)
        raw = b"".join([chunk async for chunk in chunks])
        if response.content_type != "application/json" or response.status == _HTTP_ACCEPTED or request_id is None:
            return None
        message = jsonrpc.decode(raw)
    except RpcError as error:
        if response.status != _HTTP_OK:
            return None
        raise UpstreamUnavailable(f"{upstream} answered with something that is not JSON-RPC.") from error
    if message.id == request_id:
        return message
    if response.status == _HTTP_OK:
        raise UpstreamUnavailable(f"{upstream} answered another request than the one it was asked.")
    return None  # an error about the exchange as a whole; the status says it


async def _from_events(chunks: AsyncIterator[bytes], request_id: int | None) -> Message | None:
    """The response on the stream; what else comes on it is not for the caller of a single request."""
    async for data in sse.data(chunks):
        if not data:
            continue  # an event that only gives the id to resume from (2025-11-25, transports)
        message = jsonrpc.decode(data)
        if message.id == request_id and (message.result is not UNSET or message.error is not UNSET):
            return message
    return None


async def _capped(chunks: AsyncIterator[bytes], upstream: str) -> AsyncIterator[bytes]:
    size = 0
    async for chunk in chunks:
        size += len(chunk)
        if size > MAX_ANSWER_BYTES:
            raise UpstreamUnavailable(f"{upstream} answered with more than {MAX_ANSWER_BYTES} bytes.")
        yield chunk
