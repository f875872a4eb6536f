"""Around every request: what it caused is in the audit trail before its answer is on the way."""

import structlog
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bifrost.audit.models import Origin
from bifrost.audit.trail import Trail
from bifrost.base import events
from bifrost.http.client_address import TrustedProxies

ANONYMOUS = "anonymous"


class Recorder:
    """Plain ASGI, inside of what gives the request its id."""

    def __init__(self, app: ASGIApp, trail: Trail, proxies: TrustedProxies) -> None:
        self._app = app
        self._trail = trail
        self._proxies = proxies

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        with events.heard() as heard:

            async def send_after_recording(message: Message) -> None:
                await self._record(heard, scope)
                await send(message)

            try:
                await self._app(scope, receive, send_after_recording)
            finally:
                await self._record(heard, scope)

    async def _record(self, heard: list[events.Event], scope: Scope) -> None:
        if not heard:
            return
        told = tuple(heard)
        heard.clear()
        administrator = structlog.contextvars.get_contextvars().get("administrator")
        origin = Origin(
            event_id=scope.get("event_id", ""),
            client_address=self._proxies.client_address(Request(scope)),
            actor=f"administrator:{administrator}" if administrator else ANONYMOUS,
        )
        await self._trail.record(told, origin)
