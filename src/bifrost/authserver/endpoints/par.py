"""POST par (RFC 9126 §2): a client pushes its authorization request before it opens the browser."""

from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response

from bifrost.authserver.endpoints.client_auth import SECRETS, ClientAuth
from bifrost.authserver.endpoints.request_keys import RequestKeys
from bifrost.authserver.pushed import LIVES_SECONDS, PushedRequests
from bifrost.http import encoded, params
from bifrost.http.params import Parameters
from bifrost.protocol import oauth
from bifrost.protocol.oauth import OAuthError


@dataclass(frozen=True, slots=True)
class ParEndpoint:
    client_auth: ClientAuth
    requests: PushedRequests
    keys: RequestKeys

    async def __call__(self, request: Request) -> Response:
        form = await params.secret_form(request, SECRETS)
        form.refuse_repeated(but=("resource",))
        for name in ("request_uri", "request"):
            if form.all(name):
                raise OAuthError(oauth.INVALID_REQUEST, f"Push the parameters themselves, without {name}.", param=name)
        client = await self.client_auth.authenticate(request, form)
        key = self.keys.of(request)
        query = self.requests.query_of(client, form, key.jkt)
        name = await self.requests.push(client, query, Parameters(query.encode()), key)
        return encoded.not_stored({"request_uri": name, "expires_in": LIVES_SECONDS}, 201)
