"""Requests to upstreams, whichever era they speak: the stateless revision, or `initialize` and a session.

A session belongs to one owner and one upstream; it is never used for anybody else.
"""

import itertools
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import structlog
from msgspec import UNSET, Raw

from bifrost import __version__
from bifrost.base.singleflight import SingleFlight
from bifrost.identity.models import Identity
from bifrost.protocol import jsonrpc, mcp, upstream_metadata
from bifrost.upstreams.auth.base import UpstreamAuth
from bifrost.upstreams.errors import UpstreamUnavailable
from bifrost.upstreams.models import Upstream
from bifrost.upstreams.transports.streamable_http import Exchange, StreamableHttp

CLIENT_INFO = {"name": "bifrost", "version": __version__}
MAX_SESSIONS = 10_000
"""Legacy sessions kept in this process; the least recently used one goes first."""

HANDSHAKE_SECONDS = 10.0
_UNAUTHORIZED, _FORBIDDEN = 401, 403
_SERVER_FAULT = 500
_BAD_REQUEST, _NOT_FOUND = 400, 404

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Session:
    """How to talk to an upstream for one owner. `session_id` is the upstream's own, if it gave one."""

    version: str
    session_id: str | None = None

    @property
    def modern(self) -> bool:
        return self.version in mcp.MODERN_VERSIONS


@dataclass(frozen=True, slots=True)
class _Peer:
    """An upstream as one identity talks to it."""

    upstream: Upstream
    identity: Identity
    owner: str

    @property
    def key(self) -> tuple[str, str]:
        return self.upstream.id, self.owner


@dataclass(slots=True)
class UpstreamSessions:
    transport: StreamableHttp
    auth: Mapping[str, UpstreamAuth]
    _modern: dict[str, Session] = field(default_factory=dict)
    _legacy: OrderedDict[tuple[str, str], Session] = field(default_factory=OrderedDict)
    _opening: SingleFlight[Session] = field(default_factory=SingleFlight)
    _ids: "itertools.count[int]" = field(default_factory=lambda: itertools.count(1))

    async def request(
        self, upstream: Upstream, identity: Identity, method: str, params: Mapping[str, Any], *, seconds: float
    ) -> dict[str, Raw]:
        """The members of the result. Raises RpcError (the upstream's own error), UpstreamUnavailable."""
        peer = _Peer(upstream, identity, self.auth[upstream.auth_type].owner(identity))
        session = await self._session(peer)
        exchange = await self._send(peer, session, method, params, seconds)
        if _forgotten(exchange, session):
            self._modern.pop(upstream.id, None)
            self._legacy.pop(peer.key, None)
            exchange = await self._send(peer, await self._session(peer), method, params, seconds)
        return _result(upstream, exchange)

    async def _session(self, peer: _Peer) -> Session:
        known = self._modern.get(peer.upstream.id) or self._legacy.get(peer.key)
        if known is None:
            return await self._opening.do(peer.key, lambda: self._open(peer))
        if peer.key in self._legacy:
            self._legacy.move_to_end(peer.key)
        return known

    async def _open(self, peer: _Peer) -> Session:
        """Ask in the stateless way first; an upstream that does not know it is greeted the older way."""
        discovered = await self._send(peer, Session(mcp.MODERN), mcp.DISCOVER, {}, HANDSHAKE_SECONDS)
        if _speaks_modern(discovered):
            session = self._modern[peer.upstream.id] = Session(mcp.MODERN)
        else:
            session = self._legacy[peer.key] = await self._initialize(peer)
            while len(self._legacy) > MAX_SESSIONS:
                self._legacy.popitem(last=False)
        log.info("upstream_session_opened", upstream=peer.upstream.name, version=session.version)
        return session

    async def _initialize(self, peer: _Peer) -> Session:
        greeting = {"protocolVersion": mcp.LATEST_LEGACY, "capabilities": {}, "clientInfo": CLIENT_INFO}
        exchange = await self._send(peer, Session(""), mcp.INITIALIZE, greeting, HANDSHAKE_SECONDS)
        version = jsonrpc.text(_result(peer.upstream, exchange).get("protocolVersion"))
        if version not in mcp.LEGACY_VERSIONS:
            raise UpstreamUnavailable(
                f"{peer.upstream.name} speaks a protocol version that this gateway does not know."
            )
        session = Session(version, exchange.headers.get(mcp.SESSION_HEADER))
        initialized = jsonrpc.notification(mcp.INITIALIZED)
        credentials = await self.auth[peer.upstream.auth_type].headers(peer.upstream, peer.identity)
        headers = credentials | _protocol_headers(session, mcp.INITIALIZED, {})
        await self._post(peer, headers, initialized, HANDSHAKE_SECONDS)
        return session

    async def _send(
        self, peer: _Peer, session: Session, method: str, params: Mapping[str, Any], seconds: float
    ) -> Exchange:
        """One request, and once more with renewed credentials when the upstream refused the old ones."""
        sent = {**params, "_meta": _modern_meta(params.get("_meta"))} if session.modern else dict(params)
        request_id = next(self._ids)
        body = jsonrpc.request(request_id, method, sent)
        headers = _protocol_headers(session, method, params)
        auth = self.auth[peer.upstream.auth_type]
        credentials = await auth.headers(peer.upstream, peer.identity)
        exchange = await self._post(peer, credentials | headers, body, seconds, request_id)
        if exchange.status == _UNAUTHORIZED and await auth.refused(peer.upstream, peer.identity, credentials):
            credentials = await auth.headers(peer.upstream, peer.identity)
            exchange = await self._post(peer, credentials | headers, body, seconds, request_id)
        if exchange.status == _FORBIDDEN:
            challenge = upstream_metadata.bearer_parameters(exchange.challenges)
            await auth.forbidden(peer.upstream, peer.identity, challenge)
        if exchange.status in (_UNAUTHORIZED, _FORBIDDEN):
            raise UpstreamUnavailable(f"{peer.upstream.name} refused this gateway's credentials.")
        if exchange.status >= _SERVER_FAULT and exchange.message is None:
            raise UpstreamUnavailable(f"{peer.upstream.name} failed (HTTP {exchange.status}).")
        return exchange

    async def _post(
        self, peer: _Peer, headers: dict[str, str], body: bytes, seconds: float, request_id: int | None = None
    ) -> Exchange:
        return await self.transport.exchange(
            peer.upstream.connection_string,
            body=body,
            headers=headers,
            seconds=seconds,
            upstream=peer.upstream.name,
            request_id=request_id,
        )


