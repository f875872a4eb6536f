"""What clients ask to be told about: log levels, single resources, changes of lists."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from msgspec import Raw

from bifrost.base import ids
from bifrost.gateway.forward import Forward
from bifrost.gateway.models import PROMPTS, RESOURCES, TOOLS, Call, Client
from bifrost.gateway.questions import Questions
from bifrost.gateway.reading import READ_SECONDS, Reading
from bifrost.gateway.streams import Stream, Streams
from bifrost.protocol import jsonrpc, mcp
from bifrost.protocol.jsonrpc import Id, RpcError
from bifrost.upstreams.links.base import Peer
from bifrost.upstreams.sessions import UpstreamSessions

MAX_URIS = 64
"""Of one session or subscription."""

_FILTERS = {
    "toolsListChanged": TOOLS.changed,
    "promptsListChanged": PROMPTS.changed,
    "resourcesListChanged": RESOURCES.changed,
}
_URIS = "resourceSubscriptions"


@dataclass(slots=True)
class Subscriptions:
    sessions: UpstreamSessions
    streams: Streams
    questions: Questions
    reading: Reading
    forward: Forward
    _uris: dict[str, dict[str, Peer]] = field(default_factory=dict)
    """By session: the resources it subscribed to, under the upstream's own URIs."""

    # ---- sessions of older clients ----------------------------------------------------------------------------------

    async def subscribe(self, call: Call, params: dict[str, Raw]) -> None:
        """Raises RpcError, InsufficientScope, UpstreamUnavailable, ConnectionRequired."""
        route = await self.reading.resource_route(call, params, mcp.RESOURCES_SUBSCRIBE)
        peer = self.forward.peer(call, route)
        held = self._uris.setdefault(call.client.session, {})
        if len(held) >= MAX_URIS:
            raise RpcError(jsonrpc.INVALID_PARAMS, f"A session can subscribe to {MAX_URIS} resources.")
        if not (await self.sessions.facts(peer)).stateless:
            await self.sessions.request(peer, route.method, {**params, "uri": route.key}, seconds=READ_SECONDS)
        held[route.key] = peer
        await self._attend(call.client.session, peer)

    async def unsubscribe(self, call: Call, params: dict[str, Raw]) -> None:
        """Raises RpcError, InsufficientScope, UpstreamUnavailable, ConnectionRequired."""
        route = await self.reading.resource_route(call, params, mcp.RESOURCES_UNSUBSCRIBE)
        peer = self.forward.peer(call, route)
        if not (await self.sessions.facts(peer)).stateless:
            await self.sessions.request(peer, route.method, {**params, "uri": route.key}, seconds=READ_SECONDS)
        if self._uris.get(call.client.session, {}).pop(route.key, None) is not None:
            await self._attend(call.client.session, peer)

    async def set_level(self, session: str, level: str) -> None:
        await self.sessions.set_level(session, level)

    async def tell(self, session: str, method: str, params: Mapping[str, Raw]) -> None:
        """The client has something to say to all the upstreams that it talks to."""
        await self.sessions.tell(session, method, params)

    def end(self, session: str) -> None:
        self._uris.pop(session, None)
        self.streams.end_session(session)
        self.sessions.leave(session)

    async def _attend(self, session: str, peer: Peer) -> None:
        held = self._uris.get(session)
        if held is None:
            return  # the session has ended meanwhile
        uris = [uri for uri, other in held.items() if other.upstream.id == peer.upstream.id]
        await self.streams.attend_anew(peer, tuple(uris))

    # ---- stateless clients ------------------------------------------------------------------------------------------

    async def listen(self, call: Call, params: dict[str, Raw], request_id: Id) -> tuple[Stream, dict[str, Any]]:
        """The open stream, and the filter as it is honoured. Raises RpcError, InsufficientScope."""
        asked = jsonrpc.object_members(params.get("notifications"))
        honoured: dict[str, Any] = {name: True for name in _FILTERS if bytes(asked.get(name, b"")) == b"true"}
        routes = [
            await self.reading.resource_route(call, {"uri": jsonrpc.raw(uri)}, mcp.RESOURCES_SUBSCRIBE)
            for uri in _uris(asked.get(_URIS))
        ]
        if routes:
            honoured[_URIS] = _uris(asked.get(_URIS))
        stream = Stream(
            call.by(Client(version=mcp.MODERN)),
            ids.new_id("l_"),
            wants=frozenset(_FILTERS[name] for name in honoured if name in _FILTERS),
            subscription=request_id,
        )
        await self.streams.open(stream)
        for upstream in {route.upstream.id: route.upstream for route in routes}.values():
            peer = self.sessions.peer(upstream, call.caller.identity, session=stream.session)
            self.streams.attend(peer, tuple(route.key for route in routes if route.upstream.id == upstream.id))
        return stream, honoured

    def leave(self, stream: Stream) -> None:
        self.streams.leave(stream)
        self.end(stream.session)


def _uris(raw: Raw | None) -> list[str]:
    """Raises RpcError."""
    try:
        uris = jsonrpc.value(raw) if raw is not None else []
    except (ValueError, RecursionError):
        uris = None
    if not isinstance(uris, list) or len(uris) > MAX_URIS or not all(isinstance(uri, str) for uri in uris):
        raise RpcError(jsonrpc.INVALID_PARAMS, f"{_URIS} is a list of at most {MAX_URIS} URIs.")
    return uris
