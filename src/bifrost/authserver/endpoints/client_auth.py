"""Client authentication at the token endpoint (RFC 6749 §2.3.1, OAuth 2.1 §2.4)."""

import base64
from dataclasses import dataclass, field
from urllib.parse import unquote_plus

from starlette.requests import Request

from bifrost.authserver.clients import Clients
from bifrost.authserver.models import Client
from bifrost.base import ids
from bifrost.http.params import Parameters
from bifrost.protocol import oauth
from bifrost.protocol.oauth import OAuthError


@dataclass(frozen=True, slots=True)
class _Presented:
    client_id: str
    secret: str | None = field(repr=False)
    basic: bool


@dataclass(frozen=True, slots=True)
class ClientAuth:
    clients: Clients

    async def authenticate(self, request: Request, form: Parameters) -> Client:
        """The client that sends the request. Raises OAuthError: invalid_request, or invalid_client with 401."""
        presented = _presented(request, form)
        client = await self.clients.resolve(presented.client_id)
        if client is None:
            raise _invalid_client(presented, "No client is registered under this client_id. Register again.")
        if client.is_public and presented.basic and presented.secret:
            raise _invalid_client(presented, "This client has no secret.")
        if not client.is_public and not ids.same(client.client_secret, presented.secret or ""):
            raise _invalid_client(presented, "The client could not be authenticated.")
        return client


def _presented(request: Request, form: Parameters) -> _Presented:
    """By Basic or in the body; both may name the client, but only one may carry the secret."""
    body_id, body_secret = form.get("client_id"), form.get("client_secret")
    basic = _basic(request)
    if basic is None:
        if body_id is None:
            raise OAuthError(oauth.INVALID_REQUEST, "The parameter client_id is missing.", param="client_id")
        return _Presented(body_id, body_secret, basic=False)
    if body_secret is not None:
        raise OAuthError(oauth.INVALID_REQUEST, "Send the client_secret in one way only.", param="client_secret")
    if body_id not in (None, basic.client_id):
        raise OAuthError(oauth.INVALID_REQUEST, "Two different client_ids.", param="client_id")
    return basic


def basic_credentials(request: Request) -> tuple[str, str] | None:
    """Name and secret of Basic; None without an Authorization header. Raises OAuthError when it cannot be read."""
    presented = _basic(request)
    return (presented.client_id, presented.secret or "") if presented else None


def _basic(request: Request) -> _Presented | None:
    """RFC 6749 §2.3.1: both parts are form-urlencoded inside the base64."""
    values = request.headers.getlist("authorization")
    if not values:
        return None
    scheme, _, encoded = values[0].partition(" ")
    broken = OAuthError(oauth.INVALID_CLIENT, "The Authorization header cannot be read.", basic=True)
    if len(values) > 1 or scheme.lower() != "basic":
        raise broken
    try:
        name, separator, secret = base64.b64decode(encoded.strip(), validate=True).decode().partition(":")
        client_id, client_secret = unquote_plus(name, errors="strict"), unquote_plus(secret, errors="strict")
    except ValueError as error:
        raise broken from error
    if not separator or not client_id:
        raise broken
    return _Presented(client_id, client_secret or None, basic=True)


def _invalid_client(presented: _Presented, message: str) -> OAuthError:
    return OAuthError(oauth.INVALID_CLIENT, message, param="client_id", basic=presented.basic)
