"""A link over Streamable HTTP to an upstream that begins with `initialize` (2025-03-26 … 2025-11-25)."""

import asyncio
import itertools
from dataclasses import dataclass, field

import structlog
from msgspec import UNSET, Raw

from bifrost.base.errors import DomainError
from bifrost.protocol import jsonrpc, mcp
from bifrost.protocol.jsonrpc import Message, RpcError
from bifrost.upstreams.errors import UpstreamUnavailable
from bifrost.upstreams.links.base import (
    HANDSHAKE_SECONDS,
    NO_FIELDS,
    Facts,
    Fields,
    Forgotten,
    Params,
    Patience,
    Peer,
    Requester,
    Running,
    facts_of,
    greeting,
    legacy_meta,
    result_of,
    tell_cancelled,
    with_own_token,
)
from bifrost.upstreams.links.http import HttpChannel
from bifrost.upstreams.links.wishes import set_level, subscribe
from bifrost.upstreams.transports.streamable_http import Reply

MAX_RESUMPTIONS = 8
"""How often a stream that ended before its answer is asked for the rest."""

RETRY_SECONDS = 1.0
MIN_RETRY_SECONDS, MAX_RETRY_SECONDS = 0.1, 30.0
_BAD_REQUEST, _NOT_FOUND, _NOT_ALLOWED, _SERVER_FAULT = 400, 404, 405, 500
_LAST_EVENT_ID = "Last-Event-ID"
_OF_THE_REQUEST = (jsonrpc.METHOD_NOT_FOUND, jsonrpc.INVALID_PARAMS, mcp.RESOURCE_NOT_FOUND)
"""What else may come with 404: the session is known, and what the request names is not."""

log = structlog.get_logger()


@dataclass(slots=True)
class LegacyLink:
    """`session_id` is the upstream's own, if it gave one."""

    channel: HttpChannel
    facts: Facts
    session_id: str | None = None
    _ids: "itertools.count[int]" = field(default_factory=lambda: itertools.count(1))
    _errands: set["asyncio.Task[None]"] = field(default_factory=set)
    _headers: dict[str, str] = field(init=False, repr=False)
    """Of every request."""

    _is_mute: bool = False
    """It said that it says nothing of its own accord (2025-11-25, transports)."""

    def __post_init__(self) -> None:
        said = {mcp.VERSION_HEADER: self.facts.version, mcp.SESSION_HEADER: self.session_id}
        self._headers = {name: value for name, value in said.items() if value}

    @property
    def peer(self) -> Peer:
        return self.channel.peer

    async def request(
        self,
        method: str,
        params: Params,
        requester: Requester,
        seconds: float,
        fields: Fields = NO_FIELDS,
    ) -> Raw:
        peer, request_id = self.channel.peer, next(self._ids)
        sent, token = with_own_token(params, request_id)
        patience = Patience(seconds, self.channel.alarm)
        running = Running(peer, request_id, requester, patience, self._respond, token)
        headers = {**fields.passed, **self._headers} if fields.passed else self._headers
        try:
            with patience:
                body = jsonrpc.request(request_id, method, legacy_meta(sent))
                with await self.channel.open("POST", headers, body) as reply:
                    message = await self._heard(reply, running)
                    if self._forgotten(reply, message):
                        raise Forgotten
                if message is None:
                    message = await self._rest(reply, running)
        except TimeoutError as error:
            self._cancel(request_id, "It took too long.")
            raise self.channel.too_slow(seconds) from error
        except asyncio.CancelledError:
            self._cancel(request_id, "The client does not want the answer any more.")
            raise
        finally:
            running.end()
        return result_of(peer, message)

    async def _rest(self, reply: Reply, running: Running) -> Message:
        """The answer that did not come. Raises UpstreamUnavailable."""
        message = None
        for _ in range(MAX_RESUMPTIONS):
            if message is not None or reply.last_event_id is None:
                break
            reply, message = await self._resumed(reply, running)
        if message is None:
            raise self.channel.no_answer(reply.status)
        return message

    async def _resumed(self, broken: Reply, running: Running) -> tuple[Reply, Message | None]:
        """The rest of a stream that ended too early (2025-11-25, transports)."""
        await asyncio.sleep(_pause(broken))
        headers = {**self._headers, _LAST_EVENT_ID: str(broken.last_event_id)}
        with await self.channel.open("GET", headers) as reply:
            reply.last_event_id = broken.last_event_id if reply.streams else None
            reply.retry_milliseconds = broken.retry_milliseconds
            return reply, await self._heard(reply, running) if reply.streams else None

    async def _heard(self, reply: Reply, running: Running) -> Message | None:
        try:
            return await reply.answer(running.request_id, running.incoming)
        except UpstreamUnavailable:
            if reply.last_event_id is None:
                raise
            return None  # it said where to go on

    async def listen(self, uris: tuple[str, ...], requester: Requester) -> None:
        if self._is_mute:
            return
        await subscribe(self, uris)
        heard = Running(self.peer, 0, requester, None, self._respond)
        headers = self._headers
        try:
            while True:
                with await self.channel.open("GET", headers, lasting=True) as reply:
                    if reply.status == _NOT_FOUND and self.session_id:
                        raise Forgotten
                    if reply.is_for_now:
                        raise self.channel.no_answer(reply.status)
                    self._is_mute = reply.status == _NOT_ALLOWED
                    if not reply.streams:
                        return  # it has nothing to say of its own accord
                    await requester.notify(mcp.ACKNOWLEDGED, {})
                    async for raw in reply.messages(endless=True):
                        await heard.incoming(_decoded(raw))
                headers = {**self._headers, **({_LAST_EVENT_ID: reply.last_event_id} if reply.last_event_id else {})}
                await asyncio.sleep(_pause(reply))
        finally:
            heard.end()

    async def close(self) -> None:
        self.channel.alarm.stop()
        if not self.session_id:
            return
        try:
            async with asyncio.timeout(HANDSHAKE_SECONDS):
                (await self.channel.open("DELETE", self._headers)).close()
        except (DomainError, TimeoutError):
            log.info("upstream_session_left", upstream=self.peer.upstream.name)

    async def notify(self, method: str, params: Params) -> None:
        """Raises UpstreamUnavailable."""
        await self._post(jsonrpc.notification(method, params))

    async def _respond(self, response: bytes) -> None:
        await self._post(response)

    async def _post(self, message: bytes) -> None:
        try:
            async with asyncio.timeout(HANDSHAKE_SECONDS):
                with await self.channel.open("POST", self._headers, message) as reply:
                    await reply.answer(None)
        except TimeoutError as error:
            raise self.channel.too_slow(HANDSHAKE_SECONDS) from error

    def _cancel(self, request_id: int, reason: str) -> None:
        """Said without waiting: nobody is there any more who would."""
        errand = asyncio.create_task(tell_cancelled(self, request_id, reason))
        self._errands.add(errand)
        errand.add_done_callback(self._errands.discard)

    def _forgotten(self, reply: Reply, message: Message | None) -> bool:
        """Some say so with 404 and any body, the id of the request too; some with 400 and an error without."""
        if self.session_id is None:
            return False
        if message is None:
            return reply.status in (_NOT_FOUND, _BAD_REQUEST)
        if reply.status != _NOT_FOUND or message.error is UNSET:
            return False
        return jsonrpc.error_from(message.error).code not in _OF_THE_REQUEST


