"""Pushed authorization requests (RFC 9126): what was pushed is kept for a moment under a name that nobody can guess."""

from dataclasses import dataclass
from typing import Protocol
from urllib.parse import urlencode

import structlog

from bifrost.authserver.authorize import Authorize, RequestParameters
from bifrost.authserver.errors import AuthorizationRefused
from bifrost.authserver.limits import Limit
from bifrost.authserver.models import Client
from bifrost.authserver.request_key import RequestKey
from bifrost.base import ids
from bifrost.base.clock import SECOND, SLACK_SECONDS, Clock
from bifrost.protocol import dpop, oauth
from bifrost.protocol.oauth import OAuthError

LIVES_SECONDS = 90
"""Between pushing and opening the browser (RFC 9126 §2.2 suggests 5 to 600)."""

MAX_CHARACTERS = 8_192
"""Of all parameters together; anybody may push."""

URN = "urn:ietf:params:oauth:request_uri:"
PARAMETERS = (
    "response_type",
    "redirect_uri",
    "code_challenge",
    "code_challenge_method",
    "state",
    "scope",
    "resource",
    "dpop_jkt",
)
"""What is kept of a request besides its client: secrets of the client are never among it."""

log = structlog.get_logger()


class PushedStore(Protocol):
    async def add_pushed_request(
        self, name_hash: str, client_id: str, query: str, now: int, expires_at: int
    ) -> None: ...

    async def take_pushed_request(self, name_hash: str, client_id: str, now: int) -> str | None:
        """The query, this once; None when it is unknown, expired, taken, or another client's."""
        ...

    async def drop_pushed_requests(self, before: int) -> None:
        """Those that expired before this time."""


@dataclass(frozen=True, slots=True)
class PushedRequests:
    store: PushedStore
    authorize: Authorize
    clock: Clock
    required: bool
    """Whether a request that was not pushed is refused (RFC 9126 §5)."""
    limit: Limit

    def query_of(self, client: Client, parameters: RequestParameters, jkt: str) -> str:
        """The authorization request as a query. Raises OAuthError when it is too long, or names another key.

        `jkt` is the key that it was pushed with: the code will be bound to it (RFC 9449 §10.1).
        """
        named = parameters.get("dpop_jkt")
        if jkt and named not in (None, jkt):
            raise OAuthError(dpop.INVALID_PROOF, "The dpop_jkt is not the key of the DPoP proof.", param="dpop_jkt")
        pairs = [("client_id", client.client_id)]
        pairs += [(name, value) for name in PARAMETERS for value in parameters.all(name)]
        if jkt and not named:
            pairs.append(("dpop_jkt", jkt))
        query = urlencode(pairs)
        if len(query) > MAX_CHARACTERS:
            raise OAuthError(oauth.INVALID_REQUEST, f"The parameters are longer than {MAX_CHARACTERS} characters.")
        return query

    async def push(self, client: Client, query: str, parameters: RequestParameters, key: RequestKey) -> str:
        """Check the request as the authorization endpoint would, and keep it: its name. Raises OAuthError, TooMany.

        `parameters` are those of `query`.
        """
        try:
            await self.authorize.check(parameters, self.limit)
        except AuthorizationRefused as refused:
            raise OAuthError(refused.code, refused.message, param=refused.param) from refused
        await key.spend()
        name, now = ids.new_secret(URN), self.clock.now()
        expires_at = now + LIVES_SECONDS * SECOND
        await self.store.add_pushed_request(ids.hash_secret(name), client.client_id, query, now, expires_at)
        log.info("authorization_request_pushed", client=client.client_name)
        return name

    async def sweep(self, _before: int) -> None:
        """Called every minute: one that has expired is of no use to anybody. Raises StorageUnavailable."""
        await self.store.drop_pushed_requests(self.clock.now() - SLACK_SECONDS * SECOND)

    async def pushed(self, query: RequestParameters) -> str | None:
        """The query that this request to the authorization endpoint stands for; None for itself.

        Raises AuthorizationRefused, Invalid.
        """
        name, client_id = query.get("request_uri"), query.get("client_id")
        if name is None:
            if self.required:
                raise _refused(oauth.INVALID_REQUEST, "This server takes pushed authorization requests only.")
            return None
        if client_id is None:
            raise AuthorizationRefused(oauth.INVALID_REQUEST, "The parameter client_id is missing.", param="client_id")
        found = await self.store.take_pushed_request(ids.hash_secret(name), client_id, self.clock.now())
        if found is None:
            raise _refused(oauth.INVALID_REQUEST_URI, "This request was used, has expired, or was never pushed.")
        return found


def _refused(code: str, message: str) -> AuthorizationRefused:
    return AuthorizationRefused(code, message, param="request_uri")