def _forgotten(exchange: Exchange, session: Session) -> bool:
    """The upstream no longer knows the session, or the revision: it did not look at the request, so ask again.

    Some say so with 404 and any body, some with 400 and an error that answers no request.
    """
    if session.session_id:
        return exchange.status == _NOT_FOUND or (exchange.status == _BAD_REQUEST and exchange.message is None)
    return session.modern and exchange.status in (_NOT_FOUND, _BAD_REQUEST) and exchange.message is None


def _protocol_headers(session: Session, method: str, params: Mapping[str, Any]) -> dict[str, str]:
    headers = {mcp.VERSION_HEADER: session.version} if session.version else {}
    if session.session_id:
        headers[mcp.SESSION_HEADER] = session.session_id
    if session.modern:
        headers[mcp.METHOD_HEADER] = method
        name = params.get(mcp.NAMED_METHODS.get(method, ""))
        if isinstance(name, str):
            headers[mcp.NAME_HEADER] = mcp.header_value(name)
    return headers


def _modern_meta(sent: Any) -> dict[str, Any]:
    """What the client sent along, under what this gateway itself can do: nothing of the client's is claimed."""
    kept = jsonrpc.object_members(sent if isinstance(sent, Raw) else None)
    return {
        **kept,
        mcp.META_VERSION: mcp.MODERN,
        mcp.META_CLIENT_INFO: CLIENT_INFO,
        mcp.META_CAPABILITIES: {},
    }


def _speaks_modern(exchange: Exchange) -> bool:
    if exchange.message is None or exchange.message.result is UNSET:
        return False
    try:
        versions = jsonrpc.value(jsonrpc.members(exchange.message.result).get("supportedVersions", Raw(b"[]")))
    except (ValueError, RecursionError):
        return False
    return isinstance(versions, list) and mcp.MODERN in versions


def _result(upstream: Upstream, exchange: Exchange) -> dict[str, Raw]:
    message = exchange.message
    if message is None:
        raise UpstreamUnavailable(f"{upstream.name} gave no answer (HTTP {exchange.status}).")
    if message.error is not UNSET:
        raise jsonrpc.error_from(message.error)
    try:
        return jsonrpc.members(message.result if message.result is not UNSET else b"")
    except ValueError as error:
        raise UpstreamUnavailable(f"{upstream.name} answered with a result that is not an object.") from error
