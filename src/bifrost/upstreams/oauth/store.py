"""What is remembered of sign-ins at upstreams and the credentials they gave."""

from typing import Protocol

from bifrost.upstreams.accounts import Credential, CredentialState, Owner, Registration, SignIn


class UpstreamOAuthStore(Protocol):
    async def registration(self, upstream_id: str, issuer: str, redirect_uri: str) -> Registration | None: ...

    async def keep_registration(
        self, upstream_id: str, redirect_uri: str, registration: Registration, now: int
    ) -> None: ...

    async def registrations(self, upstream_id: str) -> list[Registration]: ...

    async def forget_registration(self, upstream_id: str, registration: Registration) -> None:
        """Only this very client; one that was registered since stays."""

    async def client_key(self) -> bytes | None:
        """The installation's own key towards authorization servers, if it has one yet."""
        ...

    async def keep_client_key(self, key: bytes) -> bytes:
        """Keep it unless there is one already; the one that is kept."""
        ...

    async def add_sign_in(self, state_hash: str, sign_in: SignIn, now: int) -> None: ...

    async def registration_doubtful(
        self, upstream_id: str, browser_hash: str, now: int, *, registered_before: int
    ) -> bool:
        """Whether this browser began a sign-in there that never came back and could still, with an older client."""
        ...

    async def claim_sign_in(self, state_hash: str, browser_hashes: tuple[str, ...], now: int) -> SignIn | None:
        """Use it up: unknown, used, expired, or another browser's gives None. Exactly one of parallel claims wins."""
        ...

    async def connected(self, credential: Credential, now: int) -> bool:
        """Write it over whatever this owner had at this upstream; False when one of the two has ended meanwhile."""
        ...

    async def credential(self, upstream_id: str, owner: Owner) -> Credential | None: ...

    async def credentials_of(self, owner: Owner) -> list[Credential]: ...

    async def lease_refresh(self, credential: Credential, until: int, now: int) -> bool:
        """The right to refresh this very version, over all processes, until the time given."""
        ...

    async def refreshed(self, credential: Credential, now: int) -> bool:
        """Write the new pair over exactly the version it came from, and end the lease."""
        ...

    async def needs_reauth(self, credential: Credential, reason: str, now: int, *, more_scope: str = "") -> None:
        """Of no more use in this version: refused for good, or the upstream wants `more_scope` besides."""

    async def keep_lease(self, credential: Credential, held: int, until: int) -> bool:
        """Make the lease that lasts until `held` last longer; False when it is not there any more."""
        ...

    async def release_refresh(self, credential: Credential, held: int, until: int | None) -> None:
        """Nothing came of the lease that lasts until `held`: somebody may try again, at once or from the time given."""

    async def settle(self, credential: Credential, state: CredentialState, now: int) -> None:
        """Write the state that it has now, unless the row was changed meanwhile."""
