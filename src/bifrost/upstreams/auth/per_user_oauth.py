"""auth_type `per_user_oauth`: everybody uses an account of their own, and the gateway keeps its sign-in fresh."""

from collections.abc import Mapping
from dataclasses import dataclass

from bifrost.identity.models import Identity
from bifrost.upstreams.accounts import Owner
from bifrost.upstreams.models import Upstream
from bifrost.upstreams.oauth.refresh import Credentials

_AUTHORIZATION = "Authorization"


@dataclass(frozen=True, slots=True)
class PerUserOAuth:
    credentials: Credentials

    def owner(self, identity: Identity) -> str:
        return f"{identity.kind}:{identity.id}"

    async def headers(self, upstream: Upstream, identity: Identity) -> dict[str, str]:
        """Raises ConnectionRequired, UpstreamUnavailable."""
        credential = await self.credentials.usable(upstream, Owner(identity.kind, identity.id))
        return {_AUTHORIZATION: f"Bearer {credential.tokens.access_token}"}

    async def refused(self, upstream: Upstream, identity: Identity, sent: Mapping[str, str]) -> bool:
        """Raises ConnectionRequired when a person has to sign in again."""
        token = sent[_AUTHORIZATION].removeprefix("Bearer ")
        return await self.credentials.refused(upstream, Owner(identity.kind, identity.id), token)

    async def forbidden(self, upstream: Upstream, identity: Identity, challenge: Mapping[str, str]) -> None:
        """Step-up (RFC 6750 §3.1): the person is asked for more. Raises ConnectionRequired, UpstreamUnavailable."""
        if challenge.get("error") == "insufficient_scope":
            owner = Owner(identity.kind, identity.id)
            await self.credentials.insufficient(upstream, owner, challenge.get("scope", ""))
