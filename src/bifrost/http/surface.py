"""A surface is a family of addresses that answer in one form: who may ask, which methods, how an error looks.

`Surface.route` wraps an endpoint so that whatever it raises leaves in the surface's own form. The router would refuse
a wrong method in plain text, so every method is routed here and checked here.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import Receive, Scope, Send

from bifrost.base import log_context
from bifrost.base.errors import DomainError, MethodNotAllowed, Misdirected, NotFound, Unexpected
from bifrost.http.cors import Cors
from bifrost.http.public_urls import PublicUrls
from bifrost.http.request import IncomingRequest
from bifrost.http.router import Route

Endpoint = Callable[[Request], Awaitable[Response]]
Renderer = Callable[[Request, DomainError, str], Response]

ORIGIN = "public_origin"
"""Where the surface leaves the public URL that the request's Host names."""

MAX_LOGGED_CHARACTERS = 100
"""Of a host that nobody knows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Surface:
    render: Renderer
    public_urls: PublicUrls
    cors: Cors | None = None

    def route(self, path: str, endpoint: Endpoint, *methods: str, operation: str) -> Route:
        """`operation` names the request in errors and logs (`extra_fields.request_type`)."""
        return Route(path, _Guarded(self, endpoint, methods, operation))


@dataclass(frozen=True, slots=True)
class _Guarded:
    surface: Surface
    endpoint: Endpoint
    methods: tuple[str, ...]
    operation: str
    log: Any = field(default_factory=log_context.bound_logger)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = IncomingRequest(scope, receive)
        response = await self._answer(request)
        if self.surface.cors:
            self.surface.cors.allow(request, response)
        await response(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        try:
            return self._instead(request) or await self.endpoint(request)
        except DomainError as error:
            # with the id that the caller was given: it leads an operator from a failed sign-in to this line
            self.log.info("request_refused", operation=self.operation, reason=error.code, param=error.param)
            return self.surface.render(request, error, self.operation)
        except ClientDisconnect:
            return Response(status_code=400)  # nobody is there to read it
        except Exception:
            self.log.exception("unexpected_error", operation=self.operation)
            return self.surface.render(request, Unexpected(), self.operation)

    def _instead(self, request: Request) -> Response | None:
        """The answer to a request that only asks what it may ask. Raises Misdirected, NotFound, MethodNotAllowed."""
        origin = self.surface.public_urls.origin_of(request)
        if origin is None:
            # what an operator needs to see whose Host a proxy passes on
            named = [host[:MAX_LOGGED_CHARACTERS] for host in request.headers.getlist("host")[:2]]
            self.log.info("host_not_known", hosts=named, public_urls=list(self.surface.public_urls.origins))
            raise Misdirected("This server is not known under the host that the request names. Use its public URL.")
        request.scope[ORIGIN] = origin
        if not request.scope["path"].isprintable():
            raise NotFound("There is nothing at this address.")
        if self.surface.cors:
            self.surface.cors.check(request)
            if request.method == "OPTIONS":
                return self.surface.cors.preflight(request, self.methods)
        if request.method not in self.methods:
            raise MethodNotAllowed(self.methods)
        return None


@dataclass(frozen=True, slots=True)
class Probe:
    """For whoever asks, under whatever host, and in plain text."""

    endpoint: Endpoint
    methods: tuple[str, ...] = ("GET", "HEAD")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] in self.methods:
            response = await self.endpoint(Request(scope, receive))
        else:
            response = PlainTextResponse("Method Not Allowed", 405, {"Allow": ", ".join(self.methods)})
        await response(scope, receive, send)


def public_origin(request: Request) -> str:
    """The configured public URL under which the request came."""
    origin: str = request.scope[ORIGIN]
    return origin


def public_url(request: Request) -> str:
    """The address that the request was sent to, by the configured public URL and without its query."""
    return f"{request.scope[ORIGIN]}{request.scope['path']}"


def event_id(request: Request) -> str:
    """The id of the request (http/middleware.py): in the body, the header and every log line."""
    value: str = request.scope.get("event_id", "")
    return value
