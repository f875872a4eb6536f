"""From whom a request is whose events become rows of the audit trail (http/middleware.py hands them over)."""

from dataclasses import dataclass

from starlette.requests import Request
from starlette.types import Scope

from bifrost.audit.models import Origin
from bifrost.audit.trail import Trail
from bifrost.base import log_context
from bifrost.base.events import Event
from bifrost.http.client_address import TrustedProxies

ANONYMOUS = "anonymous"


@dataclass(frozen=True, slots=True)
class Recorder:
    trail: Trail
    proxies: TrustedProxies

    async def __call__(self, told: tuple[Event, ...], scope: Scope) -> None:
        administrator = log_context.facts().get("administrator")
        origin = Origin(
            event_id=scope["event_id"],
            client_address=self.proxies.client_address(Request(scope)),
            actor=f"administrator:{administrator}" if administrator else ANONYMOUS,
        )
        await self.trail.record(told, origin)
