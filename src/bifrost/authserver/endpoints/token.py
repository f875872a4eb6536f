"""POST token (OAuth 2.1 §3.2): authenticate the client, then hand over to the grant."""

from collections.abc import Mapping
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response

from bifrost.authserver.endpoints.client_auth import SECRETS, ClientAuth
from bifrost.authserver.endpoints.request_keys import RequestKeys
from bifrost.authserver.grants.base import TokenGrant
from bifrost.authserver.models import Client, TokenResponse
from bifrost.authserver.request_key import RequestKey
from bifrost.http import encoded, params
from bifrost.protocol import bearer, dpop, oauth
from bifrost.protocol.oauth import OAuthError


@dataclass(frozen=True, slots=True)
class TokenEndpoint:
    client_auth: ClientAuth
    keys: RequestKeys
    grants: Mapping[str, TokenGrant]

    async def __call__(self, request: Request) -> Response:
        form = await params.secret_form(request, SECRETS)
        form.refuse_repeated(but=("resource",))
        grant_type = form.get("grant_type")
        if grant_type is None:
            raise OAuthError(oauth.INVALID_REQUEST, "The parameter grant_type is missing.", param="grant_type")
        client = await self.client_auth.authenticate(request, form)
        grant = self.grants.get(grant_type)
        if grant is None:
            raise OAuthError(
                oauth.UNSUPPORTED_GRANT_TYPE,
                f"grant_type must be one of: {', '.join(self.grants)}.",
                param="grant_type",
            )
        if grant_type not in client.grant_types:
            raise OAuthError(oauth.UNAUTHORIZED_CLIENT, "The client did not register this grant type.")
        key = self._key(request, client)
        return encoded.not_stored(_body(await grant.redeem(client, form, key)))

    def _key(self, request: Request, client: Client) -> RequestKey:
        """What the tokens will be bound to. Raises OAuthError."""
        key = self.keys.of(request)
        if client.dpop_bound_access_tokens and not key.jkt:
            raise OAuthError(dpop.INVALID_PROOF, "This client gets tokens with a DPoP proof only.")
        return key


def _body(response: TokenResponse) -> dict[str, str | int]:
    """RFC 6749 §5.1. The scope is always named: it may differ from what was asked for."""
    body: dict[str, str | int] = {
        "access_token": response.access_token,
        "token_type": dpop.SCHEME if response.jkt else bearer.BEARER,
        "expires_in": response.expires_in,
        "scope": response.scope,
    }
    if response.refresh_token:
        body["refresh_token"] = response.refresh_token
    return body
