"""POST introspect (RFC 7662 §2)."""

from dataclasses import dataclass
from typing import Any, Protocol

from starlette.requests import Request
from starlette.responses import Response

from bifrost.authserver.endpoints.client_auth import SECRETS, basic_credentials
from bifrost.authserver.introspect import ADMINISTRATOR, Introspect, ResourceServer
from bifrost.authserver.limits import Limit, Limits
from bifrost.authserver.models import AccessTokenRow, RefreshTokenRow
from bifrost.base.clock import SECOND
from bifrost.base.errors import Unauthenticated
from bifrost.http import encoded, params
from bifrost.http.addresses import subscriber
from bifrost.http.client_address import TrustedProxies
from bifrost.protocol import bearer, dpop, oauth
from bifrost.protocol.oauth import OAuthError

FAILURES = Limit(name="introspection_authentication", per_minute=30, in_all=False)
"""Wrong credentials of one resource server from one address."""


class AdministratorTokens(Protocol):
    async def by_token(self, value: str, *, address: str) -> object:
        """Raises Unauthenticated, TooMany."""


@dataclass(frozen=True, slots=True)
class IntrospectEndpoint:
    introspect: Introspect
    administrators: AdministratorTokens
    proxies: TrustedProxies
    limits: Limits
    issuer: str

    async def __call__(self, request: Request) -> Response:
        """Whoever asks proves who they are first; then an unknown token is an answer and no error (RFC 7662 §2.2)."""
        asking = await self._asking(request)
        form = await params.secret_form(request, SECRETS)
        form.refuse_repeated()
        token = form.get("token")
        if token is None:
            raise OAuthError(oauth.INVALID_REQUEST, "The parameter token is missing.", param="token")
        row = await self.introspect.active(token, asking)
        return encoded.not_stored(self._body(row) if row else {"active": False})

    async def _asking(self, request: Request) -> ResourceServer:
        """A registered resource server by Basic, or an administrator by a bearer token. Raises OAuthError, TooMany."""
        scheme, _, value = request.headers.get("authorization", "").partition(" ")
        if len(request.headers.getlist("authorization")) == 1 and scheme.lower() == "bearer":
            try:
                await self.administrators.by_token(value.strip(), address=self.proxies.client_address(request))
            except Unauthenticated as error:
                raise _refused(bearer=True) from error
            return ADMINISTRATOR
        named = basic_credentials(request)
        server = self.introspect.resource_server(*named) if named else None
        subject = f"{named[0] if named else ''} {subscriber(self.proxies.client_address(request))}"
        if server is None:
            await self.limits.admit(FAILURES, subject)
            raise _refused()
        self.limits.refuse_if_full(FAILURES, subject)
        return server

    def _body(self, row: AccessTokenRow | RefreshTokenRow) -> dict[str, Any]:
        body: dict[str, Any] = {
            "active": True,
            "scope": row.scope,
            "client_id": row.client_id,
            "sub": f"{row.identity.kind}:{row.identity.id}",
            "aud": self.issuer + row.resource,
            "iss": self.issuer,
            "iat": row.created_at // SECOND,
            "exp": row.expires_at // SECOND,
        }
        if row.jkt:
            body["cnf"] = {"jkt": row.jkt}  # RFC 9449 §6.2
        kind = dpop.SCHEME if row.jkt else bearer.BEARER
        return body | ({"token_type": kind} if isinstance(row, AccessTokenRow) else {})


def _refused(*, bearer: bool = False) -> OAuthError:
    """The challenge is of the scheme that was used (RFC 7662 §2.3)."""
    message = "Ask with the credentials of a registered resource server, or with an administrator's token."
    return OAuthError(oauth.INVALID_CLIENT, message, basic=not bearer, bearer=bearer)
