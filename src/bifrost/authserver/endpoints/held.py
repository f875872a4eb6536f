"""`/api/mcp/sessions`: the credentials held for people, for an administrator (contract §9). Nothing secret is shown."""

from dataclasses import dataclass
from typing import Annotated, Literal

from msgspec import Meta, Struct
from starlette.requests import Request

from bifrost.authserver.connect import SESSION_SECONDS
from bifrost.authserver.endpoints.connect import ConnectEndpoints
from bifrost.authserver.errors import IdentityLostAccess
from bifrost.base.clock import SECOND, Clock
from bifrost.http.api import rfc3339
from bifrost.http.commands import Paging
from bifrost.upstreams.accounts import CredentialKind, CredentialState, Held
from bifrost.upstreams.credential_life import CredentialLife, HeldQuery

SESSIONS = "/api/mcp/sessions"
IdentityKind = Literal["vk", "user", "session"]


class HeldSearch(Paging, frozen=True, kw_only=True):
    search: Annotated[
        str, Meta(max_length=200, description="In the names of upstream and key, and in the identity's id.")
    ] = ""
    state: Annotated[Literal["", "active", "needs_reauth", "needs_update", "orphaned"], Meta(description="As now.")] = (
        ""
    )
    mcp_client: Annotated[str, Meta(max_length=200, description="Id or name of an upstream.")] = ""
    identity_kind: Annotated[Literal["", "vk", "user", "session"], Meta(description="Whose.")] = ""
    identity_id: Annotated[str, Meta(max_length=200, description="Whose.")] = ""


class HeldSession(Struct, frozen=True, kw_only=True):
    id: str
    mcp_client_id: str
    mcp_client_name: str
    identity_kind: IdentityKind
    identity_id: str
    identity_name: Annotated[str, Meta(description="Of a virtual key.")]
    kind: CredentialKind
    state: CredentialState
    reason: Annotated[str, Meta(description="Why it is not active, in words.")]
    created_at: str
    updated_at: str


class HeldSessions(Struct, frozen=True, kw_only=True):
    sessions: list[HeldSession]
    count: int
    total_count: int
    limit: int
    offset: int


class ConnectLink(Struct, frozen=True, kw_only=True, omit_defaults=True):
    kind: CredentialKind
    expires_at: str
    authorize_url: Annotated[str, Meta(description="kind oauth: for the person, in their browser.")] = ""
    submit_url: Annotated[str, Meta(description="kind headers: for the person, in their browser.")] = ""


REASONS: dict[CredentialState, str] = {
    "active": "",
    "needs_reauth": "The service has moved to another address.",
    "needs_update": "The service asks for other values than those that were given.",
    "orphaned": "Its owner may not use this service at the moment.",
}
"""What a state means when the credential itself says nothing."""


@dataclass(frozen=True, slots=True)
class HeldEndpoints:
    life: CredentialLife
    connect: ConnectEndpoints
    clock: Clock

    async def page(self, _request: Request, wanted: HeldSearch) -> HeldSessions:
        query = HeldQuery(
            search=wanted.search,
            state=wanted.state,
            upstream=wanted.mcp_client,
            owner_kind=wanted.identity_kind,
            owner_id=wanted.identity_id,
            limit=wanted.limit,
            offset=wanted.offset,
        )
        found, total = await self.life.page(query)
        return HeldSessions(
            sessions=[_shown(held) for held in found],
            count=len(found),
            total_count=total,
            limit=wanted.limit,
            offset=wanted.offset,
        )

    async def forget(self, request: Request) -> None:
        """Raises UnknownCredential."""
        await self.life.forget(request.path_params["id"])

    async def reauth(self, request: Request) -> ConnectLink:
        """A link for the person, who has to prove that they are the identity before anything happens (contract §7).

        Raises UnknownCredential, IdentityLostAccess.
        """
        held = await self.life.by_id(request.path_params["id"])
        identity = held.owner.identity
        if held.state == "orphaned" or identity is None:
            raise IdentityLostAccess("The owner of this credential may not use the service at the moment.")
        by_headers = held.basis.kind == "headers"
        url = await self.connect.link(identity, held.upstream_id if by_headers else "")
        return ConnectLink(
            kind=held.basis.kind,
            expires_at=rfc3339(self.clock.now() + SESSION_SECONDS * SECOND),
            authorize_url="" if by_headers else url,
            submit_url=url if by_headers else "",
        )


def _shown(held: Held) -> HeldSession:
    identity = held.owner.identity
    if identity is None:
        raise ValueError("a credential that is nobody's is never listed")
    return HeldSession(
        id=held.id,
        mcp_client_id=held.upstream_id,
        mcp_client_name=held.upstream_name,
        identity_kind=identity.kind,
        identity_id=identity.id,
        identity_name=held.owner_name,
        kind=held.basis.kind,
        state=held.state,
        reason=_reason(held),
        created_at=rfc3339(held.created_at),
        updated_at=rfc3339(held.updated_at),
    )


def _reason(held: Held) -> str:
    """The credential's own words belong to the state that lasts."""
    own_words = held.state == held.basis.lasting and held.reason
    return held.reason if own_words else REASONS[held.state]
