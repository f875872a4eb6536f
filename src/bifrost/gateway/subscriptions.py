"""What clients ask to be told about: log levels, single resources, changes of lists."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from msgspec import Raw

from bifrost.base import ids
from bifrost.gateway.errors import UnknownSession
from bifrost.gateway.forward import Forward
from bifrost.gateway.models import PROMPTS, RESOURCES, TOOLS, Call, Client, Route
from bifrost.gateway.questions import Questions
from bifrost.gateway.reading import READ_SECONDS, Reading
from bifrost.gateway.stream import Stream
from bifrost.gateway.streams import Streams
from bifrost.protocol import jsonrpc, mcp
from bifrost.protocol.jsonrpc import Id, RpcError
from bifrost.upstreams.links.base import Peer
from bifrost.upstreams.sessions import UpstreamSessions

MAX_URIS = 64
"""Of one session or subscription."""

MAX_URI_CHARACTERS = 2_048
"""Of each of them: they are remembered for as long as a session can last, and an upstream may take any."""

_FILTERS = {
    "toolsListChanged": TOOLS.changed,
    "promptsListChanged": PROMPTS.changed,
    "resourcesListChanged": RESOURCES.changed,
}
_URIS = "resourceSubscriptions"

_Thing = tuple[str, str]
"""A resource: its upstream, and the URI that it has there; others may have the same."""


@dataclass(slots=True)
class Subscriptions:
    sessions: UpstreamSessions
    streams: Streams
    questions: Questions
    reading: Reading
    forward: Forward
    _held: dict[str, dict[_Thing, str]] = field(default_factory=dict)
    """By session or subscription: what it subscribed to, and by which URI it knows that."""

    # ---- sessions of older clients ----------------------------------------------------------------------------------

    async def subscribe(self, call: Call, params: dict[str, Raw]) -> None:
        """Raises RpcError, InsufficientScope, UpstreamUnavailable, ConnectionRequired, UnknownSession."""
        session, (peer, route) = call.client.session, await self._route(call, params, mcp.RESOURCES_SUBSCRIBE)
        held, thing = self._held.setdefault(session, {}), (peer.upstream.id, route.key)
        known = thing in held
        if not known and len(held) >= MAX_URIS:
            raise RpcError(jsonrpc.INVALID_PARAMS, f"A session can subscribe to {MAX_URIS} resources.")
        held[thing] = jsonrpc.text(params.get("uri")) or route.key
        try:
            await self.streams.attended.attend_first(peer)
            await self._told(peer, route, params)
        except BaseException:
            if not known:
                self._let_go(session, thing)
            raise
        if self.sessions.has_left(session):
            self._held.pop(session, None)
            raise UnknownSession("This session has ended.")
        await self._attend(session, peer)

    async def unsubscribe(self, call: Call, params: dict[str, Raw]) -> None:
        """Raises RpcError, InsufficientScope, UpstreamUnavailable, ConnectionRequired."""
        session, (peer, route) = call.client.session, await self._route(call, params, mcp.RESOURCES_UNSUBSCRIBE)
        thing = (peer.upstream.id, route.key)
        kept = tuple(uri for uri in self._uris(session, peer) if uri != route.key)
        self.streams.attended.wants(peer, kept)  # a link that is opened to say so does not ask for it again
        try:
            await self._told(peer, route, params)
        except BaseException:
            self.streams.attended.wants(peer, self._uris(session, peer))
            raise
        if self._let_go(session, thing):
            await self._attend(session, peer)

    async def _route(self, call: Call, params: dict[str, Raw], method: str) -> tuple[Peer, Route]:
        """Raises RpcError: nobody has it for this caller, or it would be told to everybody or to none."""
        if len(jsonrpc.text(params.get("uri")) or "") > MAX_URI_CHARACTERS:
            said = f"A URI that is subscribed to has at most {MAX_URI_CHARACTERS:,} characters."
            raise RpcError(jsonrpc.INVALID_PARAMS, said)
        route = await self.reading.resource_route(call, params, method)
        peer = self.forward.peer(call, route)
        if not peer.session:
            said = f"{route.upstream.name} is one program for everybody here: its resources cannot be subscribed to."
            raise RpcError(jsonrpc.METHOD_NOT_FOUND, said)
        return peer, route

    async def _told(self, peer: Peer, route: Route, params: dict[str, Raw]) -> None:
        """An upstream without sessions is told by listening (2026-07-28, subscriptions)."""
        if not (await self.sessions.facts(peer)).stateless:
            await self.sessions.request(peer, route.method, {**params, "uri": route.key}, seconds=READ_SECONDS)

    def _let_go(self, session: str, thing: _Thing) -> bool:
        """Whether the session was subscribed to it."""
        held = self._held.get(session, {})
        found = held.pop(thing, None) is not None
        if not held:
            self._held.pop(session, None)
        return found

    async def set_level(self, session: str, level: str) -> None:
        self.streams.attended.set_level(session, level)
        await self.sessions.set_level(session, level)

    async def tell(self, session: str, method: str, params: Mapping[str, Raw]) -> None:
        """The client has something to say to all the upstreams that it talks to."""
        await self.sessions.tell(session, method, params)

    def shown(self, session: str, upstream_id: str, uri: str) -> str:
        """By which URI this session knows what an upstream calls by that one."""
        return self._held.get(session, {}).get((upstream_id, uri), uri)

    def forget(self, session: str, upstream_id: str) -> None:
        """Nobody came back for what it subscribed to there."""
        for thing in [thing for thing in self._held.get(session, {}) if thing[0] == upstream_id]:
            self._let_go(session, thing)

    def end(self, session: str) -> None:
        self._held.pop(session, None)
        self.sessions.leave(session)
        self.streams.end_session(session)

    async def _attend(self, session: str, peer: Peer) -> None:
        await self.streams.attended.attend_anew(peer, self._uris(session, peer))

    def _uris(self, session: str, peer: Peer) -> tuple[str, ...]:
        return tuple(uri for upstream_id, uri in self._held.get(session, {}) if upstream_id == peer.upstream.id)

    # ---- stateless clients ------------------------------------------------------------------------------------------

    async def listen(self, call: Call, params: dict[str, Raw], request_id: Id) -> tuple[Stream, dict[str, Any]]:
        """The open stream, and the filter as it is honoured from now on. Raises RpcError, InsufficientScope."""
        asked = jsonrpc.object_members(params.get("notifications"))
        honoured: dict[str, Any] = {name: True for name in _FILTERS if bytes(asked.get(name, b"")) == b"true"}
        uris = _asked_uris(asked.get(_URIS))
        routes = [
            await self.reading.resource_route(call, {"uri": jsonrpc.raw(uri)}, mcp.RESOURCES_SUBSCRIBE) for uri in uris
        ]
        if uris:
            honoured[_URIS] = uris
        stream = Stream(
            call.by(Client(version=mcp.MODERN)),
            ids.new_id("l_"),
            wants=frozenset(_FILTERS[name] for name in honoured if name in _FILTERS),
            subscription=request_id,
        )
        await self.streams.open(stream)
        if routes:
            names = zip(routes, uris, strict=True)
            self._held[stream.session] = {(route.upstream.id, route.key): uri for route, uri in names}
        try:
            await self._listen(stream, routes)
        except BaseException:
            self.leave(stream)
            raise
        return stream, honoured

    async def _listen(self, stream: Stream, routes: list[Route]) -> None:
        """Returns when all of them are heard, or after a while: what is acknowledged is what will be told."""
        attended, peers = self.streams.attended, []
        for upstream in {route.upstream.id: route.upstream for route in routes}.values():
            peer = self.sessions.peer(upstream, stream.call.caller.identity, session=stream.session)
            attended.attend(peer, tuple(route.key for route in routes if route.upstream.id == upstream.id))
            peers.append(peer)
        await asyncio.gather(*(attended.noticed(peer) for peer in peers))

    def leave(self, stream: Stream) -> None:
        self.streams.leave(stream)
        self.end(stream.session)


def _asked_uris(raw: Raw | None) -> list[str]:
    """Raises RpcError."""
    try:
        uris = jsonrpc.value(raw) if raw is not None else []
    except (ValueError, RecursionError):
        uris = None
    if not isinstance(uris, list) or len(uris) > MAX_URIS or not all(map(_can_be_kept, uris)):
        said = f"{_URIS} is a list of at most {MAX_URIS} URIs, each of at most {MAX_URI_CHARACTERS:,} characters."
        raise RpcError(jsonrpc.INVALID_PARAMS, said)
    return uris


def _can_be_kept(uri: object) -> bool:
    return isinstance(uri, str) and len(uri) <= MAX_URI_CHARACTERS
