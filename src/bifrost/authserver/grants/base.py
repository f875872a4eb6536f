"""What every grant gets, and the one method it has."""

from collections.abc import Awaitable, Callable
from typing import Protocol

from bifrost.authserver.models import Client, TokenResponse
from bifrost.authserver.request_key import RequestKey


class TokenParameters(Protocol):
    """The form of a token request; asking for a malformed parameter raises Invalid."""

    def get(self, name: str) -> str | None: ...

    def all(self, name: str) -> list[str]: ...


EndpointOf = Callable[[str], Awaitable[str | None]]


class TokenGrant(Protocol):
    async def redeem(self, client: Client, parameters: TokenParameters, key: RequestKey) -> TokenResponse:
        """Check everything, then claim what is redeemed in one step. `client` is already authenticated.

        `key` is what it has proved to hold (RFC 9449 §5); the proof is spent before anything is changed.
        Raises OAuthError (RFC 6749 §5.2).
        """
        ...


async def resource_matches(parameters: TokenParameters, endpoint_of: EndpointOf, granted: str) -> bool:
    """RFC 8707 §2.2: the request may repeat the resource of the grant; any other is not its target."""
    return all([await endpoint_of(resource) == granted for resource in parameters.all("resource")])
