"""POST revoke (RFC 7009 §2)."""

from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response

from bifrost.authserver.endpoints.client_auth import SECRETS, ClientAuth
from bifrost.authserver.revoke import Revoke
from bifrost.http import encoded, params
from bifrost.protocol import oauth
from bifrost.protocol.oauth import OAuthError


@dataclass(frozen=True, slots=True)
class RevokeEndpoint:
    client_auth: ClientAuth
    revoke: Revoke

    async def __call__(self, request: Request) -> Response:
        """200 whatever the token was; `token_type_hint` is only a hint, and our tokens say what they are."""
        form = await params.secret_form(request, SECRETS)
        form.refuse_repeated()
        client = await self.client_auth.authenticate(request, form)
        token = form.get("token")
        if token is None:
            raise OAuthError(oauth.INVALID_REQUEST, "The parameter token is missing.", param="token")
        await self.revoke.revoke(client, token)
        answer = Response()
        answer.raw_headers.extend(encoded.SECRET)
        return answer
