"""A link to an upstream of the stateless revision (2026-07-28): every request stands alone and says what it is."""

import functools
import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field

from msgspec import UNSET, Raw

from bifrost.protocol import jsonrpc, mcp
from bifrost.protocol.jsonrpc import Message, RpcError
from bifrost.upstreams.errors import UpstreamUnavailable
from bifrost.upstreams.links.base import (
    HANDSHAKE_SECONDS,
    NO_FIELDS,
    Facts,
    Fields,
    Forgotten,
    Nobody,
    Params,
    Patience,
    Peer,
    Requester,
    Running,
    facts_of,
    modern_meta,
    result_of,
    wanted,
    with_own_token,
)
from bifrost.upstreams.links.http import HttpChannel
from bifrost.upstreams.transports.streamable_http import field_lines

_VERSION = {mcp.VERSION_HEADER: mcp.MODERN}
_BAD_REQUEST, _NOT_FOUND, _SERVER_FAULT = 400, 404, 500

KEPT_CHARACTERS = 256
"""Of a name whose lines are kept: the URI of a resource may be as long as a message."""


@dataclass(slots=True)
class ModernLink:
    channel: HttpChannel
    facts: Facts
    _ids: "itertools.count[int]" = field(default_factory=lambda: itertools.count(1))

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
        """To go away is to cancel: the connection is closed, and the upstream sees it."""
        message, status = await self.exchange(method, params, requester, seconds, fields)
        if message is None and status in (_NOT_FOUND, _BAD_REQUEST):
            raise Forgotten
        if message is None:
            raise self.channel.no_answer(status)
        try:
            return result_of(self.peer, message)
        except RpcError as error:
            if error.code == mcp.UNSUPPORTED_VERSION:  # it spoke this revision when it was asked: it is another one now
                raise Forgotten from error
            raise

    async def exchange(
        self,
        method: str,
        params: Params,
        requester: Requester,
        seconds: float,
        fields: Fields = NO_FIELDS,
        *,
        first: bool = False,
    ) -> tuple[Message | None, int]:
        """The answer, if there is one, and the HTTP status. Raises UpstreamUnavailable.

        With the `first` one the credential may have to be renewed, and how long that takes does not count.
        """
        peer, request_id = self.channel.peer, next(self._ids)
        sent, token = with_own_token(params, request_id)
        body = jsonrpc.request(request_id, method, modern_meta(peer, sent))
        patience = Patience(seconds, self.channel.alarm)
        running = Running(peer, request_id, requester, patience, None, token)
        try:
            stretched = patience if first else None
            headers, more = _head(method, params, fields)
            with patience, await self.channel.open("POST", headers, body, more=more, patience=stretched) as reply:
                return await reply.answer(request_id, running.incoming), reply.status
        except TimeoutError as error:
            raise self.channel.too_slow(seconds) from error

    async def listen(self, uris: tuple[str, ...], requester: Requester) -> None:
        request_id = next(self._ids)
        body = jsonrpc.request(request_id, mcp.LISTEN, modern_meta(self.peer, {"notifications": wanted(uris)}))
        heard = Running(self.peer, request_id, requester, None, None)
        headers, _ = _head(mcp.LISTEN, {}, NO_FIELDS)
        with await self.channel.open("POST", headers, body, lasting=True) as reply:
            if reply.is_for_now:
                raise self.channel.no_answer(reply.status)
            if not reply.streams:
                return  # it has nothing to say of its own accord
            async for raw in reply.messages(endless=True):
                try:
                    message = jsonrpc.decode_leniently(raw)
                except RpcError as error:
                    raise self.channel.no_answer(reply.status) from error
                if message.id == request_id and message.method is UNSET:
                    break
                await heard.incoming(message)
        # it says good-bye when it stops, or a proxy in between has had enough: what was asked for is asked for again
        raise UpstreamUnavailable(f"{self.peer.upstream.name} ended what it was listened to on.")

    async def notify(self, method: str, params: Params) -> None:
        """A client of this revision has nothing to tell: every request says everything."""

    async def close(self) -> None:
        """The upstream keeps nothing."""
        self.channel.alarm.stop()


async def discover(channel: HttpChannel) -> Facts | None:
    """What it says of itself; None when it does not know the question. Raises UpstreamUnavailable, ConnectionRequired.

    An upstream of the older era may answer this in any way it likes; only a clear yes is one.
    """
    message, status = await ModernLink(channel, Facts(version=mcp.MODERN)).exchange(
        mcp.DISCOVER, {}, Nobody(), HANDSHAKE_SECONDS, first=True
    )
    if message is None and status >= _SERVER_FAULT:
        raise channel.no_answer(status)
    if message is None or message.result is UNSET or not speaks_modern(message.result):
        return None
    return facts_of(mcp.MODERN, message.result)


def _head(method: str, params: Params, sent: Fields) -> tuple[Mapping[str, str], bytes]:
    """The routing fields of a request (2026-07-28, transports): header fields, and lines that were made before."""
    name = params.get(mcp.NAMED_METHODS.get(method, ""))
    name = jsonrpc.text(name) if isinstance(name, Raw) else name
    if isinstance(name, str) and not (sent.passed or sent.mirrored):
        return _VERSION, (_kept_lines if len(name) <= KEPT_CHARACTERS else _lines)(method, name)
    fields = {**sent.passed, **_VERSION, mcp.METHOD_HEADER: method, **sent.mirrored}
    if isinstance(name, str):
        fields[mcp.NAME_HEADER] = mcp.header_value(name)
    return fields, b""


def _lines(method: str, name: str) -> bytes:
    return field_lines({mcp.METHOD_HEADER: method, mcp.NAME_HEADER: mcp.header_value(name)})


_kept_lines = functools.lru_cache(maxsize=1_024)(_lines)


def speaks_modern(result: Raw) -> bool:
    try:
        versions = jsonrpc.value(jsonrpc.members(result).get("supportedVersions", Raw(b"[]")))
    except (ValueError, RecursionError):
        return False
    return isinstance(versions, list) and mcp.MODERN in versions
