"""One request to its upstream, and what the two eras make of questions on the way.

| client | upstream | a question of the upstream |
|---|---|---|
| older | older | is asked on the stream of the request |
| older | stateless | its `input_required` is asked on the stream, and the request sent again with the answers |
| stateless | stateless | is passed on as the result; the upstream's state travels inside ours |
| stateless | older | holds the call, becomes an `input_required`, and the next request brings the answers |
"""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Literal

import msgspec
from msgspec import Raw

from bifrost.base import ids
from bifrost.gateway.held import HeldCall, HeldCalls, askable
from bifrost.gateway.held_elsewhere import HeldElsewhere, Outcome
from bifrost.gateway.models import KINDS, Call, Route
from bifrost.gateway.places import Places
from bifrost.gateway.request_state import INPUT_RESPONSES, REQUEST_STATE, RequestStates, State
from bifrost.protocol import jsonrpc, mcp, mirrored_headers
from bifrost.protocol.jsonrpc import RpcError
from bifrost.upstreams.extra_headers import passed_on
from bifrost.upstreams.links.base import Fields, Peer, Requester, declares
from bifrost.upstreams.sessions import UpstreamSessions

EXTENSIONS = "extensions"
"""The member of the capabilities of either side that names them."""

MAX_ROUNDS = 16
"""Of questions that one request of an older client may lead to."""

Admission = Literal["new", "with answers", "again"]
"""How a request comes to its place: like any other; with what a person has answered, so that it waits for one; or it
goes on with what was let in before."""

Overheard = Callable[[Peer, str, dict[str, Raw]], dict[str, Raw] | None]

_CHANGES = frozenset((*(kind.changed for kind in KINDS), mcp.RESOURCE_UPDATED))


