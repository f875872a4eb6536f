"""A held call whose answer reached another process than the one that holds it: handed over by letter.

Whoever holds it says so at once and again every few seconds while it works, so that nobody waits for a process that has
ended. A client that leaves cancels the call there, as it would here.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import structlog
from msgspec import Raw

from bifrost.base import ids
from bifrost.base.errors import DomainError, StorageFault, Unexpected
from bifrost.gateway.errors import LetterTooLarge
from bifrost.gateway.held import HeldCalls, gone
from bifrost.gateway.letter_limits import LETTERS, LetterLimits
from bifrost.gateway.letters import Concerns, Handler, Letters
from bifrost.protocol import jsonrpc
from bifrost.protocol.jsonrpc import RpcError
from bifrost.upstreams.links.base import Nobody

TAKEN_SECONDS = 3.0
"""In which whoever holds the call must say so."""

SIGN_SECONDS = 5.0
"""How often it says that it still works."""

SILENCE_SECONDS = 30.0
"""After which it is taken to have ended: some signs may be late, or lost with a database that does not answer."""

RESUME, RESUMED, ABANDONED = "resume", "resumed", "abandoned"
"""Kinds of letters. The last two name the reply where others name a session."""

_NO_SESSION = ""

Outcome = Raw | dict[str, Any]

log = structlog.get_logger()


@dataclass(slots=True)
class _Reply:
    signs: "asyncio.Queue[None]" = field(default_factory=asyncio.Queue)
    outcome: "asyncio.Future[Outcome]" = field(default_factory=lambda: asyncio.get_running_loop().create_future())

    async def awaited(self) -> Outcome:
        """Raises RpcError: nobody holds the call any more, or what it raised there."""
        silence = TAKEN_SECONDS
        while not self.outcome.done():
            sign = asyncio.ensure_future(self.signs.get())
            waited: set[asyncio.Future[Any]] = {sign, self.outcome}
            try:
                done, _ = await asyncio.wait(waited, timeout=silence, return_when=asyncio.FIRST_COMPLETED)
            finally:
                sign.cancel()
            if not done:
                raise gone()
            silence = SILENCE_SECONDS
        return self.outcome.result()


@dataclass(slots=True)
class HeldElsewhere:
    held: HeldCalls
    letters: Letters
    limits: LetterLimits
    _replies: dict[str, _Reply] = field(default_factory=dict)
    """Awaited here."""

    _tasks: dict[str, "asyncio.Task[None]"] = field(default_factory=dict)
    """Working here, for replies that are awaited elsewhere."""

    async def turn(self, held_id: str, principal: str, responses: Mapping[str, Raw]) -> Outcome:
        """The result, or the next questions. Raises RpcError: nobody holds it any more, or what it raised there.

        Raises StorageFault, LetterTooLarge, TooManyLetters.
        """
        if not self.letters.shared:
            raise gone()
        self.limits.check(principal, LETTERS)
        reply_id = ids.new_id("reply_")
        reply = self._replies[reply_id] = _Reply()
        body = {"held": held_id, "principal": principal, "responses": dict(responses), "reply": reply_id}
        try:
            await self.letters.send(_NO_SESSION, RESUME, body)
            return await reply.awaited()
        except asyncio.CancelledError:
            self.letters.post(reply_id, ABANDONED, {})
            raise
        finally:
            del self._replies[reply_id]

    def reads(self) -> dict[str, Handler]:
        return {RESUME: self._asked, RESUMED: self._told, ABANDONED: self._abandoned}

    def concerns(self) -> dict[str, Concerns]:
        return {RESUMED: self._replies.__contains__, ABANDONED: self._tasks.__contains__}

    # ---- where the call is held -------------------------------------------------------------------------------------

    def _asked(self, _session: str, body: dict[str, Raw]) -> None:
        held_id, reply_id = (jsonrpc.text(body.get(member)) or "" for member in ("held", "reply"))
        if self.held.holds(held_id):
            running = self._tasks[reply_id] = asyncio.create_task(self._resume(held_id, reply_id, body))
            running.add_done_callback(lambda done: self._over(reply_id, done))

    def _over(self, reply_id: str, done: "asyncio.Task[None]") -> None:
        self._tasks.pop(reply_id, None)
        if not done.cancelled() and done.exception() is not None:
            log.warning("resumed_call_not_told", reason=str(done.exception()))

    def _abandoned(self, reply_id: str, _body: dict[str, Raw]) -> None:
        running = self._tasks.get(reply_id)
        if running:
            running.cancel()  # which ends the call, as it would for a client of this process

    async def _resume(self, held_id: str, reply_id: str, body: dict[str, Raw]) -> None:
        signs = asyncio.create_task(self._give_signs(reply_id))
        try:
            said = await self._outcome(held_id, body)
        finally:
            signs.cancel()
        try:
            await self.letters.send(reply_id, RESUMED, said)
        except LetterTooLarge as error:
            await self.letters.send(reply_id, RESUMED, {"code": jsonrpc.SERVER_ERROR, "message": error.message})

    async def _outcome(self, held_id: str, body: dict[str, Raw]) -> dict[str, Any]:
        try:
            call = self.held.resumed(held_id, jsonrpc.text(body.get("principal")) or "")
            call.answered(jsonrpc.object_members(body.get("responses")))
            outcome = await call.turn(Nobody())
        except RpcError as error:
            data = {} if error.data is None else {"data": Raw(error.data)}
            return {"code": error.code, "message": error.message, **data, "more": error.more}
        except DomainError as error:
            return {"code": jsonrpc.SERVER_ERROR, "message": error.message}
        except Exception:
            log.exception("unexpected_error", held=held_id)
            return {"code": jsonrpc.INTERNAL_ERROR, "message": Unexpected().message}
        return {"result": outcome} if isinstance(outcome, Raw) else {"questions": outcome}

    async def _give_signs(self, reply_id: str) -> None:
        while True:
            try:
                await self.letters.send(reply_id, RESUMED, {})
            except StorageFault:
                log.warning("letter_lost", kind=RESUMED)
            await asyncio.sleep(SIGN_SECONDS)

    # ---- where it is awaited ----------------------------------------------------------------------------------------

    def _told(self, reply_id: str, body: dict[str, Raw]) -> None:
        reply = self._replies.get(reply_id)
        if reply is None or reply.outcome.done():
            return
        reply.signs.put_nowait(None)
        if "result" in body:
            reply.outcome.set_result(body["result"])
        elif "questions" in body:
            reply.outcome.set_result(jsonrpc.object_members(body["questions"]))
        elif "code" in body:
            message, data = jsonrpc.text(body.get("message")) or "", body.get("data")
            code = int(jsonrpc.value(body["code"]))
            more = jsonrpc.object_members(body.get("more"))
            reply.outcome.set_exception(RpcError(code, message, None if data is None else bytes(data), more))
