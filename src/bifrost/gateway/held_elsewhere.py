"""A held call whose answer reached another process than the one that holds it: handed over by letter."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from msgspec import Raw

from bifrost.base import ids
from bifrost.base.errors import DomainError
from bifrost.gateway.held import HeldCalls, gone
from bifrost.gateway.letters import Handler, Letters
from bifrost.protocol import jsonrpc
from bifrost.protocol.jsonrpc import RpcError
from bifrost.upstreams.links.base import MAX_SECONDS, Nobody

TAKEN_SECONDS = 3.0
"""In which whoever holds the call must say so."""

RESUME, RESUMED = "resume", "resumed"
_NO_SESSION = ""

Outcome = Raw | dict[str, Any]


@dataclass(slots=True)
class _Reply:
    taken: asyncio.Event = field(default_factory=asyncio.Event)
    outcome: "asyncio.Future[Outcome]" = field(default_factory=lambda: asyncio.get_running_loop().create_future())


@dataclass(slots=True)
class HeldElsewhere:
    held: HeldCalls
    letters: Letters
    _replies: dict[str, _Reply] = field(default_factory=dict)
    _tasks: set["asyncio.Task[None]"] = field(default_factory=set)

    async def turn(self, held_id: str, principal: str, responses: Mapping[str, Raw]) -> Outcome:
        """The result, or the next questions. Raises RpcError: nobody holds it any more, or what it raised there."""
        if not self.letters.shared:
            raise gone()
        reply_id = ids.new_id("reply_")
        reply = self._replies[reply_id] = _Reply()
        body = {"held": held_id, "principal": principal, "responses": dict(responses), "reply": reply_id}
        try:
            await self.letters.send(_NO_SESSION, RESUME, body)
            await asyncio.wait_for(reply.taken.wait(), TAKEN_SECONDS)
            return await asyncio.wait_for(reply.outcome, MAX_SECONDS)
        except TimeoutError as error:
            raise gone() from error
        finally:
            del self._replies[reply_id]

    def reads(self) -> dict[str, Handler]:
        return {RESUME: self._asked, RESUMED: self._told}

    def _asked(self, _session: str, body: dict[str, Raw]) -> None:
        held_id = jsonrpc.text(body.get("held")) or ""
        if self.held.holds(held_id):
            running = asyncio.create_task(self._resume(held_id, body))
            self._tasks.add(running)
            running.add_done_callback(self._tasks.discard)

    async def _resume(self, held_id: str, body: dict[str, Raw]) -> None:
        principal, reply_id = (jsonrpc.text(body.get(member)) or "" for member in ("principal", "reply"))
        responses = jsonrpc.object_members(body.get("responses"))
        await self.letters.send(_NO_SESSION, RESUMED, {"reply": reply_id, "taken": True})
        try:
            call = self.held.resumed(held_id, principal)
            call.answered(responses)
            outcome = await call.turn(Nobody())
            said: dict[str, Any] = {"result": outcome} if isinstance(outcome, Raw) else {"questions": outcome}
        except RpcError as error:
            said = {"code": error.code, "message": error.message}
        except DomainError as error:
            said = {"code": jsonrpc.SERVER_ERROR, "message": error.message}
        await self.letters.send(_NO_SESSION, RESUMED, {"reply": reply_id, **said})

    def _told(self, _session: str, body: dict[str, Raw]) -> None:
        reply = self._replies.get(jsonrpc.text(body.get("reply")) or "")
        if reply is None or reply.outcome.done():
            return
        reply.taken.set()
        if "result" in body:
            reply.outcome.set_result(body["result"])
        elif "questions" in body:
            reply.outcome.set_result(jsonrpc.object_members(body["questions"]))
        elif "code" in body:
            message = jsonrpc.text(body.get("message")) or ""
            reply.outcome.set_exception(RpcError(int(jsonrpc.value(body["code"])), message))