@dataclass(frozen=True, slots=True)
class Forward:
    """`overheard` gets the changes that an upstream announces in the middle of a call.

    It gives what is left to be said on the stream of the call; None where the session hears of it on its own.
    """

    sessions: UpstreamSessions
    states: RequestStates
    held: HeldCalls
    elsewhere: HeldElsewhere
    places: Places
    overheard: Overheard

    async def send(self, call: Call, route: Route, params: dict[str, Raw]) -> Raw:
        """The result, as its bytes, in whatever era.

        Raises RpcError, UpstreamUnavailable, UpstreamFull, ConnectionRequired.
        """
        peer = self.peer(call, route)
        if route.upstream.allowed_extra_headers:
            passed = passed_on(route.upstream.allowed_extra_headers, call.sent)
            route = msgspec.structs.replace(route, fields=Fields(passed=passed))
        if not call.client.modern:
            result = await self._request(call.client.requester, peer, route, params)
            return await self._answered(call, peer, route, params, result) if asks(result) else result
        try:
            return await self._for_stateless(call, peer, route, params)
        except RpcError as error:
            asked = _elicitations(error) if call.client.opens_urls else {}
            if not asked:
                raise
            # a code of the older era, in the words of this one: ask, and let the call be made again
            sealed = self.states.seal(call, route, params, own=True)
            return jsonrpc.raw({"resultType": mcp.INPUT_REQUIRED, "inputRequests": asked, REQUEST_STATE: sealed})

    def peer(self, call: Call, route: Route) -> Peer:
        client = call.client
        return self.sessions.peer(
            route.upstream,
            call.caller.identity,
            session=client.session,
            capabilities=client.capabilities,
            log_level=client.log_level,
        )

    async def _request(
        self, requester: Requester, peer: Peer, route: Route, params: Mapping[str, Any], entry: Admission = "new"
    ) -> Raw:
        fields = route.fields
        if route.mirrored:
            mirrored = mirrored_headers.fields_of(route.mirrored, params.get("arguments"))
            fields = Fields(mirrored=mirrored, passed=fields.passed)
        if entry == "with answers":
            await self.places.awaited(route.upstream)
        with self.places.returned(route.upstream) if entry == "again" else self.places.taken(route.upstream):
            return await self.sessions.request(
                peer,
                route.method,
                {**params, route.param: route.key} if route.param else params,
                seconds=route.seconds,
                requester=_Overhearing(requester, peer, self.places.lent(route.upstream), self.overheard),
                fields=fields,
            )

    # ---- an older client --------------------------------------------------------------------------------------------

    async def _answered(self, call: Call, peer: Peer, route: Route, params: Mapping[str, Any], result: Raw) -> Raw:
        """The result once this client has answered all that is asked, which begins with this result."""
        requester = call.client.requester
        for _ in range(MAX_ROUNDS):
            asked = jsonrpc.object_members(result)
            answers = await _answers(requester, _questions(call, route, asked))
            answered = {**params, INPUT_RESPONSES: answers}
            if REQUEST_STATE in asked:
                answered[REQUEST_STATE] = asked[REQUEST_STATE]
            result = await self._request(requester, peer, route, answered, "again")
            if not asks(result):
                return result
        raise RpcError(jsonrpc.INTERNAL_ERROR, f"{route.upstream.name} does not stop asking.")

    # ---- a stateless client -----------------------------------------------------------------------------------------

    async def _for_stateless(self, call: Call, peer: Peer, route: Route, params: dict[str, Raw]) -> Raw:
        state = self.states.opened(call, route, params)
        if state and state.held:
            return await self._resume(call, route, params, state)
        entry: Admission = "with answers" if state else "new"
        sent = _with_state(params, state)
        if askable(call.client.capabilities) and not (await self.sessions.facts(peer)).stateless:
            return await self._hold(call, peer, route, sent, entry)
        result = await self._request(call.client.requester, peer, route, sent, entry)
        return self._with_our_state(call, route, params, result) if asks(result) else result

    def _with_our_state(self, call: Call, route: Route, params: Mapping[str, Any], result: Raw) -> Raw:
        members = jsonrpc.object_members(result)
        _questions(call, route, members)
        sealed = self.states.seal(call, route, params, upstream_state=jsonrpc.text(members.get(REQUEST_STATE)))
        return jsonrpc.raw({**members, REQUEST_STATE: sealed})

    async def _hold(self, call: Call, peer: Peer, route: Route, params: Mapping[str, Any], entry: Admission) -> Raw:
        held = self.held.begin(
            call.principal,
            call.caller.identity,
            lambda requester: self._request(requester, peer, route, params, entry),
        )
        return await self._turn(call, route, params, held)

    async def _resume(self, call: Call, route: Route, params: Mapping[str, Raw], state: State) -> Raw:
        responses = jsonrpc.object_members(params.get(INPUT_RESPONSES))
        if not self.held.holds(state.held):
            outcome = await self.elsewhere.turn(state.held, call.principal, responses)
            return self._outcome(call, route, params, state.held, outcome)
        held = self.held.resumed(state.held, call.principal)
        held.answered(responses)
        return await self._turn(call, route, params, held)

    async def _turn(self, call: Call, route: Route, params: Mapping[str, Any], held: HeldCall) -> Raw:
        outcome = await held.turn(call.client.requester)
        if not isinstance(outcome, Raw):
            self.held.keep(held)
        return self._outcome(call, route, params, held.id, outcome)

    def _outcome(self, call: Call, route: Route, params: Mapping[str, Any], held_id: str, outcome: Outcome) -> Raw:
        if isinstance(outcome, Raw):
            return outcome
        sealed = self.states.seal(call, route, params, held=held_id)
        return jsonrpc.raw({"resultType": mcp.INPUT_REQUIRED, "inputRequests": outcome, REQUEST_STATE: sealed})


class _Overhearing(msgspec.Struct, frozen=True):
    requester: Requester
    peer: Peer
    lent: AbstractContextManager[None]
    """Its place, while it waits for a person."""

    overheard: Overheard

    async def notify(self, method: str, params: dict[str, Raw]) -> None:
        left = self.overheard(self.peer, method, params) if method in _CHANGES else params
        if left is not None:
            await self.requester.notify(method, left)

    async def ask(self, method: str, params: dict[str, Raw]) -> Raw:
        with self.lent:
            return await self.requester.ask(method, params)


