"""A link over a pipe of messages (stdio, HTTP+SSE of 2024-11-05), in either era.

A pipe does not say which request a question or a log line belongs to. Within one session of a caller that does not
matter. Callers without a session that can be asked something take turns, so that there is only one it can be; while a
person is asked, whoever comes next is sent to another pipe (`Occupied`).
"""

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import structlog
from msgspec import UNSET, Raw

from bifrost.base.errors import Unavailable
from bifrost.protocol import jsonrpc, mcp
from bifrost.protocol.jsonrpc import Message, RpcError
from bifrost.upstreams.errors import UpstreamUnavailable
from bifrost.upstreams.links.base import (
    EVERYBODY,
    HANDSHAKE_SECONDS,
    NO_FIELDS,
    NOBODY,
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
    greeting,
    id_in,
    legacy_meta,
    modern_meta,
    result_of,
    tell_cancelled,
    wanted,
    with_own_token,
)
from bifrost.upstreams.links.legacy import accepted
from bifrost.upstreams.links.modern import speaks_modern
from bifrost.upstreams.links.outbox import Outbox
from bifrost.upstreams.links.turn import InTurn, Turn
from bifrost.upstreams.links.wishes import set_level, subscribe
from bifrost.upstreams.transports.base import Duplex

GREETING_SECONDS = 30.0
"""A program has to be loaded before it can say anything."""

STUCK_SECONDS = 10.0
"""A program that left a request unanswered has this long to show that it answers anything at all."""

log = structlog.get_logger()


@dataclass(slots=True)
class _Waiting:
    outbox: Outbox
    answer: "asyncio.Future[Message]"

    @property
    def answered(self) -> bool:
        return self.answer.done() and not self.answer.cancelled()


