"""What links to upstreams have in common, whatever era they speak and whatever carries them.

A link belongs to one peer: an upstream as one caller talks to it. While a request runs the upstream may say things to
whoever asked (progress, logs) or ask them something in turn (sampling, elicitation, roots): that is the `Requester`.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import msgspec
import structlog
from msgspec import UNSET, Raw

from bifrost import __version__
from bifrost.base.errors import DomainError
from bifrost.base.time_limit import Alarm, TimeLimit
from bifrost.identity.models import Identity
from bifrost.protocol import jsonrpc, mcp
from bifrost.protocol.jsonrpc import Message, RpcError
from bifrost.upstreams.errors import UpstreamUnavailable
from bifrost.upstreams.links.refusals import Refusals
from bifrost.upstreams.models import Upstream

CLIENT_INFO = {"name": "bifrost", "version": __version__}
_CLIENT_INFO = jsonrpc.raw(CLIENT_INFO)
EVERYBODY = "everybody"
"""The owner of a link that all callers share."""

HANDSHAKE_SECONDS = 10.0
PERSON_SECONDS = 600.0
"""How long an upstream waits for what it asked a person or their model."""

MAX_SECONDS = 3_600.0
"""Of one request, however often it reports progress."""

MAX_TOKEN_BYTES = 1_024
"""Of a progress token."""

MAX_QUESTIONS = 32
"""That an upstream may have open towards one requester; one more is refused."""

TASK, TASKS = "task", "tasks"
"""The parameter that makes a task of a request, and the capability (2025-11-25, tasks); not offered to either side."""

Params = Mapping[str, Any]
_ENVELOPE = frozenset((mcp.META_VERSION, mcp.META_CLIENT_INFO, mcp.META_CAPABILITIES, mcp.META_LOG_LEVEL))
Respond = Callable[[bytes], Awaitable[None]]

log = structlog.get_logger()


class Requester(Protocol):
    async def notify(self, method: str, params: dict[str, Raw]) -> None:
        """Something the upstream says."""
        ...

    async def ask(self, method: str, params: dict[str, Raw]) -> Raw:
        """Something the upstream wants to know: the result. Raises RpcError."""
        ...


class Nobody:
    """Hears nothing and answers nothing: for requests that the gateway makes for itself."""

    async def notify(self, method: str, params: dict[str, Raw]) -> None:
        """Nobody is there."""

    async def ask(self, method: str, params: dict[str, Raw]) -> Raw:  # noqa: ARG002 - the interface
        raise RpcError(jsonrpc.METHOD_NOT_FOUND, "Nobody is there to answer this.")


NOBODY = Nobody()


class Peer(msgspec.Struct, frozen=True, kw_only=True):
    """An upstream as one caller talks to it. Callers with the same key share a link.

    `session` is the caller's own session: what it does to the state of a link is seen by nobody else. `capabilities`
    are exactly what the caller declared, as JSON; without any an upstream asks nothing back.
    """

    upstream: Upstream
    identity: Identity
    owner: str
    session: str = ""
    capabilities: bytes = b"{}"
    log_level: str = ""
    spare: int = 0
    """One more link beside those of lower numbers, which wait for a person."""

    @property
    def key(self) -> tuple[str, str, str, bytes, str, int]:
        level = "" if self.session else self.log_level
        return self.upstream.id, self.owner, self.session, self.capabilities, level, self.spare

    def another(self) -> "Peer":
        """For one more link."""
        return msgspec.structs.replace(self, spare=self.spare + 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What an upstream said of itself."""

    version: str
    capabilities: dict[str, Any] = field(default_factory=dict)
    instructions: str = ""

    @property
    def stateless(self) -> bool:
        return self.version in mcp.MODERN_VERSIONS

    def offers(self, area: str) -> bool:
        return isinstance(self.capabilities.get(area), dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fields:
    """Header fields of one request besides the usual ones."""

    mirrored: Mapping[str, str] = field(default_factory=dict)
    """Arguments once more; only the stateless revision has them (2026-07-28, transports)."""

    passed: Mapping[str, str] = field(default_factory=dict, repr=False)
    """The caller's own, those that the upstream may get (`allowed_extra_headers`)."""


NO_FIELDS = Fields()


class Link(Protocol):
    @property
    def facts(self) -> Facts: ...

    @property
    def peer(self) -> Peer: ...

    async def request(
        self,
        method: str,
        params: Params,
        requester: Requester,
        seconds: float,
        fields: Fields = NO_FIELDS,
    ) -> Raw:
        """The result, as its bytes.

        Raises RpcError (the upstream's own error), UpstreamUnavailable, Forgotten.
        """
        ...

    async def notify(self, method: str, params: Params) -> None:
        """Raises UpstreamUnavailable."""
        ...

    async def listen(self, uris: tuple[str, ...], requester: Requester) -> None:
        """Hears what the upstream says of its own accord, for as long as it is not cancelled; returns when it is over.

        A stateless one says only what is asked for: news of these resources, or without any the changes of all lists;
        that it acknowledges, to the requester too. Others say everything; to these resources they are subscribed first,
        and the requester hears an acknowledgement as soon as what they say arrives here.

        Raises UpstreamUnavailable, also when the upstream ended what a stateless one was asked for, and RpcError.
        """
        ...

    async def close(self) -> None:
        """Says good-bye, as far as the era knows how to. Never raises."""
        ...


async def tell_cancelled(link: Link, request_id: int, reason: str) -> None:
    """That nobody waits for the answer any more."""
    try:
        await link.notify(mcp.CANCELLED, {"requestId": request_id, "reason": reason})
    except DomainError:
        log.info("upstream_not_told_of_cancellation", upstream=link.peer.upstream.name)


class Forgotten(Exception):
    """The upstream knows the session, or the revision, no longer. It did not look at the request."""


class Patience(TimeLimit):
    """The time limit of one request: progress renews it, a question to a person stretches it, up to a last end."""

    __slots__ = ("_first_end", "seconds")

    def __init__(self, seconds: float, alarm: Alarm | None = None) -> None:
        super().__init__(seconds, alarm)
        self.seconds = seconds
        self._first_end = self.ends_at

    def renew(self, seconds: float = 0) -> None:
        last_end = self._first_end + max(MAX_SECONDS - self.seconds, 0)
        self.move(min(self.now() + (seconds or self.seconds), last_end))


@dataclass(slots=True)
class Running:
    """One request that an upstream is working on: what it says meanwhile goes to the one who asked, and to no other."""

    peer: Peer
    request_id: int
    requester: Requester
    patience: Patience | None
    respond: Respond | None
    """Where answers to the upstream's questions go; None where the revision knows no questions."""

    progress_token: Any = None
    """The requester's own; towards the upstream the id of the request stands for it, which nobody else has."""
    _questions: dict["asyncio.Task[None]", jsonrpc.Id] = field(default_factory=dict)
    _refusals: "Refusals | None" = None

    async def incoming(self, message: Message) -> None:
        if message.method is UNSET:
            return  # an answer to something that was not asked
        params = message.params if isinstance(message.params, dict) else {}
        if message.id is UNSET:
            await self._notified(message.method, params)
        elif message.id is None or self.respond is None:
            return
        elif len(self._questions) >= MAX_QUESTIONS:
            self._refuse(self.respond, message.id)
        else:
            question = asyncio.create_task(self._asked(self.respond, message.id, message.method, params))
            self._questions[question] = message.id
            question.add_done_callback(self._questions.pop)

    def end(self) -> None:
        """The request is over: what was asked for its sake needs no answer any more."""
        for question in self._questions:
            question.cancel()
        if self._refusals is not None:
            self._refusals.end()

    def asked(self, question_id: jsonrpc.Id) -> list["asyncio.Task[None]"]:
        """What waits for the answer to this question of the upstream's."""
        return [task for task, asked in self._questions.items() if asked == question_id]

    def _refuse(self, respond: Respond, question_id: jsonrpc.Id) -> None:
        if self._refusals is None:
            self._refusals = Refusals(self.peer.upstream.name, respond)
        self._refusals.add(question_id)

    async def _notified(self, method: str, params: dict[str, Raw]) -> None:
        if method == mcp.CANCELLED:
            self._withdrawn(id_in(params.get("requestId")))
            return
        if method == mcp.PROGRESS:
            if self.progress_token is None or bytes(params.get("progressToken", b"")) != b"%d" % self.request_id:
                return
            params = {**params, "progressToken": self.progress_token}
            self._renew(PERSON_SECONDS if self._questions else 0)
        await self.requester.notify(method, params)

    async def _asked(self, respond: Respond, question_id: jsonrpc.Id, method: str, params: dict[str, Raw]) -> None:
        self._renew(PERSON_SECONDS)
        try:
            await respond(await answered(self.peer, self.requester, question_id, method, params))
        except DomainError as error:
            log.warning("upstream_question_unanswered", upstream=self.peer.upstream.name, reason=error.message)
        self._renew(PERSON_SECONDS if len(self._questions) > 1 else 0)

    def _withdrawn(self, question_id: jsonrpc.Id | None) -> None:
        """The upstream wants no answer any more; whoever was asked is told under the id that they know."""
        for task in self.asked(question_id) if question_id is not None else ():
            task.cancel()
            self._renew(PERSON_SECONDS if len(self._questions) > 1 else 0)

    def _renew(self, seconds: float = 0) -> None:
        if self.patience:
            self.patience.renew(seconds)


async def answered(
    peer: Peer, requester: Requester, question_id: jsonrpc.Id, method: str, params: dict[str, Raw]
) -> bytes:
    """The response to what an upstream asks: only what this caller declared is ever put to them."""
    if method == mcp.PING:
        return jsonrpc.result_response(question_id, {})
    params = without(TASK, params)
    if not declares(peer.capabilities, method, params):
        return jsonrpc.error_response(question_id, RpcError(jsonrpc.METHOD_NOT_FOUND, "The client cannot do this."))
    try:
        return jsonrpc.result_response(question_id, await requester.ask(method, params))
    except RpcError as error:
        return jsonrpc.error_response(question_id, error)


def id_in(raw: Raw | None) -> jsonrpc.Id | None:
    """The id that is named there; None for anything else, also for what cannot be read."""
    try:
        found = jsonrpc.value(raw or b"null")
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, str | int) and not isinstance(found, bool) else None