async def initialize(channel: HttpChannel) -> LegacyLink | None:
    """None when the upstream does not know the greeting. Raises UpstreamUnavailable, ConnectionRequired."""
    peer = channel.peer
    patience = Patience(HANDSHAKE_SECONDS, channel.alarm)
    try:
        body = jsonrpc.request(0, mcp.INITIALIZE, greeting(peer))
        with patience, await channel.open("POST", {}, body, patience=patience) as reply:
            message = await reply.answer(0)
    except TimeoutError as error:
        raise channel.too_slow(HANDSHAKE_SECONDS) from error
    if message is None and reply.status >= _SERVER_FAULT:
        raise channel.no_answer(reply.status)
    if message is None or message.error is not UNSET:
        return None
    facts = accepted(channel.peer.upstream.name, result_of(peer, message))
    link = LegacyLink(channel, facts, reply.headers.get(mcp.SESSION_HEADER))
    await link._post(jsonrpc.notification(mcp.INITIALIZED))  # noqa: SLF001 - it is being made
    await set_level(link, peer.log_level)
    return link


def accepted(name: str, greeting: Raw) -> Facts:
    """Raises UpstreamUnavailable: a revision that we do not speak."""
    version = jsonrpc.text(jsonrpc.object_members(greeting).get("protocolVersion"))
    if version not in mcp.LEGACY_VERSIONS:
        raise UpstreamUnavailable(f"{name} speaks a protocol version that this gateway does not know.")
    return facts_of(version, greeting)


def _pause(reply: Reply) -> float:
    """Seconds to wait before a stream is asked for again: as the server wants it, within measure."""
    asked = reply.retry_milliseconds
    return RETRY_SECONDS if asked is None else max(MIN_RETRY_SECONDS, min(asked / 1_000, MAX_RETRY_SECONDS))


def _decoded(raw: bytes) -> Message:
    try:
        return jsonrpc.decode_leniently(raw)
    except RpcError as error:
        raise UpstreamUnavailable("An upstream sent something that is not JSON-RPC.") from error