def asks(result: Raw) -> bool:
    """Whether it is a request for input; most results need not be taken apart to know."""
    if b'"input_required"' not in bytes(result):
        return False
    return jsonrpc.text(jsonrpc.object_members(result).get("resultType")) == mcp.INPUT_REQUIRED


def _questions(call: Call, route: Route, asked: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """What an upstream asks, by its own keys. Raises RpcError: something that this client did not declare.

    Nobody is asked that (2026-07-28, multi-round-trip requests), whatever the upstream was told. A stateless client
    that declares extensions may know questions that the gateway does not.
    """
    questions = {
        key: jsonrpc.object_members(raw) for key, raw in jsonrpc.object_members(asked.get("inputRequests")).items()
    }
    declared = jsonrpc.object_members(Raw(call.client.capabilities))
    for question in questions.values():
        method = jsonrpc.text(question.get("method")) or ""
        params = jsonrpc.object_members(question.get("params"))
        may_know = call.client.modern and EXTENSIONS in declared and method not in mcp.CLIENT_CAPABILITY
        if not may_know and not declares(call.client.capabilities, method, params):
            raise RpcError(
                mcp.MISSING_CAPABILITY,
                f"{route.upstream.name} asks for something that this client did not declare: {method[:64]}",
                jsonrpc.encode({"requiredCapabilities": _required(method, params)}),
            )
    return questions


def _required(method: str, params: Mapping[str, Any]) -> dict[str, Any]:
    area = mcp.CLIENT_CAPABILITY.get(method)
    if area is None:
        return {}
    if method == mcp.ELICITATION_CREATE:
        return {area: {jsonrpc.text(params.get("mode")) or mcp.FORM: {}}}
    return {area: {"tools": {}} if "tools" in params else {}}


def _elicitations(error: RpcError) -> dict[str, Any]:
    """What a 2025-11-25 upstream wants opened before it does the call; nothing when it is another error."""
    if error.code != mcp.URL_ELICITATION_REQUIRED or error.data is None:
        return {}
    try:
        entries = jsonrpc.items(jsonrpc.members(error.data).get("elicitations", b"[]"))
    except (ValueError, RecursionError):
        return {}
    wanted = [jsonrpc.object_members(entry) for entry in entries]
    params = [{name: one[name] for name in ("mode", "message", "url") if name in one} for one in wanted]
    return {f"u{number}": {"method": mcp.ELICITATION_CREATE, "params": one} for number, one in enumerate(params)}


def _with_state(params: dict[str, Raw], state: State | None) -> dict[str, Any]:
    """The request as its upstream knows it: with the upstream's own state, or none of what was between us."""
    sent: dict[str, Any] = {name: raw for name, raw in params.items() if name != REQUEST_STATE}
    if state and state.upstream_state is not None:
        sent[REQUEST_STATE] = state.upstream_state
    if state and state.own:
        sent.pop(INPUT_RESPONSES, None)
    return sent


async def _answers(requester: Requester, questions: Mapping[str, dict[str, Any]]) -> dict[str, Raw]:
    """All of them at once. Raises RpcError when one is refused: a client says no with a result, not with an error."""

    async def answer(question: dict[str, Any]) -> Raw:
        method = jsonrpc.text(question.get("method")) or ""
        return await requester.ask(method, _older(method, jsonrpc.object_members(question.get("params"))))

    return dict(zip(questions, await asyncio.gather(*map(answer, questions.values())), strict=True))


def _older(method: str, params: dict[str, Any]) -> dict[str, Any]:
    """2025-11-25 wants an id for every elicitation by URL; the stateless revision has none."""
    if method == mcp.ELICITATION_CREATE and jsonrpc.text(params.get("mode")) == "url":
        return {"elicitationId": jsonrpc.raw(ids.new_id("elicit_")), **params}
    return params