def declares(capabilities: bytes, method: str, params: Mapping[str, Any]) -> bool:
    """Whether a client with these capabilities may be asked this, in this way (2025-11-25, elicitation, sampling)."""
    declared = jsonrpc.object_members(Raw(capabilities)).get(mcp.CLIENT_CAPABILITY.get(method, ""))
    if declared is None or not bytes(declared).startswith(b"{"):
        return False
    members = jsonrpc.object_members(declared)
    if method == mcp.ELICITATION_CREATE:
        mode = jsonrpc.text(params.get("mode")) or mcp.FORM
        return mode in members or (mode == mcp.FORM and mcp.URL not in members)  # an empty object means forms
    return method != mcp.SAMPLING_CREATE or "tools" not in params or "tools" in members


def with_own_token(params: Params, request_id: int) -> tuple[Params, Any]:
    """The parameters with a progress token of ours in place of the requester's, and theirs; None when there is none.

    Every piece of progress repeats it, so that one without measure counts as none. What is in `_meta` is taken apart
    here, once for all who look into it.
    """
    if "_meta" not in params:
        return params, None
    meta = jsonrpc.object_members(params["_meta"])
    if not meta:
        return params, None
    token = meta.pop(mcp.PROGRESS_TOKEN, None)
    if token is None or len(bytes(token)) > MAX_TOKEN_BYTES:
        return {**params, "_meta": meta}, None
    return {**params, "_meta": {**meta, mcp.PROGRESS_TOKEN: request_id}}, token


