"""auth_type `oauth`: an administrator signs in once, and everybody's calls are made with that account."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import structlog

from bifrost.identity.models import Identity
from bifrost.upstreams.accounts import Owner, setup_owner, shared_owner
from bifrost.upstreams.errors import AdministratorMustSignIn, ConnectionRequired, UpstreamUnavailable
from bifrost.upstreams.models import Upstream
from bifrost.upstreams.oauth.refresh import Credentials
from bifrost.upstreams.states import UpstreamStates

_AUTHORIZATION = "Authorization"

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class OAuth:
    """A caller never gets a link: nobody but the administrator can help, and the error says so."""

    credentials: Credentials
    states: UpstreamStates
    account: Callable[[str], Owner] = shared_owner
    """The owner of the administrator's account at the upstream of this id."""

    def owner(self, identity: Identity) -> str:
        """Even with a shared account a session may hold state, so nobody shares one."""
        return f"{identity.kind}:{identity.id}"

    async def headers(self, upstream: Upstream, identity: Identity) -> dict[str, str]:  # noqa: ARG002 - the interface
        """Raises AdministratorMustSignIn, UpstreamUnavailable."""
        try:
            credential = await self.credentials.usable(upstream, self.account(upstream.id))
        except ConnectionRequired as error:
            raise await self._unusable(upstream) from error
        return {_AUTHORIZATION: f"Bearer {credential.tokens.access_token}"}

    async def refused(self, upstream: Upstream, identity: Identity, sent: Mapping[str, str]) -> bool:  # noqa: ARG002 - the interface
        """Raises AdministratorMustSignIn, UpstreamUnavailable."""
        token = sent[_AUTHORIZATION].removeprefix("Bearer ")
        try:
            renewed = await self.credentials.refused(upstream, self.account(upstream.id), token)
        except ConnectionRequired as error:
            raise await self._unusable(upstream) from error
        if not renewed:
            raise await self._unusable(upstream)
        return True

    async def forbidden(self, upstream: Upstream, identity: Identity, challenge: Mapping[str, str]) -> None:  # noqa: ARG002 - the interface
        """One caller's call must not take everybody's account away, so the account stays as it is (RFC 6750 §3.1)."""
        if challenge.get("error") == "insufficient_scope":
            log.warning("upstream_wants_more_scope", upstream=upstream.name, scope=challenge.get("scope", "")[:200])
            raise UpstreamUnavailable(
                f"{upstream.name} asks for more permissions than the account of this gateway has there. "
                "An administrator must add them to oauth_config.scopes and sign in again."
            )

    async def _unusable(self, upstream: Upstream) -> AdministratorMustSignIn:
        reason = await self.credentials.reason(upstream, self.account(upstream.id))
        if reason is not None:
            await self.states.note(upstream, "needs_reauth", reason)
        return AdministratorMustSignIn(upstream.name, reason or "Nobody has signed in to it yet.")


@dataclass(frozen=True, slots=True)
class SetUpOAuth:
    """An administrator's sign-in that is tried out before it counts; the identity carries the attempt's id."""

    credentials: Credentials

    def owner(self, identity: Identity) -> str:
        return f"setup:{identity.id}"

    async def headers(self, upstream: Upstream, identity: Identity) -> dict[str, str]:
        """Raises ConnectionRequired, UpstreamUnavailable."""
        credential = await self.credentials.usable(upstream, setup_owner(identity.id))
        return {_AUTHORIZATION: f"Bearer {credential.tokens.access_token}"}

    async def refused(self, upstream: Upstream, identity: Identity, sent: Mapping[str, str]) -> bool:  # noqa: ARG002 - the interface
        """It was issued a moment ago: renewing it would not make it fit."""
        return False

    async def forbidden(self, upstream: Upstream, identity: Identity, challenge: Mapping[str, str]) -> None:
        """The request fails, and the administrator reads why."""
