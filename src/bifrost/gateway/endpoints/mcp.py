"""`/mcp` and `/mcp/{slug}`: authenticate, read the message, pick the era, answer."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import msgspec
import structlog
from msgspec import UNSET
from starlette.requests import Request
from starlette.responses import Response

from bifrost.base.errors import DomainError, MethodNotAllowed, StorageFault, TooLarge, Unexpected
from bifrost.gateway.catalog import Catalog
from bifrost.gateway.client_sessions import ClientSession
from bifrost.gateway.endpoints import modern, surface
from bifrost.gateway.endpoints.answer import Answer, EventStream, Refused
from bifrost.gateway.endpoints.credentials import INCLUDE_CLIENTS, INCLUDE_TOOLS, credentials, listed
from bifrost.gateway.endpoints.legacy import CANCELLED, Legacy
from bifrost.gateway.endpoints.modern import Modern
from bifrost.gateway.errors import AccessChanged, InsufficientScope, Stopped
from bifrost.gateway.models import Call, Endpoint
from bifrost.governance.tool_policy import ToolPolicy
from bifrost.http import body
from bifrost.http.server_protocol import OUTLIVED
from bifrost.http.surface import Renderer
from bifrost.identity.callers import Caller, Callers
from bifrost.protocol import jsonrpc, mcp, strict_jsonrpc
from bifrost.protocol.jsonrpc import Id, Message, RpcError

MAX_MESSAGE_BYTES = 4 * 1024 * 1024
MAX_BATCH = 50
MAX_BATCH_BYTES = 1024 * 1024
OPERATION = "mcp"

_MODERN_STATUS = {
    jsonrpc.METHOD_NOT_FOUND: 404,
    jsonrpc.INVALID_PARAMS: 400,
    jsonrpc.INVALID_REQUEST: 400,
    jsonrpc.PARSE_ERROR: 400,
    mcp.HEADER_MISMATCH: 400,
    mcp.MISSING_CAPABILITY: 400,
    mcp.UNSUPPORTED_VERSION: 400,
}

_NOT_IN_MODERN = {mcp.RESOURCE_NOT_FOUND: jsonrpc.INVALID_PARAMS, mcp.URL_ELICITATION_REQUIRED: jsonrpc.INTERNAL_ERROR}
"""Codes of the older era that the stateless revision does not know (2026-07-28, base)."""

_NOT_IN_LEGACY = {mcp.MISSING_CAPABILITY: jsonrpc.INVALID_REQUEST, mcp.HEADER_MISMATCH: jsonrpc.INTERNAL_ERROR}
"""Codes of the stateless revision that the older era does not know."""

_REFUSED_AS_A_WHOLE = (InsufficientScope, StorageFault, Stopped)
"""What the HTTP status must say too: the scope challenge, and that storage does not answer, or the whole gateway."""

Moved = Callable[[Call], Awaitable[None]]

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class McpEndpoint:
    callers: Callers
    catalog: Catalog
    legacy: Legacy
    modern: Modern
    render: Renderer

    async def __call__(self, request: Request) -> Response:
        """Raises DomainError for refusals of the request as a whole; an answer to its message is always a response."""
        endpoint = await self.catalog.endpoint(request.scope["path"].removesuffix("/"))
        caller = await self.callers.authenticate(credentials(request), endpoint.path)
        policy = _policy(request, caller, endpoint)
        call = Call(caller=caller, endpoint=endpoint, policy=policy, sent=request.headers.getlist)
        if request.method != "POST":
            return self._while_allowed(request, call, await self._of_session(request, call))
        raw = await body.read(request, limit=MAX_MESSAGE_BYTES, content_type="application/json")
        if raw.lstrip()[:1] == b"[" and not modern.is_named(request):
            return await self._batch(request, raw, call)
        return await self._posted(request, raw, call)

    async def _of_session(self, request: Request, call: Call) -> Response:
        """GET and DELETE exist for sessions only; without one there is no stream to open and none to end."""
        if modern.is_named(request) or mcp.SESSION_HEADER not in request.headers:
            raise MethodNotAllowed(("POST",))
        session = self.legacy.opened(request, call)
        if request.method == "DELETE":
            await self.legacy.end(call, session)
            return Response(status_code=204)
        try:
            client = self.legacy.client(request, call, session, _nothing)
            return await self.legacy.listen(request, call.by(client), session)
        except RpcError as error:
            return surface.rpc_error(error, None, 429)

    async def _posted(self, request: Request, raw: bytes, call: Call) -> Response:
        try:
            message = strict_jsonrpc.message(raw)
        except RpcError as error:
            return surface.rpc_error(error, None, 400)
        try:
            is_modern = modern.speaks(request, message)
        except RpcError as error:
            return surface.rpc_error(error, None if message.id is UNSET else message.id, 400)
        if message.id is None:
            return surface.rpc_error(RpcError(jsonrpc.INVALID_REQUEST, "A request needs an id."), None, 400)
        if is_modern:
            return await self._modern(request, message, call)
        return await self._legacy(request, message, call)

    # ---- the stateless revision -------------------------------------------------------------------------------------

    async def _modern(self, request: Request, message: Message, call: Call) -> Response:
        if message.method is UNSET or message.id is UNSET:
            return Response(status_code=202)  # nothing of this revision waits for it
        request_id: Id = message.id  # type: ignore[assignment]

        async def work(answer: Answer) -> Response:
            try:
                modern.check_headers(request, message)
                client = modern.client(request, message, answer.emit)
                result = await self.modern.answer(message, call.by(client))
                return surface.body(jsonrpc.result_response(request_id, result))
            except BaseException as error:  # noqa: BLE001 - what is not an answer is raised again
                return self._instead(request, message, request_id, error)

        if message.method == mcp.LISTEN:
            return self._while_allowed(request, call, await self._subscribed(request, message, request_id, call))
        request.scope[surface.RPC_ID] = request_id
        refused = self._ended_early(request, call)
        return Answer(work, streams=_takes_events(request), cancels=True, refused=refused)

    async def _subscribed(self, request: Request, message: Message, request_id: Id, call: Call) -> Response:
        try:
            modern.check_headers(request, message)
            client = modern.client(request, message, _nothing)
            return await self.modern.listen(message, call.by(client), request_id)
        except (RpcError, DomainError) as error:
            return self._refused(request, error, request_id, is_modern=True)

    # ---- the older era ----------------------------------------------------------------------------------------------

    async def _legacy(self, request: Request, message: Message, call: Call) -> Response:
        """Raises UnknownSession."""
        if message.method == mcp.INITIALIZE and message.id is not UNSET:
            return await self._initialized(request, message, call)
        request.scope[surface.RPC_ID] = None if message.id is UNSET else message.id
        session = self.legacy.session(request, call)
        if message.method is UNSET or message.id is UNSET:
            await self.legacy.notified(message, call, session)
            return Response(status_code=202)
        record = (lambda: self.legacy.recording(call, session)) if session else None
        return Answer(
            lambda answer: self._in_session(request, message, call, session, answer),
            streams=_takes_events(request),
            cancels=False,
            refused=self._ended_early(request, call),
            record=record,
        )

    async def _in_session(
        self, request: Request, message: Message, call: Call, session: ClientSession | None, answer: Answer
    ) -> Response:
        """The answer to one request, result or error; nothing is raised any more."""
        request_id: Id = message.id  # type: ignore[assignment]
        try:
            client = self.legacy.client(request, call, session, answer.emit)
            result = await self.legacy.answer(message, call.by(client), session, request_id)
            return surface.body(jsonrpc.result_response(request_id, result))
        except BaseException as error:  # noqa: BLE001 - what is not an answer is raised again
            return self._instead(request, message, request_id, error)

    async def _initialized(self, request: Request, message: Message, call: Call) -> Response:
        request_id: Id = message.id  # type: ignore[assignment]
        try:
            greeting, sealed = await self.legacy.initialize(call, message.params or {})
        except BaseException as error:  # noqa: BLE001 - what is not an answer is raised again
            return self._instead(request, message, request_id, error)
        response = surface.body(jsonrpc.result_response(request_id, greeting))
        response.headers[mcp.SESSION_HEADER] = sealed
        return response

    async def _batch(self, request: Request, raw: bytes, call: Call) -> Response:
        """JSON-RPC 2.0 §6, as 2025-03-26 alone has it: the answers to the requests in it, in one array; no streams.

        Raises TooLarge, UnknownSession.
        """
        session = self.legacy.session(request, call)
        version = session.version if session else request.headers.get(mcp.VERSION_HEADER) or mcp.ASSUMED_VERSION
        if version != mcp.ASSUMED_VERSION:
            refusal = RpcError(jsonrpc.INVALID_REQUEST, f"Only {mcp.ASSUMED_VERSION} has batches of messages.")
            return surface.rpc_error(refusal, None, 400)
        if len(raw) > MAX_BATCH_BYTES:
            raise TooLarge(f"A batch is larger than {MAX_BATCH_BYTES} bytes.")
        try:
            parts = strict_jsonrpc.batch(raw, MAX_BATCH)
        except RpcError as error:
            return surface.rpc_error(error, None, 400)

        async def work(_answer: Answer) -> Response:
            answers = await asyncio.gather(*(self._part(request, part, call, session) for part in parts))
            bodies = [answer for answer in answers if answer]
            return surface.body(b"[" + b",".join(bodies) + b"]") if bodies else Response(status_code=202)

        return Answer(work, streams=False, cancels=False, refused=self._ended_early(request, call))

    async def _part(self, request: Request, raw: bytes, call: Call, session: ClientSession | None) -> bytes:
        try:
            message = strict_jsonrpc.message(raw)
        except RpcError as error:
            return jsonrpc.error_response(None, error)
        if message.method is UNSET or message.id is UNSET:
            try:
                await self.legacy.notified(message, call, session)
            except DomainError as error:  # nobody is told what became of it, and the others have their answers
                log.info("notification_refused", reason=error.code)
            return b""
        if message.id is None or message.method == mcp.INITIALIZE:
            refusal = RpcError(jsonrpc.INVALID_REQUEST, "This cannot be part of a batch.")
            return jsonrpc.error_response(message.id, refusal)
        quiet = Answer(_unreachable, streams=False, cancels=False, refused=_never)
        return bytes((await self._in_session(request, message, call, session, quiet)).body)

    # ---- what lasts -------------------------------------------------------------------------------------------------

    def _while_allowed(self, request: Request, call: Call, response: Response) -> Response:
        """A stream that was opened with a credential ends with it, on whatever process (contract §6)."""
        if isinstance(response, EventStream):
            response.refused = self._refused_now(request, call, response.moved)
        return response

    def _refused_now(self, request: Request, call: Call, moved: Moved | None = None) -> Refused:
        """Also when the caller may do something else than before, or the virtual MCP holds something else.

        What runs was begun under other rules. What only listens is `moved` under the new ones.
        """

        async def refused() -> Response | None:
            nonlocal call
            # proofs were checked when the request came
            presented = msgspec.structs.replace(credentials(request), proofs=None)
            try:
                there = await self.catalog.endpoint(call.endpoint.path)
                now = await self.callers.authenticate(presented, call.endpoint.path)
                changed = not now.may_the_same_as(call.caller) or there != call.endpoint
                if moved and changed and _who(now) == _who(call.caller):
                    policy = _policy(request, now, there)
                    call = msgspec.structs.replace(call, caller=now, endpoint=there, policy=policy)
                    await moved(call)
            except StorageFault:
                return None  # that says nothing about the credential
            except DomainError as error:
                return self.render(request, error, OPERATION)
            except Exception:
                log.exception("caller_not_judged")  # nobody would ask again, so it ends (contract §6)
                return self.render(request, Unexpected(), OPERATION)
            same = now.may_the_same_as(call.caller) and there.within == call.endpoint.within
            return None if same else self.render(request, AccessChanged(), OPERATION)

        return refused

    def _ended_early(self, request: Request, call: Call) -> Refused:
        """A call that began in time may last longer than the credential would have in any case."""
        refused = self._refused_now(request, call)

        async def ended_early() -> Response | None:
            return None if self.callers.expired(call.caller) else await refused()

        return ended_early

    # ---- both -------------------------------------------------------------------------------------------------------

    def _instead(self, request: Request, message: Message, request_id: Id, error: BaseException) -> Response:
        """What one request is answered with when there is no result. Raises what ends more than the request."""
        if isinstance(error, RpcError | DomainError):
            return self._refused(request, error, request_id, is_modern=modern.is_named(request))
        if isinstance(error, asyncio.CancelledError) and error.args == (CANCELLED,):
            return Response(status_code=202)  # its client does not want an answer any more
        if isinstance(error, asyncio.CancelledError) and error.args == (OUTLIVED,):
            return self._refused(request, Stopped(), request_id, is_modern=modern.is_named(request))
        if not isinstance(error, Exception):
            raise error
        log.error("unexpected_error", method=message.method, exc_info=error)
        return surface.refusal(request, Unexpected(), request_id, 200)

    def _refused(self, request: Request, error: RpcError | DomainError, request_id: Id, *, is_modern: bool) -> Response:
        if isinstance(error, _REFUSED_AS_A_WHOLE):
            request.scope[surface.RPC_ID] = request_id
            return self.render(request, error, OPERATION)
        if isinstance(error, DomainError):
            return surface.refusal(request, error, request_id, 200)
        unknown = _NOT_IN_MODERN if is_modern else _NOT_IN_LEGACY
        error.code = unknown.get(error.code, error.code)
        return surface.rpc_error(error, request_id, _MODERN_STATUS.get(error.code, 200) if is_modern else 200)


def _policy(request: Request, caller: Caller, endpoint: Endpoint) -> ToolPolicy:
    return ToolPolicy(
        key_configs=caller.key_configs,
        within=(*caller.within, *endpoint.within),
        include_clients=listed(request, INCLUDE_CLIENTS),
        include_tools=listed(request, INCLUDE_TOOLS),
    )


def _who(caller: Caller) -> Caller:
    """Everything but which tools they may use."""
    return msgspec.structs.replace(caller, key_configs=(), within=(), expires_at=None)


async def _nothing(_message: bytes) -> bool:
    return False


async def _never() -> None:
    return None


async def _unreachable(_answer: Answer) -> Response:
    return Response(status_code=500)


def _takes_events(request: Request) -> bool:
    """Clients of every revision must say that they take both (2025-03-26, transports); one that does not gets JSON."""
    accepted = request.headers.get("accept", "")
    return "text/event-stream" in accepted
