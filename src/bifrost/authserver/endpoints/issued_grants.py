"""GET and DELETE /api/oauth2/sessions: grants issued to clients (contract §9)."""

from dataclasses import dataclass
from typing import Annotated

import msgspec
from msgspec import Meta
from starlette.requests import Request

from bifrost.authserver.issued_grants import IssuedGrants
from bifrost.authserver.models import IssuedGrant
from bifrost.http.api import rfc3339
from bifrost.http.commands import Paging


class ListSessions(Paging, frozen=True, kw_only=True):
    client_id: Annotated[str, Meta(max_length=2_048, description="Only this client's.")] = ""
    identity_id: Annotated[str, Meta(max_length=200, description="Only this identity's, e.g. a virtual key's id.")] = ""
    active: Annotated[bool, Meta(description="Only those that are neither ended nor expired.")] = False


class IdentityView(msgspec.Struct, frozen=True, kw_only=True):
    kind: str
    id: str


class SessionView(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    id: str
    client_id: str
    client_name: str
    identity: IdentityView
    scope: str
    resource: str
    created_at: str
    expires_at: str
    revoked_at: str | None = None
    revoked_reason: str | None = None


class SessionList(msgspec.Struct, frozen=True, kw_only=True):
    sessions: list[SessionView]
    count: int
    total_count: int
    limit: int
    offset: int


@dataclass(frozen=True, slots=True)
class IssuedGrantEndpoints:
    grants: IssuedGrants

    async def listed(self, _request: Request, wanted: ListSessions) -> SessionList:
        found, total = await self.grants.listed(
            client_id=wanted.client_id,
            identity_id=wanted.identity_id,
            living=wanted.active,
            limit=wanted.limit,
            offset=wanted.offset,
        )
        sessions = [_view(grant, await self.grants.client_name(grant)) for grant in found]
        return SessionList(
            sessions=sessions, count=len(sessions), total_count=total, limit=wanted.limit, offset=wanted.offset
        )

    async def end(self, request: Request) -> None:
        """Raises UnknownGrant."""
        await self.grants.end(request.path_params["id"])


def _view(grant: IssuedGrant, client_name: str) -> SessionView:
    return SessionView(
        id=grant.id,
        client_id=grant.client_id,
        client_name=client_name,
        identity=IdentityView(kind=grant.identity.kind, id=grant.identity.id),
        scope=grant.scope,
        resource=grant.resource,
        created_at=rfc3339(grant.created_at),
        expires_at=rfc3339(grant.expires_at),
        revoked_at=rfc3339(grant.revoked_at) if grant.revoked_at is not None else None,
        revoked_reason=grant.revoked_reason,
    )
