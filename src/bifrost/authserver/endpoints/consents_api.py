"""/api/oauth2/consents: what people allowed clients, and forgetting it."""

from dataclasses import dataclass
from typing import Annotated

from msgspec import Meta, Struct
from starlette.requests import Request

from bifrost.authserver.models import RememberedConsent
from bifrost.authserver.remembered import Remembered
from bifrost.http.api import rfc3339
from bifrost.http.commands import Paging


class ListConsents(Paging, frozen=True, kw_only=True):
    pass


class ShownConsent(Struct, frozen=True, kw_only=True):
    id: str
    identity_kind: Annotated[str, Meta(description="`vk`, `user` or `session`.")]
    identity_id: str
    client_id: str
    client_name: Annotated[str, Meta(description="Or its label.")]
    scope: Annotated[str, Meta(description="All that was ever allowed.")]
    resources: Annotated[tuple[str, ...], Meta(description="Paths of MCP endpoints.")]
    redirect_hosts: Annotated[tuple[str, ...], Meta(description="As the person saw them the last time.")]
    created_at: str
    updated_at: Annotated[str, Meta(description="When it was given the last time (RFC 3339).")]


class ShownConsents(Struct, frozen=True, kw_only=True):
    consents: tuple[ShownConsent, ...]
    count: int
    total_count: int
    limit: int
    offset: int


@dataclass(frozen=True, slots=True)
class ConsentsApi:
    remembered: Remembered

    async def list(self, _request: Request, wanted: ListConsents) -> ShownConsents:
        page = await self.remembered.page(wanted.limit, wanted.offset)
        shown = tuple(_shown(consent, page.names[consent.client_id]) for consent in page.consents)
        return ShownConsents(
            consents=shown, count=len(shown), total_count=page.total, limit=wanted.limit, offset=wanted.offset
        )

    async def forget(self, request: Request) -> None:
        """Raises NotFound."""
        await self.remembered.forget(request.path_params["id"])


def _shown(consent: RememberedConsent, name: str) -> ShownConsent:
    return ShownConsent(
        id=consent.id,
        identity_kind=consent.identity.kind,
        identity_id=consent.identity.id,
        client_id=consent.client_id,
        client_name=name,
        scope=consent.scope,
        resources=consent.resources,
        redirect_hosts=consent.redirect_hosts,
        created_at=rfc3339(consent.created_at),
        updated_at=rfc3339(consent.updated_at),
    )
