"""HTTP with server-sent events (MCP 2024-11-05): one stream on which everything comes, and an address to post to.

The address comes from the upstream, so it is judged: same scheme, host and port as the configured one, or the
credentials would go to somebody else. This revision cannot resume a stream; when one ends, so does what was said on it,
and the next request begins anew.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from urllib.parse import urljoin

from bifrost.http.pooled_client import locate
from bifrost.upstreams.errors import UpstreamUnavailable
from bifrost.upstreams.models import Upstream
from bifrost.upstreams.transports import sse
from bifrost.upstreams.transports.base import Channel, Duplex
from bifrost.upstreams.transports.sse import Event

OPEN_SECONDS = 10.0
"""From the request for the stream to the address to post to."""

SEND_SECONDS = 10.0
MAX_ENDPOINT_CHARACTERS = 2_048
_MULTIPLE_CHOICES, _OK = 300, 200
_ENDPOINT = b"endpoint"


class HttpSse:
    """The pipes of `connection_type` sse."""

    async def open(self, upstream: Upstream, _owner: str, channel: Channel) -> Duplex:
        """Raises UpstreamUnavailable, ConnectionRequired."""
        async with AsyncExitStack() as opening:
            try:
                async with asyncio.timeout(OPEN_SECONDS):
                    reply = opening.enter_context(await channel.open("GET", {}, lasting=True))
                    if not reply.streams:
                        raise UpstreamUnavailable(
                            f"{upstream.name} does not offer HTTP with SSE at its address (HTTP {reply.status})."
                        )
                    events = reply.events(endless=True)
                    endpoint = await _endpoint(upstream, events)
            except TimeoutError as error:
                raise UpstreamUnavailable(f"{upstream.name} did not say where to post to.") from error
            return SsePipe(upstream.name, channel, endpoint, events, opening.pop_all())


class SsePipe:
    """A Duplex. One task receives; any number may send."""

    def __init__(
        self, name: str, channel: Channel, endpoint: str, events: AsyncIterator[Event], stream: AsyncExitStack
    ) -> None:
        self._name = name
        self._channel = channel
        self._endpoint = endpoint
        self._events = events
        self._stream = stream
        self._closed = False
        self.on_trial = False

    async def send(self, message: bytes) -> None:
        """Raises UpstreamUnavailable, ConnectionRequired."""
        if self._closed:
            raise self._over()
        try:
            async with asyncio.timeout(SEND_SECONDS):
                with await self._channel.open("POST", {}, message, url=self._endpoint) as reply:
                    await reply.finish()
        except TimeoutError as error:
            raise UpstreamUnavailable(
                f"{self._name} did not take a message within {SEND_SECONDS:g} seconds."
            ) from error
        if not _OK <= reply.status < _MULTIPLE_CHOICES:
            await self.close()  # it does not know this stream any more, or not what to do with it
            raise UpstreamUnavailable(f"{self._name} did not take a message (HTTP {reply.status}).")

    async def receive(self) -> bytes:
        """Raises UpstreamUnavailable when the stream has ended."""
        try:
            async for event in self._events:
                if event.name in sse.MESSAGE and event.data:
                    return event.data
        except UpstreamUnavailable:
            if not self._closed:
                raise
        raise self._over()

    async def close(self) -> None:
        self._closed = True
        await self._stream.aclose()

    def _over(self) -> UpstreamUnavailable:
        return UpstreamUnavailable(f"The stream of {self._name} has ended.")


async def _endpoint(upstream: Upstream, events: AsyncIterator[Event]) -> str:
    async for event in events:
        if event.name == _ENDPOINT and event.data:
            return endpoint_url(upstream, event.data)
    raise UpstreamUnavailable(f"{upstream.name} did not say where to post to.")


def endpoint_url(upstream: Upstream, said: bytes) -> str:
    """Raises UpstreamUnavailable when it leads to another origin, or nowhere."""
    try:
        url = urljoin(upstream.connection_string, said.decode("ascii"))
        same = locate(url)[0] == locate(upstream.connection_string)[0]
    except ValueError:
        same = False
    if not same or b"\\" in said or len(said) > MAX_ENDPOINT_CHARACTERS:
        raise UpstreamUnavailable(f"{upstream.name} wants messages to be posted to another server.")
    return url