def modern_meta(peer: Peer, params: Params) -> Params:
    """What the client sent along and can do, under the name of this gateway, which is who asks (2026-07-28, base)."""
    sent = params.get("_meta")
    meta = jsonrpc.object_members(sent) if isinstance(sent, Raw | dict) else {}
    own = {
        mcp.META_VERSION: mcp.MODERN,
        mcp.META_CLIENT_INFO: _CLIENT_INFO,
        mcp.META_CAPABILITIES: Raw(peer.capabilities),
    }
    level = {mcp.META_LOG_LEVEL: peer.log_level} if peer.log_level else {}
    return {**params, "_meta": {**level, **meta, **own}}


def wanted(uris: tuple[str, ...]) -> dict[str, Any]:
    """What a listening is for (2026-07-28, subscriptions): these resources, or without any the changes of all lists."""
    if uris:
        return {"resourceSubscriptions": list(uris)}
    return {"toolsListChanged": True, "promptsListChanged": True, "resourcesListChanged": True}


def legacy_meta(params: Params) -> Params:
    """Without what only the stateless revision says in `_meta`: servers of the older era may refuse it."""
    sent = params.get("_meta")
    if not isinstance(sent, Raw | dict):
        return params
    meta = jsonrpc.object_members(sent)
    kept = {name: value for name, value in meta.items() if name not in _ENVELOPE}
    if len(kept) == len(meta):
        return params
    return {**params, "_meta": kept} if kept else {name: value for name, value in params.items() if name != "_meta"}


def greeting(peer: Peer) -> Params:
    """What an upstream of the older era is told of its client: what that can do, except for tasks.

    Nobody could ask it for one here (`tasks/get`), so an upstream must not make any (2025-11-25, tasks).
    """
    capabilities = Raw(peer.capabilities)
    if TASKS.encode() in peer.capabilities:
        capabilities = jsonrpc.raw(without(TASKS, jsonrpc.object_members(capabilities)))
    return {"protocolVersion": mcp.LATEST_LEGACY, "capabilities": capabilities, "clientInfo": CLIENT_INFO}


def without(name: str, members: dict[str, Raw]) -> dict[str, Raw]:
    return {member: raw for member, raw in members.items() if member != name} if name in members else members


def result_of(peer: Peer, message: Message) -> Raw:
    """Raises RpcError, UpstreamUnavailable."""
    if message.error is not UNSET:
        raise jsonrpc.error_from(message.error)
    if message.result is UNSET or not bytes(message.result).startswith(b"{"):
        raise UpstreamUnavailable(f"{peer.upstream.name} answered with a result that is not an object.")
    return message.result


def facts_of(version: str, result: Raw) -> Facts:
    members = jsonrpc.object_members(result)
    try:
        capabilities = jsonrpc.value(members.get("capabilities", b"{}"))
    except (ValueError, RecursionError):
        capabilities = {}
    return Facts(
        version=version,
        capabilities=capabilities if isinstance(capabilities, dict) else {},
        instructions=jsonrpc.text(members.get("instructions")) or "",
    )
