"""What the authorization server needs remembered. Every change that must be atomic is one method."""

from typing import Protocol

from bifrost.authserver.models import (
    AccessTokenRow,
    Approval,
    AuthorizationCode,
    Grant,
    GrantFilter,
    IssuedGrant,
    NewTokens,
    PendingFlow,
    RefreshTokenRow,
    Replay,
    ReplayRules,
    StoredCode,
)
from bifrost.identity.models import Identity
from bifrost.upstreams.accounts import Credential


class AuthServerStore(Protocol):
    async def ping(self) -> None:
        """Raises StorageUnavailable."""

    async def add_pending_flow(self, flow: PendingFlow) -> bool:
        """False when too many of this client wait already; then nothing was written."""
        ...

    async def give_way(self, client_id: str, now: int) -> None:
        """Delete some of the flows of this client that wait: those in which nobody is identified, the oldest first."""

    async def pending_flow(self, flow_id: str) -> PendingFlow | None: ...

    async def choose_identity(self, flow_id: str, identity: Identity, now: int) -> bool:
        """False when the flow is finished or expired."""
        ...

    async def submit_flow(
        self, flow_id: str, grant: Grant, code: AuthorizationCode, now: int, *, approval: Approval | None = None
    ) -> Grant | None:
        """Consume the flow and create its grant and code, or nothing. Of parallel calls exactly one returns the grant.

        With an approval the client gets its row, if it has none yet, its scope_limit of this moment holds, and the
        consent is remembered and in the audit trail; None also when the client has been blocked or removed, or another
        identity chosen.
        """
        ...

    async def deny_flow(self, flow_id: str, now: int) -> list[Credential] | None:
        """Consume the flow, and delete and give what was connected in it; None when it is over.

        Of parallel calls, submits included, exactly one wins.
        """
        ...

    async def authorization_code(self, code_hash: str) -> StoredCode | None: ...

    async def count_failed_attempt(self, code_hash: str) -> int:
        """How many there are now; 0 when there is no such code."""

    async def redeem_code(self, code_hash: str, tokens: NewTokens, now: int) -> bool:
        """Claim the code and write its tokens, or nothing: False when used, expired, burnt or its grant revoked."""
        ...

    async def access_token(self, token_hash: str) -> AccessTokenRow | None: ...

    async def refresh_token(self, token_hash: str) -> RefreshTokenRow | None: ...

    async def rotate_refresh_token(self, token_hash: str, tokens: NewTokens, now: int) -> bool:
        """Use the token and write its successors, or nothing: False when used, expired or its grant revoked."""
        ...

    async def replay_refresh_token(self, token_hash: str, rules: ReplayRules, now: int) -> Replay | None:
        """The successors of a used token, counted; None when the rules do not allow them to be given again."""
        ...

    async def count_presented_by_others(self, token_hash: str) -> int:
        """How often it was now that somebody presented a refresh token that is not theirs."""
        ...

    async def end_access_token(self, token_hash: str, now: int) -> bool:
        """False when it was over already."""
        ...

    async def grant(self, grant_id: str) -> IssuedGrant | None: ...

    async def issued_grants(self, wanted: GrantFilter, *, limit: int, offset: int) -> tuple[list[IssuedGrant], int]:
        """The newest first, and how many there are altogether."""
        ...

    async def revoke_grant(self, grant_id: str, reason: str, now: int) -> bool: ...

    async def admit_key_guess(self, buckets: tuple[str, ...], *, right: bool, limit: int, until: int, now: int) -> bool:
        """Whether the verdict on a guess may be told: not when a bucket is full. A wrong one counts in every bucket.

        In one transaction, so that parallel guesses learn no more than `limit` verdicts of "wrong".
        """
        ...

    async def key_guesses_locked(self, *buckets: str, limit: int, now: int) -> bool:
        """Whether one of them is full; of one or two."""
        ...
