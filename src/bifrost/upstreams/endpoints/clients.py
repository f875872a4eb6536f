"""`/api/mcp/clients` and `/api/mcp/client/…`: what administrators do with upstreams."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import get_args

from starlette.requests import Request

from bifrost.base.errors import Invalid
from bifrost.upstreams.admin_sign_ins import AdminSignIns
from bifrost.upstreams.administration import SetUp
from bifrost.upstreams.endpoints import bodies
from bifrost.upstreams.endpoints.bodies import (
    AddClient,
    ChangeClient,
    Clients,
    Done,
    ListClients,
    OAuthStatus,
    PendingOAuth,
    VerifyHeaders,
)
from bifrost.upstreams.management import Management, Query, Shown
from bifrost.upstreams.models import AuthType, ConnectionType, UpstreamState


@dataclass(frozen=True, slots=True)
class ClientEndpoints:
    management: Management
    sign_ins: AdminSignIns
    page_url: Callable[[str], str]
    """The address of the page on which the sign-in of this id is done."""

    async def clients(self, _request: Request, wanted: ListClients) -> Clients:
        query = Query(
            search=wanted.search,
            server=wanted.server,
            connection_types=_any_of("connection_type", wanted.connection_type, get_args(ConnectionType)),
            auth_types=_any_of("auth_type", wanted.auth_type, get_args(AuthType)),
            states=_any_of("state", wanted.state, get_args(UpstreamState)),
            disabled=wanted.disabled,
            limit=wanted.limit,
            offset=wanted.offset,
        )
        page, total = await self.management.page(query)
        return Clients(
            clients=[bodies.client(shown) for shown in page],
            count=len(page),
            total_count=total,
            limit=wanted.limit,
            offset=wanted.offset,
        )

    async def add(self, _request: Request, wanted: AddClient) -> Done | PendingOAuth:
        upstream, set_up = await self.management.create(wanted.wanted(), wanted.client_id, wanted.user_headers)
        if set_up:
            return self._pending(set_up)
        shown = await self.management.one(upstream.id)
        return Done(
            status="success",
            message="The MCP client was added.",
            mcp_client_id=upstream.id,
            client=bodies.client(shown),
        )

    async def change(self, request: Request, wanted: ChangeClient) -> Done:
        shown = await self.management.edit(request.path_params["id"], bodies.given(wanted))
        return Done(
            status="success",
            message="The MCP client was changed.",
            mcp_client_id=shown.managed.upstream.id,
            client=bodies.client(shown),
        )

    async def delete(self, request: Request) -> Done:
        upstream = await self.management.delete(request.path_params["id"])
        return Done(status="success", message="The MCP client was deleted.", mcp_client_id=upstream.id)

    async def refresh_tools(self, request: Request) -> Done:
        return await self._looked(request, "Its tools were looked at.")

    async def reconnect(self, request: Request) -> Done:
        return await self._looked(request, "It answers.")

    async def verify(self, request: Request) -> PendingOAuth:
        return self._pending(await self.sign_ins.verify(request.path_params["id"]))

    async def reauthorize(self, request: Request) -> PendingOAuth:
        return self._pending(await self.sign_ins.reauthorize(request.path_params["id"]))

    async def reregister(self, request: Request) -> PendingOAuth:
        return self._pending(await self.sign_ins.reregister(request.path_params["id"]))

    async def complete(self, request: Request) -> Done:
        oauth_config_id = request.path_params["id"]
        found = await self.sign_ins.complete(oauth_config_id)
        view = await self.sign_ins.view(oauth_config_id)
        return Done(
            status="success",
            message="The MCP client is connected.",
            mcp_client_id=view.upstream.id,
            tool_count=len(found.tools),
        )

    async def status(self, request: Request) -> OAuthStatus:
        return bodies.oauth_status(await self.sign_ins.view(request.path_params["id"]))

    async def cancel(self, request: Request) -> Done:
        upstream = await self.management.end_sign_in(request.path_params["id"])
        return Done(status="success", message="The sign-in was taken away.", mcp_client_id=upstream.id)

    async def verify_headers(self, request: Request, sent: VerifyHeaders) -> Done:
        shown = await self.management.verify_headers(request.path_params["id"], sent.user_headers)
        return self._seen(shown, "The values are accepted.")

    async def _looked(self, request: Request, message: str) -> Done:
        return self._seen(await self.management.refresh_tools(request.path_params["id"]), message)

    def _seen(self, shown: Shown, message: str) -> Done:
        present = [known for known in shown.tools if known.gone_at is None]
        return Done(
            status="success",
            message=message,
            mcp_client_id=shown.managed.upstream.id,
            client=bodies.client(shown),
            tool_count=len(present),
        )

    def _pending(self, set_up: SetUp) -> PendingOAuth:
        oauth_config_id = set_up.oauth_config_id
        return bodies.pending(
            set_up,
            authorize_url=self.page_url(oauth_config_id),
            complete_url=f"/api/mcp/client/{oauth_config_id}/complete-oauth",
            status_url=f"/api/oauth/config/{oauth_config_id}/status",
        )


def _any_of(member: str, sent: str, known: tuple[str, ...]) -> frozenset[str]:
    """Raises Invalid."""
    values = frozenset(value.strip() for value in sent.split(",") if value.strip())
    if values - set(known):
        raise Invalid(f"{member} must be one or more of: {', '.join(known)}.", param=member)
    return values
