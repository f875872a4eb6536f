"""Introspection (RFC 7662): whether a token is good, told to those who are registered for asking."""

from dataclasses import dataclass, field

from bifrost.authserver.identities import Identities
from bifrost.authserver.models import AccessTokenRow, RefreshTokenRow
from bifrost.authserver.store import AuthServerStore
from bifrost.base import ids
from bifrost.base.clock import Clock


@dataclass(frozen=True, slots=True, kw_only=True)
class ResourceServer:
    """Who may ask, and about which endpoints: paths such as `/mcp`; none means all of them."""

    id: str
    secret: str = field(repr=False)
    resources: tuple[str, ...] = ()

    def may_ask_about(self, resource: str) -> bool:
        return not self.resources or resource in self.resources


ADMINISTRATOR = ResourceServer(id="", secret="")


@dataclass(frozen=True, slots=True)
class Introspect:
    store: AuthServerStore
    identities: Identities
    clock: Clock
    resource_servers: tuple[ResourceServer, ...]

    def resource_server(self, server_id: str, secrets: tuple[str, ...]) -> ResourceServer | None:
        """The one with this name and one of these secrets."""
        for server in self.resource_servers:
            if ids.same(server.id, server_id) and any(ids.same(server.secret, secret) for secret in secrets):
                return server
        return None

    async def active(self, token: str, asking: ResourceServer) -> AccessTokenRow | RefreshTokenRow | None:
        """The token's row while it may be used; None for all others, in one answer (RFC 7662 §2.2)."""
        row = await self._row(token)
        if row is None or not row.stands(self.clock.now()):
            return None
        if not _may_know(asking, row) or await self.identities.standing(row.identity) is None:
            return None
        return row

    async def _row(self, token: str) -> AccessTokenRow | RefreshTokenRow | None:
        """`token_type_hint` is not needed: our tokens say what they are."""
        token_hash = ids.hash_secret(token)
        if not token.startswith(ids.REFRESH_TOKEN):
            return await self.store.access_token(token_hash)
        row = await self.store.refresh_token(token_hash)
        return row if row is not None and row.used_at is None else None


def _may_know(asking: ResourceServer, row: AccessTokenRow | RefreshTokenRow) -> bool:
    """A refresh token is no token for a resource server: one that is told "active" would take it (RFC 7662 §4)."""
    if isinstance(row, RefreshTokenRow):
        return asking is ADMINISTRATOR
    return asking.may_ask_about(row.resource)
