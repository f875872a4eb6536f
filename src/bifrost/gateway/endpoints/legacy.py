"""Revisions that begin with `initialize` (2024-11-05 … 2025-11-25): sessions, streams, and batches of 2025-03-26."""

import asyncio
from collections.abc import AsyncIterator, Coroutine, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from msgspec import UNSET, Raw
from starlette.requests import Request
from starlette.responses import Response

from bifrost.gateway.client_sessions import ENDED, LEVEL, ClientSession, ClientSessions
from bifrost.gateway.discovery import Discovery
from bifrost.gateway.endpoints.answer import EventStream, event
from bifrost.gateway.endpoints.replay import Recording, Recordings
from bifrost.gateway.extensions import Extensions
from bifrost.gateway.letter_limits import LASTING, LETTERS, LetterLimits
from bifrost.gateway.letters import Handler
from bifrost.gateway.methods import SERVER_INFO, Method, Result
from bifrost.gateway.models import Call, Client
from bifrost.gateway.questions import Emit, OlderClient
from bifrost.gateway.stream import Stream
from bifrost.gateway.subscriptions import Subscriptions
from bifrost.protocol import jsonrpc, mcp
from bifrost.protocol.jsonrpc import Id, Message, RpcError

LAST_EVENT_ID = "last-event-id"
_MODERN_MEMBERS = ("resultType", "ttlMs", "cacheScope")


@dataclass(slots=True)
class Legacy:
    methods: Mapping[str, Method]
    extensions: Extensions
    sessions: ClientSessions
    discovery: Discovery
    subscriptions: Subscriptions
    recordings: Recordings
    limits: LetterLimits
    _running: dict[tuple[str, Id], "asyncio.Task[Any]"] = field(default_factory=dict)
    _errands: set["asyncio.Task[None]"] = field(default_factory=set)

    def session(self, request: Request, call: Call) -> ClientSession | None:
        """Raises UnknownSession."""
        sealed = request.headers.get(mcp.SESSION_HEADER)
        return self.sessions.opened(call, sealed) if sealed is not None else None

    def opened(self, request: Request, call: Call) -> ClientSession:
        """Raises UnknownSession."""
        return self.sessions.opened(call, request.headers.get(mcp.SESSION_HEADER, ""))

    def client(self, request: Request, call: Call, session: ClientSession | None, emit: Emit) -> Client:
        """A client without a session hears of its request, but cannot be asked anything."""
        requester = OlderClient(session.id if session else "", call.caller.identity, self.subscriptions.questions, emit)
        if session is None:
            return Client(version=request.headers.get(mcp.VERSION_HEADER) or mcp.ASSUMED_VERSION, requester=requester)
        return Client(
            version=session.version,
            capabilities=bytes(session.capabilities),
            session=session.id,
            log_level=self.sessions.level(session),
            requester=requester,
        )

    # ---- requests ---------------------------------------------------------------------------------------------------

    async def answer(self, message: Message, call: Call, session: ClientSession | None, request_id: Id) -> Result:
        """The result. Raises RpcError, DomainError."""
        method, params = str(message.method), message.params or {}
        if method == mcp.PING:
            return {}
        if session and method in _OF_SESSIONS:
            await self._of_session(method, call, session, params)
            return {}
        task = asyncio.current_task()
        key = (session.id if session else "", request_id)
        if session and task is not None:
            self._running[key] = task  # the client may cancel it
        try:
            if method in self.methods:
                return without_modern_members(await self.methods[method](call, params))
            return without_modern_members(await self.extensions.call(call, method, params))
        finally:
            if self._running.get(key) is task:
                self._running.pop(key, None)

    async def _of_session(self, method: str, call: Call, session: ClientSession, params: dict[str, Raw]) -> None:
        if method == mcp.SET_LEVEL:
            level = jsonrpc.text(params.get("level"))
            if level not in mcp.LOG_LEVELS:
                raise RpcError(jsonrpc.INVALID_PARAMS, "The parameter level is not one of the known levels.")
            self.limits.check(call.principal, LASTING)
            await self.sessions.set_level(session, level)
            await self.subscriptions.set_level(session.id, level)
        elif method == mcp.RESOURCES_SUBSCRIBE:
            await self.subscriptions.subscribe(call, params)
        else:
            await self.subscriptions.unsubscribe(call, params)

    async def initialize(self, call: Call, params: dict[str, Raw]) -> tuple[dict[str, Any], str]:
        """The greeting, and the id of the new session.

        The revision is the one that was asked for if we speak it, else the newest of this era (2025-11-25, lifecycle).
        """
        asked = jsonrpc.text(params.get("protocolVersion"))
        version = asked if asked in mcp.LEGACY_VERSIONS else mcp.LATEST_LEGACY
        greeting = {"protocolVersion": version, **await self.discovery.offered(call), "serverInfo": SERVER_INFO}
        return greeting, self.sessions.begin(call, version, params.get("capabilities"))

    # ---- notifications and responses --------------------------------------------------------------------------------

    async def notified(self, message: Message, call: Call, session: ClientSession | None) -> None:
        """Raises StorageFault, LetterTooLarge, TooManyLetters."""
        if session is None:
            return
        if message.method is UNSET:
            if not self.subscriptions.questions.answered(session.id, message):
                await self._post(call, session, ANSWER, _told(message))
            return
        params = message.params if isinstance(message.params, dict) else {}
        if message.method == mcp.CANCELLED:
            if not self.cancel(session.id, params):
                await self._post(call, session, CANCEL, {"requestId": params.get("requestId")})
        elif message.method == mcp.ROOTS_CHANGED:
            await self.subscriptions.tell(session.id, message.method, params)
            await self._post(call, session, TELL, {"method": message.method, "params": params})

    async def _post(self, call: Call, session: ClientSession, kind: str, body: dict[str, Any]) -> None:
        if self.sessions.letters.shared:
            self.limits.check(call.principal, LETTERS)
            await self.sessions.letters.send(session.id, kind, body)

    def cancel(self, session: str, params: Mapping[str, Raw]) -> bool:
        """What it names may be over already: then nothing happens (2025-11-25, cancellation)."""
        try:
            request_id = jsonrpc.value(params.get("requestId", b"null"))
        except (ValueError, RecursionError):
            return False
        task = self._running.get((session, request_id)) if isinstance(request_id, str | int) else None
        return task is not None and task.cancel(CANCELLED)

    # ---- letters from other processes -------------------------------------------------------------------------------

    def reads(self) -> dict[str, Handler]:
        """What is done with letters about sessions, by their kind."""
        return {
            ANSWER: self._answered,
            CANCEL: lambda session, body: _quiet(self.cancel(session, body)),
            TELL: self._tell,
            ENDED: lambda session, _body: self._ended(session),
            LEVEL: self._level,
        }

    def _answered(self, session: str, body: dict[str, Raw]) -> None:
        message = Message(jsonrpc="2.0", id=jsonrpc.text(body.get("id")))
        message.result, message.error = body.get("result", UNSET), body.get("error", UNSET)
        self.subscriptions.questions.answered(session, message)

    def _tell(self, session: str, body: dict[str, Raw]) -> None:
        method, params = jsonrpc.text(body.get("method")), jsonrpc.object_members(body.get("params"))
        if method:
            self._errand(self.subscriptions.tell(session, method, params))

    def _level(self, session: str, body: dict[str, Raw]) -> None:
        level = jsonrpc.text(body.get("level"))
        if level in mcp.LOG_LEVELS:
            self.sessions.level_set(session, level)
            self._errand(self.subscriptions.set_level(session, level))

    def _ended(self, session: str) -> None:
        self.sessions.ended(session)
        self._left(session)

    def _errand(self, work: Coroutine[Any, Any, None]) -> None:
        errand = asyncio.create_task(work)
        self._errands.add(errand)
        errand.add_done_callback(self._errands.discard)

    # ---- streams ----------------------------------------------------------------------------------------------------

    def recording(self, call: Call, session: ClientSession) -> Recording:
        return self.recordings.begin(session.id, call.principal, primes=session.version >= mcp.LATEST_LEGACY)

    async def listen(self, request: Request, call: Call, session: ClientSession) -> Response:
        """GET: what belongs to no request, or the rest of a stream that broke. Raises RpcError."""
        last_event_id = request.headers.get(LAST_EVENT_ID)
        if last_event_id:
            found = self.recordings.found(session.id, last_event_id)
            if found:
                return _replayed(*found)
        stream = Stream(call, session.id)
        await self.subscriptions.streams.open(stream)
        return EventStream(
            _events(stream),
            stop=stream.end,
            closing=lambda: self.subscriptions.streams.leave(stream),
            moved=partial(self.subscriptions.streams.moved, stream),
        )

    async def end(self, call: Call, session: ClientSession) -> None:
        """DELETE: with the session end its streams, its links and what runs for it.

        Raises StorageFault, TooManyLetters.
        """
        self.limits.check(call.principal, LASTING)
        await self.sessions.end(session)
        self._left(session.id)

    def _left(self, session: str) -> None:
        self.subscriptions.end(session)
        for key, task in [*self._running.items()]:
            if key[0] == session:
                task.cancel(CANCELLED)


