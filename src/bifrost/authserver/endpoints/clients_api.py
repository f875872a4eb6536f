"""/api/oauth2/clients: the clients that somebody has allowed, and those that an administrator registers."""

from dataclasses import dataclass
from typing import Annotated, Any

from msgspec import Meta, Struct
from starlette.requests import Request

from bifrost.authserver.client_registry import ClientRegistry, NewClient
from bifrost.authserver.models import ClientChange, ClientRecord
from bifrost.http.api import rfc3339
from bifrost.http.commands import Command, Paging
from bifrost.protocol import oauth

Name = Annotated[str, Meta(min_length=1, max_length=200)]


class ListClients(Paging, frozen=True, kw_only=True):
    search: Annotated[str, Meta(max_length=200, description="A part of a name or label, or a whole client_id.")] = ""


class CreateClient(Command, frozen=True, kw_only=True):
    client_name: Annotated[Name, Meta(description="What people are shown.")]
    redirect_uris: Annotated[tuple[str, ...], Meta(description="Where the browser may be sent; compared exactly.")]
    client_id: Annotated[str, Meta(max_length=200, description="Default: made up.")] = ""
    client_secret: Annotated[str, Meta(max_length=512, description="Default: made up, if the method needs one.")] = ""
    token_endpoint_auth_method: Annotated[
        str, Meta(description="Default: client_secret_basic with a secret, private_key_jwt with keys, else none.")
    ] = ""
    grant_types: Annotated[tuple[str, ...], Meta(description="What it may use at the token endpoint.")] = (
        oauth.GRANT_TYPES
    )
    jwks: Annotated[dict[str, Any] | None, Meta(description="Its public keys, for private_key_jwt.")] = None
    jwks_uri: Annotated[str, Meta(max_length=2_048, description="Where they are, instead.")] = ""
    access_token_format: Annotated[
        oauth.AccessTokenFormat, Meta(description="`jwt`: others can check its access tokens by themselves (RFC 9068).")
    ] = oauth.OPAQUE
    require_pushed_authorization_requests: Annotated[
        bool, Meta(description="Refuse its authorization requests unless they were pushed before (RFC 9126).")
    ] = False
    dpop_bound_access_tokens: Annotated[
        bool, Meta(description="Give it tokens only with a proof of the key they are bound to (DPoP, RFC 9449).")
    ] = False


class ChangeClient(Command, frozen=True, kw_only=True):
    label: Annotated[
        Annotated[str, Meta(max_length=200)] | None,
        Meta(description="Shown instead of the name that the client gives itself."),
    ] = None
    scope_limit: Annotated[
        str | None, Meta(description="`mcp:read` or empty. A limit ends the grants that are wider.")
    ] = None
    blocked: Annotated[bool | None, Meta(description="Blocking ends all its grants at once.")] = None
    client_name: Annotated[Name | None, Meta(description="Of a pre-registered client.")] = None
    redirect_uris: Annotated[tuple[str, ...] | None, Meta(description="Of a pre-registered client.")] = None
    access_token_format: Annotated[
        oauth.AccessTokenFormat | None, Meta(description="Of a pre-registered client, from its next token on.")
    ] = None
    require_pushed_authorization_requests: Annotated[bool | None, Meta(description="Of a pre-registered client.")] = (
        None
    )
    dpop_bound_access_tokens: Annotated[
        bool | None, Meta(description="Of a pre-registered client, from its next token on.")
    ] = None


class ShownClient(Struct, frozen=True, kw_only=True):
    id: str
    client_id: str
    origin: Annotated[str, Meta(description="`preregistered`, `document` or `self_registered`.")]
    client_name: str
    label: str
    verified_host: Annotated[str | None, Meta(description="The host that published its document.")]
    redirect_uris: tuple[str, ...]
    grant_types: tuple[str, ...]
    token_endpoint_auth_method: str
    access_token_format: oauth.AccessTokenFormat
    require_pushed_authorization_requests: bool
    dpop_bound_access_tokens: bool
    scope_limit: str
    blocked: bool
    grants: Annotated[int, Meta(description="How many people's grants it has now.")]
    consented_at: Annotated[str | None, Meta(description="When somebody last allowed it (RFC 3339).")]
    created_at: str
    updated_at: str