@dataclass(slots=True)
class DuplexLink:
    peer: Peer
    pipe: Duplex
    facts: Facts = field(default_factory=lambda: Facts(version=""))
    _ids: "itertools.count[int]" = field(default_factory=lambda: itertools.count(1))
    _waiting: dict[int, _Waiting] = field(default_factory=dict)
    _listeners: list[Outbox] = field(default_factory=list)
    _turn: Turn = field(default_factory=Turn)
    _tasks: set["asyncio.Task[None]"] = field(default_factory=set)
    _ended: asyncio.Event = field(default_factory=asyncio.Event)
    _looking: bool = False
    _own: Running | None = None
    _heard: int = 0
    """Messages, of whatever kind."""

    is_open: bool = False
    """Whether the greeting is over."""

    async def request(
        self,
        method: str,
        params: Params,
        requester: Requester,
        seconds: float,
        fields: Fields = NO_FIELDS,  # noqa: ARG002 - there are no header fields on a pipe
    ) -> Raw:
        if self._ended.is_set():
            raise Forgotten
        if self.peer.session or self.peer.capabilities == b"{}" or self._modern:
            return await self._request(method, params, requester, seconds)
        async with self._turn.taken():
            return await self._request(method, params, InTurn(requester, self._turn), seconds)

    async def request_for(self, peer: Peer, method: str, params: Params, requester: Requester, seconds: float) -> Raw:
        """For another peer of the same owner: to a stateless upstream every request says whose it is."""
        if self._ended.is_set():
            raise Forgotten
        return await self._request(method, params, requester, seconds, peer)

    async def _request(
        self, method: str, params: Params, requester: Requester, seconds: float, peer: Peer | None = None
    ) -> Raw:
        request_id = next(self._ids)
        sent, token = with_own_token(params, request_id)
        patience = Patience(seconds)
        running = Running(peer or self.peer, request_id, requester, patience, self._responds, token)
        return await self._answer(Outbox(running), patience, method, sent, seconds)

    async def _answer(self, outbox: Outbox, patience: Patience, method: str, sent: Params, seconds: float) -> Raw:
        running, request_id = outbox.running, outbox.running.request_id
        waiting = self._waiting[request_id] = _Waiting(outbox, asyncio.get_running_loop().create_future())
        try:
            with patience:
                await self.pipe.send(jsonrpc.request(request_id, method, self._with_meta(running.peer, sent)))
                message = await waiting.answer
                await outbox.emptied()
        except TimeoutError as error:
            if not waiting.answered:
                self._cancel(request_id, "It took too long.")
                self._look_whether_it_is_stuck()
                raise UpstreamUnavailable(
                    f"{self.peer.upstream.name} did not answer within {seconds:g} seconds."
                ) from error
            message = waiting.answer.result()  # the requester is slow: the answer without what was said before it
        except asyncio.CancelledError:
            if not waiting.answered:
                self._cancel(request_id, "The client does not want the answer any more.")
            raise
        finally:
            outbox.end()
            running.end()
            del self._waiting[request_id]
        return result_of(self.peer, message)

    async def listen(self, uris: tuple[str, ...], requester: Requester) -> None:
        """On a pipe everything arrives anyway; a modern upstream must be asked for it."""
        heard = Running(self.peer, next(self._ids), requester, None, self._responds)
        outbox = Outbox(heard)
        self._listeners.append(outbox)
        try:
            if self._modern:
                await self._answer(outbox, Patience(1e9), mcp.LISTEN, {"notifications": wanted(uris)}, 1e9)
                raise UpstreamUnavailable(f"{self.peer.upstream.name} ended what it was listened to on.")
            await subscribe(self, uris)
            await requester.notify(mcp.ACKNOWLEDGED, {})
            await self._ended.wait()
            await outbox.emptied()
        finally:
            outbox.end()
            heard.end()
            self._listeners.remove(outbox)

    async def notify(self, method: str, params: Params) -> None:
        """Raises UpstreamUnavailable."""
        await self.pipe.send(jsonrpc.notification(method, params))

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        self._end(UpstreamUnavailable(f"The connection to {self.peer.upstream.name} was closed."))
        await self.pipe.close()

    # ---- reading ----------------------------------------------------------------------------------------------------

    def start(self) -> None:
        self._spawn(self._read())

    async def _read(self) -> None:
        try:
            while True:
                await self._received(await self.pipe.receive())
        except UpstreamUnavailable as error:
            self._end(error)
        except Exception:
            log.exception("unexpected_error", upstream=self.peer.upstream.name)
            self._end(UpstreamUnavailable(f"The connection to {self.peer.upstream.name} broke."))
            await self.pipe.close()

    async def _received(self, raw: bytes) -> None:
        self._heard += 1
        try:
            message = jsonrpc.decode_leniently(raw)
        except RpcError:
            log.warning("upstream_sent_garbage", upstream=self.peer.upstream.name)
            return  # programs print what they should not; the next line may be a message
        if message.method is UNSET:
            waiting = self._waiting.get(message.id) if isinstance(message.id, int) else None
            if waiting and not waiting.answer.done():
                waiting.answer.set_result(message)
        elif message.id is not UNSET and (message.method == mcp.PING or self._is_everybodys):
            await self._own_answers().incoming(message)
        elif (outbox := self._addressee(message)) is not None:
            outbox.put(message, len(raw))

    def _addressee(self, message: Message) -> Outbox | None:
        """Progress names its request, news their listening. For the rest: whoever asked last, or who listens.

        Where everybody shares the pipe, what does not say whose it is must not reach somebody else.
        """
        params = message.params if isinstance(message.params, dict) else {}
        if message.method == mcp.PROGRESS:
            named = id_in(params.get(mcp.PROGRESS_TOKEN))
            waiting = self._waiting.get(named) if isinstance(named, int) else None
            return waiting.outbox if waiting else None
        subscription = jsonrpc.object_members(params.get("_meta")).get(mcp.META_SUBSCRIPTION)
        for heard in self._listeners:
            if subscription is not None and bytes(subscription) == b"%d" % heard.running.request_id:
                return heard
        newest = self._listeners[-1] if self._listeners else None
        if message.method == mcp.CANCELLED:
            return self._asked(id_in(params.get("requestId")))
        asking = (waiting.outbox for waiting in reversed(self._waiting.values()))
        last = next((outbox for outbox in asking if outbox.running.patience), None)
        about_a_request = message.id is not UNSET or message.method == mcp.LOG_MESSAGE
        if self._is_everybodys and (about_a_request or newest is None):
            return None
        return last if last and (about_a_request or newest is None) else newest

    def _asked(self, question_id: jsonrpc.Id | None) -> Outbox | None:
        """Who was asked this by the upstream."""
        outboxes = (*(waiting.outbox for waiting in self._waiting.values()), *self._listeners)
        return next((one for one in outboxes if question_id is not None and one.asked(question_id)), None)

    def _own_answers(self) -> Running:
        """Answers what needs no requester: is the gateway there, and on everybody's pipe that nobody can be asked."""
        if self._own is None:
            self._own = Running(self.peer, 0, NOBODY, None, self._responds)
        return self._own

    def _end(self, error: Unavailable) -> None:
        self._ended.set()
        if self._own is not None:
            self._own.end()
        for waiting in self._waiting.values():
            if not waiting.answer.done():
                waiting.answer.set_exception(error)

    # ---- writing ----------------------------------------------------------------------------------------------------

    @property
    def has_ended(self) -> bool:
        return self._ended.is_set()

    @property
    def _is_everybodys(self) -> bool:
        return self.peer.owner == EVERYBODY

    @property
    def _modern(self) -> bool:
        return self.facts.version in mcp.MODERN_VERSIONS

    @property
    def _responds(self) -> Any:
        return None if self._modern else self.pipe.send

    def _with_meta(self, peer: Peer, params: Params) -> Params:
        return modern_meta(peer, params) if self._modern else legacy_meta(params)

    def _cancel(self, request_id: int, reason: str) -> None:
        if self.is_open and not self._ended.is_set():  # a greeting must not be cancelled (lifecycle)
            self._spawn(tell_cancelled(self, request_id, reason))

    def _look_whether_it_is_stuck(self) -> None:
        if self.is_open and not self._looking and not self._ended.is_set():
            self._looking = True
            self._spawn(self._end_if_stuck())

    async def _end_if_stuck(self) -> None:
        """A program that answers nothing would hold up everybody who comes after; the next one is a new one.

        2025-11-25, ping: whoever does not answer may be taken for gone.
        """
        method = mcp.DISCOVER if self._modern else mcp.PING
        before = self._heard
        try:
            await self._request(method, {}, Nobody(), STUCK_SECONDS)
        except RpcError:
            return  # an answer, too
        except UpstreamUnavailable:
            if not self._ended.is_set() and self._heard == before:
                log.warning("upstream_stuck", upstream=self.peer.upstream.name)
                self._end(UpstreamUnavailable(f"{self.peer.upstream.name} does not answer any more."))
                await self.pipe.close()
        finally:
            self._looking = False

    def _spawn(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


@dataclass(frozen=True, slots=True)
class SharedLink:
    """A stateless upstream on a pipe, for another peer of the owner that it belongs to."""

    peer: Peer
    link: DuplexLink

    @property
    def facts(self) -> Facts:
        return self.link.facts

    async def request(
        self,
        method: str,
        params: Params,
        requester: Requester,
        seconds: float,
        fields: Fields = NO_FIELDS,  # noqa: ARG002 - there are no header fields on a pipe
    ) -> Raw:
        return await self.link.request_for(self.peer, method, params, requester, seconds)

    async def notify(self, method: str, params: Params) -> None:
        """Raises UpstreamUnavailable."""
        await self.link.notify(method, params)

    async def listen(self, uris: tuple[str, ...], requester: Requester) -> None:
        await self.link.listen(uris, requester)

    async def close(self) -> None:
        """The pipe is another peer's."""


@asynccontextmanager
async def _or_closed(link: DuplexLink) -> AsyncIterator[None]:
    try:
        yield
    except Forgotten as error:
        await link.close()
        raise UpstreamUnavailable(f"{link.peer.upstream.name} has ended.") from error
    except BaseException:
        await link.close()
        raise


async def open_link(peer: Peer, pipe: Duplex, *, stateless: bool = False) -> DuplexLink:
    """Greets the older way first, or with `stateless` asks in the newer way first; what fails, the other way.

    Raises RpcError, UpstreamUnavailable.
    """
    link = DuplexLink(peer, pipe)
    link.start()
    async with _or_closed(link):
        facts = await _discovered(link) if stateless else None
        link.facts = facts or await _greeted(link)
        if link.facts.version in mcp.LEGACY_VERSIONS:
            await link.notify(mcp.INITIALIZED, {})
            await set_level(link, peer.log_level)
        link.is_open = True
    return link


async def _greeted(link: DuplexLink) -> Facts:
    try:
        result = await link.request(mcp.INITIALIZE, greeting(link.peer), Nobody(), GREETING_SECONDS)
    except RpcError:
        link.facts = Facts(version=mcp.MODERN)
        return facts_of(mcp.MODERN, await link.request(mcp.DISCOVER, {}, Nobody(), HANDSHAKE_SECONDS))
    return accepted(link.peer.upstream.name, result)


async def _discovered(link: DuplexLink) -> Facts | None:
    """None when it does not know the question, or says nothing. Raises UpstreamUnavailable when it ends at that."""
    link.facts = Facts(version=mcp.MODERN)
    try:
        result = await link.request(mcp.DISCOVER, {}, Nobody(), HANDSHAKE_SECONDS)
    except RpcError:
        result = None
    except UpstreamUnavailable:
        if link.has_ended:
            raise
        result = None
    if result is not None and speaks_modern(result):
        return facts_of(mcp.MODERN, result)
    link.facts = Facts(version="")
    return None