CANCELLED = "cancelled by the client"
ANSWER, CANCEL, TELL = "answer", "cancel", "tell"
"""Kinds of letters."""

_OF_SESSIONS = (mcp.SET_LEVEL, mcp.RESOURCES_SUBSCRIBE, mcp.RESOURCES_UNSUBSCRIBE)


def without_modern_members(result: Result) -> Result:
    """Without what only the stateless revision has, and what would pass an upstream off as this server.

    A result that has none of it stays as the bytes that came.
    """
    if isinstance(result, Raw):
        raw = bytes(result)
        if not (b'"resultType"' in raw or b'"_meta"' in raw or b'"ttlMs"' in raw or b'"cacheScope"' in raw):
            return result
        result = jsonrpc.object_members(result)
    kept = {name: value for name, value in result.items() if name not in _MODERN_MEMBERS}
    meta = jsonrpc.object_members(kept.get("_meta"))
    if mcp.META_SERVER_INFO in meta:
        kept["_meta"] = {name: value for name, value in meta.items() if name != mcp.META_SERVER_INFO}
    return {name: value for name, value in kept.items() if name != "_meta" or value}


def _told(message: Message) -> dict[str, Any]:
    members = {"id": message.id, "result": message.result, "error": message.error}
    return {name: value for name, value in members.items() if value is not UNSET}


def _quiet(_done: object) -> None:
    """A handler of letters has nothing to say."""


async def _events(stream: Stream) -> AsyncIterator[bytes]:
    while (message := await stream.next()) is not None:
        yield event(message)


def _replayed(recording: Recording, number: int) -> Response:
    async def events() -> AsyncIterator[bytes]:
        async for event_id, message in recording.after(number):
            yield event(message, event_id)

    return EventStream(events(), closing=lambda: None)