class CreatedClient(ShownClient, frozen=True, kw_only=True):
    client_secret: Annotated[str, Meta(description="Shown this once; empty for a client without one.")]


class ShownClients(Struct, frozen=True, kw_only=True):
    clients: tuple[ShownClient, ...]
    count: int
    total_count: int
    limit: int
    offset: int


@dataclass(frozen=True, slots=True)
class ClientsApi:
    registry: ClientRegistry

    async def list(self, _request: Request, wanted: ListClients) -> ShownClients:
        page = await self.registry.page(wanted.search, wanted.limit, wanted.offset)
        shown = tuple(_shown(record, page.grants[record.client.client_id]) for record in page.clients)
        return ShownClients(
            clients=shown, count=len(shown), total_count=page.total, limit=wanted.limit, offset=wanted.offset
        )

    async def create(self, _request: Request, wanted: CreateClient) -> CreatedClient:
        """Raises ClientInvalid, ClientTaken."""
        record, secret = await self.registry.create(
            NewClient(
                client_id=wanted.client_id,
                client_name=wanted.client_name,
                redirect_uris=wanted.redirect_uris,
                client_secret=wanted.client_secret,
                token_endpoint_auth_method=wanted.token_endpoint_auth_method,
                grant_types=wanted.grant_types,
                jwks=wanted.jwks,
                jwks_uri=wanted.jwks_uri,
                access_token_format=wanted.access_token_format,
                require_pushed_authorization_requests=wanted.require_pushed_authorization_requests,
                dpop_bound_access_tokens=wanted.dpop_bound_access_tokens,
            )
        )
        return CreatedClient(client_secret=secret, **_members(record, 0))

    async def show(self, request: Request) -> ShownClient:
        """Raises UnknownClient."""
        return await self._with_grants(await self.registry.one(request.path_params["id"]))

    async def change(self, request: Request, wanted: ChangeClient) -> ShownClient:
        """Raises UnknownClient, ClientInvalid."""
        change = ClientChange(
            label=wanted.label,
            scope_limit=wanted.scope_limit,
            blocked=wanted.blocked,
            client_name=wanted.client_name,
            redirect_uris=wanted.redirect_uris,
            access_token_format=wanted.access_token_format,
            require_pushed_authorization_requests=wanted.require_pushed_authorization_requests,
            dpop_bound_access_tokens=wanted.dpop_bound_access_tokens,
        )
        return await self._with_grants(await self.registry.change(request.path_params["id"], change))

    async def remove(self, request: Request) -> None:
        """Raises UnknownClient, ClientInvalid."""
        await self.registry.remove(request.path_params["id"])

    async def _with_grants(self, record: ClientRecord) -> ShownClient:
        return _shown(record, await self.registry.grants_of(record))


def _shown(record: ClientRecord, grants: int) -> ShownClient:
    return ShownClient(**_members(record, grants))


def _members(record: ClientRecord, grants: int) -> dict[str, Any]:
    client = record.client
    return {
        "id": record.id,
        "client_id": client.client_id,
        "origin": client.origin,
        "client_name": client.client_name,
        "label": record.label,
        "verified_host": client.verified_host,
        "redirect_uris": client.redirect_uris,
        "grant_types": client.grant_types,
        "token_endpoint_auth_method": client.token_endpoint_auth_method,
        "access_token_format": client.access_token_format,
        "require_pushed_authorization_requests": client.require_pushed_authorization_requests,
        "dpop_bound_access_tokens": client.dpop_bound_access_tokens,
        "scope_limit": record.scope_limit,
        "blocked": record.blocked_at is not None,
        "grants": grants,
        "consented_at": rfc3339(record.consented_at) if record.consented_at else None,
        "created_at": rfc3339(record.created_at),
        "updated_at": rfc3339(record.updated_at),
    }
