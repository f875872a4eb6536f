"""What the authorization server needs remembered. Every change that must be atomic is one method."""

from typing import Protocol

from bifrost.authserver.models import (
    AccessTokenRow,
    AuthorizationCode,
    Grant,
    NewTokens,
    PendingFlow,
    RefreshTokenRow,
)
from bifrost.identity.models import Identity


class AuthServerStore(Protocol):
    async def ping(self) -> None:
        """Raises StorageUnavailable."""

    async def add_pending_flow(self, flow: PendingFlow) -> None: ...

    async def pending_flow(self, flow_id: str) -> PendingFlow | None: ...

    async def choose_identity(self, flow_id: str, identity: Identity, now: int) -> bool:
        """False when the flow is finished or expired."""
        ...

    async def submit_flow(self, flow_id: str, grant: Grant, code: AuthorizationCode, now: int) -> bool:
        """Consume the flow and create its grant and code, or nothing. Of parallel calls exactly one returns True."""
        ...

    async def deny_flow(self, flow_id: str, now: int) -> bool:
        """Consume the flow. Of parallel calls, submits included, exactly one wins."""
        ...

    async def authorization_code(self, code_hash: str) -> AuthorizationCode | None: ...

    async def count_failed_attempt(self, code_hash: str) -> None: ...

    async def redeem_code(self, code_hash: str, tokens: NewTokens, now: int) -> bool:
        """Claim the code and write its tokens, or nothing: False when used, expired, burnt or its grant revoked."""
        ...

    async def access_token(self, token_hash: str) -> AccessTokenRow | None: ...

    async def refresh_token(self, token_hash: str) -> RefreshTokenRow | None: ...

    async def rotate_refresh_token(self, token_hash: str, tokens: NewTokens, now: int) -> bool:
        """Use the token and write its successors, or nothing: False when used, expired or its grant revoked."""
        ...

    async def revoke_grant(self, grant_id: str, reason: str, now: int) -> bool: ...

    async def reserve_key_guess(self, buckets: tuple[str, ...], *, limit: int, until: int, now: int) -> bool:
        """Count one guess in every bucket before it is made; False, counting nothing, when one of them is full."""
        ...

    async def release_key_guess(self, buckets: tuple[str, ...]) -> None:
        """The guess was right after all: take it back."""

    async def key_guesses_locked(self, bucket: str, *, limit: int, now: int) -> bool: ...
