"""Streamable HTTP as a client: one request, and the messages that answer it, from JSON or from a stream of events."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Self

from msgspec import UNSET

from bifrost.base.time_limit import TimeLimit
from bifrost.http import pooled_client
from bifrost.http.client_connection import Answer, Headers, NotAllowed, NotTrusted, TooLarge, Unreadable
from bifrost.http.pooled_client import Head, PooledClient, RequestRefused, head
from bifrost.http.tls import MACHINE, Trust
from bifrost.protocol import jsonrpc
from bifrost.protocol.jsonrpc import Message, RpcError
from bifrost.upstreams.errors import UpstreamUnavailable
from bifrost.upstreams.transports import sse
from bifrost.upstreams.transports.sse import Event

MAX_ANSWER_BYTES = 16 * 1024 * 1024
"""Of everything that answers one request; on a stream that answers none, of one event."""

ACCEPT = {"Accept": "application/json, text/event-stream", "Content-Type": "application/json"}
LISTEN = {"Accept": "text/event-stream"}
_HTTP_OK = 200
_HTTP_ACCEPTED = 202
_NOT_NOW, _SERVER_FAULT = (408, 429), 500
OnMessage = Callable[[Message], Awaitable[None]]
_FAULTS = (OSError, ValueError)


class Reply:
    """The head of an answer, and its messages as they come. `last_event_id` is where to resume a broken stream."""

    __slots__ = ("_size", "last_event_id", "media_type", "response", "retry_milliseconds", "upstream")

    def __init__(self, upstream: str, response: Answer) -> None:
        self.upstream, self.response = upstream, response
        self.media_type = response.media_type
        self.last_event_id: str | None = None
        self.retry_milliseconds: int | None = None
        self._size = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_why: object) -> None:
        self.response.close()

    @property
    def status(self) -> int:
        return self.response.status

    def close(self) -> None:
        self.response.close()

    @property
    def headers(self) -> Headers:
        return self.response.headers

    @property
    def challenges(self) -> tuple[str, ...]:
        """The values of WWW-Authenticate."""
        return self.response.headers.all("WWW-Authenticate")

    @property
    def streams(self) -> bool:
        return self.media_type == "text/event-stream" and self.response.status == _HTTP_OK

    @property
    def is_for_now(self) -> bool:
        """Whether it is a refusal that says nothing of the next time (RFC 9110 §15.5.9, §15.6; RFC 6585 §4)."""
        return self.status in _NOT_NOW or self.status >= _SERVER_FAULT

    async def messages(self, *, endless: bool = False) -> AsyncIterator[bytes]:
        """Each message as its bytes; none when the answer carries none. `endless`: the limit is for one event.

        Raises UpstreamUnavailable.
        """
        if not self.streams:
            raw = await self._whole()
            if raw is not None:
                yield raw
            return
        async for event in self.events(endless=endless):
            # an event may only give the id to resume from (2025-11-25, transports); one of another name is no message
            if event.data and event.name in sse.MESSAGE:
                yield event.data

    async def events(self, *, endless: bool = False) -> AsyncIterator[Event]:
        """Raises UpstreamUnavailable."""
        try:
            async for event in sse.events(self._chunks()):
                self.last_event_id = event.id or self.last_event_id
                self.retry_milliseconds = event.retry if event.retry is not None else self.retry_milliseconds
                self._size = 0 if endless else self._size
                yield event
        except _FAULTS as error:
            raise _unusable(self.upstream, error) from error

    async def answer(self, request_id: int | None, on_message: OnMessage | None = None) -> Message | None:
        """The answer to this request; what else a stream carries before it goes to `on_message`, in order.

        None when there is none: the status says why, or a stream ended early. Raises UpstreamUnavailable.
        """
        if not self.streams:
            raw = await self._whole()
            message = None if raw is None or request_id is None else self._decoded(raw)
            return None if message is None else self._placed(message, request_id)
        async for raw in self.messages():
            message = self._decoded(raw)
            if message is None or request_id is None:
                return None
            if message.id == request_id and (message.result is not UNSET or message.error is not UNSET):
                return message
            if on_message:
                await on_message(message)
        return None

    async def finish(self) -> None:
        """Takes the rest of an answer that says nothing, so that its connection can be used again."""
        await self._whole()

    async def _whole(self) -> bytes | None:
        """The body, when it is a message. Raises UpstreamUnavailable."""
        try:
            raw = self.response.at_once(MAX_ANSWER_BYTES)
            if raw is None:
                raw = await self.response.read(MAX_ANSWER_BYTES)
        except TooLarge as error:
            raise self._too_large() from error
        except _FAULTS as error:
            raise _unusable(self.upstream, error) from error
        return raw if self.media_type == "application/json" and self.status != _HTTP_ACCEPTED else None

    def _decoded(self, raw: bytes) -> Message | None:
        try:
            return jsonrpc.decode_leniently(raw)
        except RpcError as error:
            if self.status != _HTTP_OK:
                return None
            raise UpstreamUnavailable(f"{self.upstream} answered with something that is not JSON-RPC.") from error

    def _placed(self, message: Message, request_id: int | None) -> Message | None:
        """Only an answer to the request is one; in a bad status others are errors about the exchange as a whole."""
        if message.id == request_id:
            return message
        if self.status == _HTTP_OK:
            raise UpstreamUnavailable(f"{self.upstream} answered another request than the one it was asked.")
        return None

    async def _chunks(self) -> AsyncIterator[bytes]:
        async for chunk in self.response.chunks():
            self._size += len(chunk)
            if self._size > MAX_ANSWER_BYTES:
                raise self._too_large()
            yield chunk

    def _too_large(self) -> UpstreamUnavailable:
        return UpstreamUnavailable(f"{self.upstream} answered with more than {MAX_ANSWER_BYTES} bytes.")


@dataclass(frozen=True, slots=True)
class Exchange:
    """What came back: `message` is None when the answer carried none (a 202, or a status without a JSON-RPC body)."""

    status: int
    headers: Headers
    message: Message | None
    challenges: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Prepared:
    """All of a request that does not depend on what it says."""

    upstream: str
    client: PooledClient
    head: Head


@dataclass(frozen=True, slots=True)
class StreamableHttp:
    client: PooledClient
    vetted: PooledClient
    """For upstreams whose place came through the API."""

    def prepared(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        *,
        upstream: str,
        trust: Trust = MACHINE,
        lasting: bool = False,
        vetted: bool = False,
    ) -> Prepared:
        """A request with these header fields and our own, to be sent once or often. Raises UpstreamUnavailable.

        `lasting` is a stream that is listened to for as long as somebody is there.
        """
        own = ACCEPT if method == "POST" else LISTEN
        try:
            return Prepared(
                upstream,
                self.vetted if vetted else self.client,
                head(method, url, {**headers, **own}, trust=trust, lasting=lasting),
            )
        except RequestRefused as error:
            raise _unusable(upstream, error) from error

    async def send(self, prepared: Prepared, body: bytes, more: bytes = b"") -> Reply:
        """The answer as far as its head, to be closed; how long to wait is the caller's business.

        `more` are `field_lines` of this request alone. Raises UpstreamUnavailable, in words that name the upstream and
        nothing else.
        """
        try:
            return Reply(prepared.upstream, await prepared.client.send(prepared.head, body, more=more))
        except TimeoutError as error:
            raise UpstreamUnavailable(f"{prepared.upstream} does not answer.") from error
        except _FAULTS as error:
            raise _unusable(prepared.upstream, error) from error

    async def exchange(
        self,
        url: str,
        *,
        body: bytes,
        headers: Mapping[str, str],
        seconds: float,
        upstream: str,
        request_id: int | None = None,
        trust: Trust = MACHINE,
        vetted: bool = False,
    ) -> Exchange:
        """One message and its answer; a notification has none. Raises UpstreamUnavailable."""
        try:
            with TimeLimit(seconds):
                prepared = self.prepared("POST", url, headers, upstream=upstream, trust=trust, vetted=vetted)
                with await self.send(prepared, body) as reply:
                    return Exchange(reply.status, reply.headers, await reply.answer(request_id), reply.challenges)
        except TimeoutError as error:
            raise UpstreamUnavailable(f"{upstream} did not answer within {seconds:g} seconds.") from error


def field_lines(fields: Mapping[str, str]) -> bytes:
    """For `StreamableHttp.send`. Raises ValueError."""
    return pooled_client.field_lines(fields)


def _unusable(upstream: str, error: Exception) -> UpstreamUnavailable:
    """In words with which its administrator can put it right; none of them comes from the upstream."""
    if isinstance(error, NotTrusted):
        return UpstreamUnavailable(f"{upstream} shows a certificate that is not trusted.")
    if isinstance(error, NotAllowed):
        return UpstreamUnavailable(f"{upstream} is at an address that this gateway must not contact.")
    if isinstance(error, Unreadable):
        return UpstreamUnavailable(f"{upstream} gave an answer that cannot be read: {error}.")
    return UpstreamUnavailable(f"{upstream} cannot be reached.")
