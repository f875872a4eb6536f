"""Client authentication at the token endpoint (RFC 6749 §2.3.1, OAuth 2.1 §2.4, RFC 7523 §2.2)."""

import base64
from dataclasses import dataclass, field
from urllib.parse import unquote_plus

from starlette.requests import Request

from bifrost.authserver.client_assertions import ClientAssertions, subject
from bifrost.authserver.clients import Clients
from bifrost.authserver.errors import ClientRefused, ClientUnreachable
from bifrost.authserver.limits import Limit, Limits
from bifrost.authserver.models import Client
from bifrost.base import ids
from bifrost.http.addresses import subscriber
from bifrost.http.client_address import TrustedProxies
from bifrost.http.params import Parameters
from bifrost.protocol import oauth
from bifrost.protocol.oauth import OAuthError

SECRETS = ("client_assertion", "client_secret", "code", "code_verifier", "refresh_token", "token")
"""Parameters that no URL may carry, at any endpoint for programs (OAuth 2.1 §2.4.1, RFC 6750 §5.3)."""

FAILURES = Limit(name="client_authentication", per_minute=30, in_all=False)


@dataclass(frozen=True, slots=True)
class _Presented:
    client_id: str
    secrets: tuple[str, ...] = field(repr=False)
    """The readings of the one that was sent."""
    basic: bool
    assertion: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class ClientAuth:
    clients: Clients
    assertions: ClientAssertions
    limits: Limits
    proxies: TrustedProxies

    async def authenticate(self, request: Request, form: Parameters) -> Client:
        """The client that sends the request.

        Raises OAuthError: invalid_request, or invalid_client with 401; ClientUnreachable, TooMany.
        """
        presented = _presented(request, form)
        # wrong proofs count for this client from this address: nobody can lock a client out for everybody
        subject = f"{presented.client_id} {subscriber(self.proxies.client_address(request))}"
        try:
            client = await self._authenticated(presented)
        except OAuthError:
            await self.limits.admit(FAILURES, subject)
            raise
        if client.secret_hash:
            # what could be guessed is not told; whoever has nothing to guess waits for nobody's mistakes
            self.limits.refuse_if_full(FAILURES, subject)
        return client

    async def _authenticated(self, presented: _Presented) -> Client:
        try:
            client = await self.clients.resolve(presented.client_id)
        except (ClientRefused, ClientUnreachable) as error:
            # whoever was allowed once is kept: a document that nobody could ever read is an unknown client
            raise _invalid_client(presented, error.message) from error
        if client is None:
            raise _invalid_client(presented, "No client is registered under this client_id. Register again.")
        if client.token_endpoint_auth_method == oauth.PRIVATE_KEY_JWT:
            await self._check_assertion(client, presented)
        else:
            _check_secret(client, presented)
        return client

    async def _check_assertion(self, client: Client, presented: _Presented) -> None:
        """A client that has published keys proves itself at every request, and in no other way."""
        if presented.assertion is None:
            raise _invalid_client(presented, "This client authenticates with a client_assertion (private_key_jwt).")
        await self.assertions.check(client, presented.assertion)


def _check_secret(client: Client, presented: _Presented) -> None:
    if presented.assertion is not None:
        raise _invalid_client(presented, "This client does not authenticate with a client_assertion.")
    if client.is_public and presented.basic and any(presented.secrets):
        raise _invalid_client(presented, "This client has no secret.")
    hashes = map(ids.hash_secret, presented.secrets)
    if not client.is_public and not any(ids.same(client.secret_hash, hashed) for hashed in hashes):
        raise _invalid_client(presented, "The client could not be authenticated.")


def _presented(request: Request, form: Parameters) -> _Presented:
    """By Basic, by assertion or in the body; each may name the client, but only one may prove it."""
    if form.get("client_assertion") or form.get("client_assertion_type"):
        return _asserted(request, form)
    body_id, body_secret = form.get("client_id"), form.get("client_secret")
    basic = basic_credentials(request)
    if basic is None:
        if body_id is None:
            raise OAuthError(oauth.INVALID_REQUEST, "The parameter client_id is missing.", param="client_id")
        return _Presented(body_id, (body_secret,) if body_secret else (), basic=False)
    if body_secret is not None:
        raise OAuthError(oauth.INVALID_REQUEST, "Send the client_secret in one way only.", param="client_secret")
    client_id, secrets = basic
    if body_id not in (None, client_id):
        raise OAuthError(oauth.INVALID_REQUEST, "Two different client_ids.", param="client_id")
    return _Presented(client_id, secrets, basic=True)


def _asserted(request: Request, form: Parameters) -> _Presented:
    """RFC 7521 §4.2: client_id may be left out, and must be the assertion's subject when it is there."""
    assertion, body_id = form.get("client_assertion"), form.get("client_id")
    if assertion is None or form.get("client_assertion_type") != oauth.CLIENT_ASSERTION_TYPE:
        raise OAuthError(
            oauth.INVALID_REQUEST,
            f"Send a client_assertion with the client_assertion_type {oauth.CLIENT_ASSERTION_TYPE}.",
            param="client_assertion_type",
        )
    if form.get("client_secret") or request.headers.getlist("authorization"):
        raise OAuthError(oauth.INVALID_REQUEST, "Authenticate the client in one way only.", param="client_assertion")
    claimed = subject(assertion)
    if claimed is None:
        raise OAuthError(oauth.INVALID_CLIENT, "The client_assertion cannot be read.", param="client_assertion")
    if body_id not in (None, claimed):
        raise OAuthError(oauth.INVALID_REQUEST, "Two different client_ids.", param="client_id")
    return _Presented(claimed, (), basic=False, assertion=assertion)


def basic_credentials(request: Request) -> tuple[str, tuple[str, ...]] | None:
    """Name and secret of Basic; None without an Authorization header. Raises OAuthError when it cannot be read.

    RFC 6749 §2.3.1: both parts are form-urlencoded inside the base64. Widely used clients send them as they are, which
    is another secret where it has a + or a %; so it comes in both readings.
    """
    values = request.headers.getlist("authorization")
    if not values:
        return None
    scheme, _, encoded = values[0].partition(" ")
    broken = OAuthError(oauth.INVALID_CLIENT, "The Authorization header cannot be read.", basic=True)
    if len(values) > 1 or scheme.lower() != "basic":
        raise broken
    try:
        name, separator, secret = base64.b64decode(encoded.strip(), validate=True).decode().partition(":")
        client_id, decoded = unquote_plus(name, errors="strict"), unquote_plus(secret, errors="strict")
    except ValueError as error:
        raise broken from error
    if not separator or not client_id or not (client_id + decoded + secret).isprintable():
        raise broken  # RFC 6749 appendix A: no control characters, which not every database would take either
    return client_id, tuple(dict.fromkeys((decoded, secret)))


def _invalid_client(presented: _Presented, message: str) -> OAuthError:
    return OAuthError(oauth.INVALID_CLIENT, message, param="client_id", basic=presented.basic)
