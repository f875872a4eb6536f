"""The management API's surface: JSON in and out, the gateway's JSON errors, and one guard before every endpoint.

An endpoint is a function of the request and, when its route says `takes`, of a command that was read from the body
(or, for GET, from the query). It returns what its route says it `gives`, or None for 204.
"""

from collections import defaultdict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from bifrost.base import events
from bifrost.base.clock import SECOND
from bifrost.base.errors import DomainError, NotFound, Unauthenticated
from bifrost.base.events import Event
from bifrost.http import commands, gateway_error
from bifrost.http.public_urls import PublicUrls
from bifrost.http.router import Route
from bifrost.http.surface import Endpoint, Surface, event_id

CHALLENGE = 'Bearer realm="bifrost management"'
_SAFE_METHODS = ("GET", "HEAD")
_ANY_METHOD = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")

Guard = Callable[[Request], Awaitable[None]]
"""Raises Unauthenticated, Denied, TooMany unless an administrator asks."""

ApiEndpoint = Callable[..., Awaitable[msgspec.Struct | Response | None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One method at one address: what is routed, guarded and documented."""

    method: str
    path: str
    name: str
    """Names the request in errors and logs (`extra_fields.request_type`)."""
    endpoint: ApiEndpoint
    summary: str
    takes: type[msgspec.Struct] | None
    gives: type[msgspec.Struct] | None
    status: int
    open: bool

    @property
    def told(self) -> bool:
        """Whether it is an event of the audit trail, whatever comes of it: every change that an administrator tries."""
        return not self.open and self.method not in _SAFE_METHODS


@dataclass(frozen=True, slots=True)
class Api:
    """Collects operations; `routes` are what the application serves. Nothing here has CORS (contract §7)."""

    public_urls: PublicUrls
    guard: Guard
    operations: list[Operation] = field(default_factory=list)

    def route(
        self,
        path: str,
        endpoint: ApiEndpoint,
        method: str,
        *,
        operation: str,
        summary: str,
        takes: type[msgspec.Struct] | None = None,
        gives: type[msgspec.Struct] | None = None,
        status: int = 200,
        open_to_everybody: bool = False,
    ) -> None:
        """`open_to_everybody` leaves the guard out; only the endpoint that checks the credential itself may ask so."""
        self.operations.append(
            Operation(
                method=method,
                path=path,
                name=operation,
                endpoint=endpoint,
                summary=summary,
                takes=takes,
                gives=gives,
                status=status if gives else 204,
                open=open_to_everybody,
            )
        )

    def routes(self) -> list[Route]:
        """A route for each path, and one for every address below /api/ that nothing else answers."""
        surface = Surface(render=render, public_urls=self.public_urls)
        by_path: dict[str, list[Operation]] = defaultdict(list)
        for operation in self.operations:
            by_path[operation.path].append(operation)
        unknown = [
            surface.route(path, _unknown, *_ANY_METHOD, operation="api_unknown")
            for path in ("/api", "/api/{path:path}")
        ]
        return [*(self._route(surface, path, found) for path, found in by_path.items()), *unknown]

    def _route(self, surface: Surface, path: str, operations: list[Operation]) -> Route:
        methods = tuple(operation.method for operation in operations)
        by_method = {
            operation.method: surface.route(path, self._answers(operation), *methods, operation=operation.name)
            for operation in operations
        }
        return Route(path, ByMethod(by_method))

    def _answers(self, operation: Operation) -> Endpoint:
        async def answer(request: Request) -> Response:
            if not operation.open:
                await self.guard(request)
            given = await _done(request, operation, await _taken(request, operation))
            if given is None:
                return Response(status_code=204, headers={"Cache-Control": "no-store"})
            return given if isinstance(given, Response) else json(given, operation.status)

        answer.__qualname__ = getattr(operation.endpoint, "__qualname__", type(operation.endpoint).__qualname__)
        return answer


@dataclass(frozen=True, slots=True)
class ByMethod:
    """The routes of one path, one for each method; any other method is for one of them to refuse."""

    routes: dict[str, Route]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        route = self.routes.get(scope["method"]) or next(iter(self.routes.values()))
        await route.app(scope, receive, send)


def rfc3339(milliseconds: int) -> str:
    """How the management API writes a time: UTC, with milliseconds where there are any."""
    text = datetime.fromtimestamp(milliseconds // SECOND, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{text}.{milliseconds % SECOND:03}Z" if milliseconds % SECOND else f"{text}Z"


def json(answer: Any, status: int = 200) -> Response:
    return Response(msgspec.json.encode(answer), status, {"Cache-Control": "no-store"}, media_type="application/json")


def render(request: Request, error: DomainError, operation: str) -> Response:
    """Never a page, whoever asks. A 401 names its scheme (RFC 9110 §11.6.1)."""
    answer = gateway_error.response(error, event_id=event_id(request), operation=operation)
    if isinstance(error, Unauthenticated):
        answer.headers["WWW-Authenticate"] = CHALLENGE
    return answer


async def _done(
    request: Request, operation: Operation, taken: list[msgspec.Struct]
) -> msgspec.Struct | Response | None:
    """What the endpoint gives."""
    if not operation.told:
        return await operation.endpoint(request, *taken)
    members = _members(taken)
    try:
        given = await operation.endpoint(request, *taken)
    except DomainError as error:
        target = ",".join(map(str, request.path_params.values()))
        details = {"code": error.code, "members": members}
        events.add(Event(name=operation.name, target=target, result="failure", details=details))
        raise
    target = ",".join(map(str, request.path_params.values())) or _made(given)
    events.add(Event(name=operation.name, target=target, details={"members": members}))
    return given


def _made(given: object) -> str:
    """The id of what a request without one made; upstreams call theirs otherwise (contract §9)."""
    return str(getattr(given, "id", "") or getattr(given, "mcp_client_id", ""))


def _members(taken: list[msgspec.Struct]) -> str:
    """The names of the members that were sent with anything but their default, and never what is in them."""
    return ",".join(
        member.name
        for command in taken
        for member in msgspec.structs.fields(command)
        if getattr(command, member.name) != member.default
    )


async def _taken(request: Request, operation: Operation) -> list[msgspec.Struct]:
    if operation.takes is None:
        return []
    if operation.method == "GET":
        return [commands.from_query(request, operation.takes)]
    return [await commands.from_body(request, operation.takes)]


async def _unknown(_request: Request) -> Response:
    raise NotFound("There is nothing at this address.")
