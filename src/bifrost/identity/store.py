"""What administrators and proofs of possession need remembered. Every change that must be atomic is one method."""

from typing import Protocol

from bifrost.identity.models import AdminSession, AdminToken


class AdministratorStore(Protocol):
    async def add_token(self, token: AdminToken, token_hash: str) -> bool:
        """False when the name is taken; then nothing was written. A first link that nobody has used ends."""
        ...

    async def token_by_hash(self, token_hash: str) -> AdminToken | None: ...

    async def tokens(self) -> list[AdminToken]: ...

    async def remove_token(self, id_or_name: str) -> AdminToken | None:
        """Remove it and its sessions. None when there is none."""
        ...

    async def add_session(self, session_hash: str, session: AdminSession) -> bool:
        """False when its token was removed meanwhile; then nothing was written."""
        ...

    async def session(self, session_hash: str) -> AdminSession | None: ...

    async def session_seen(self, session_hash: str, now: int) -> None: ...

    async def end_sessions(self, session_hashes: tuple[str, ...]) -> None: ...

    async def first_link(self, link_hash: str, expires_at: int, now: int) -> bool:
        """Keep the first link: False when there is an administrator, or a link that may still be used."""
        ...

    async def new_link(self, link_hash: str, expires_at: int, now: int) -> None:
        """Keep this link in the place of any other."""

    async def end_first_link(self) -> None:
        """End the link that a first start printed; one that somebody asked for stays."""

    async def link_is_open(self, link_hash: str, now: int) -> bool: ...

    async def use_link(self, link_hash: str, token: AdminToken, token_hash: str, now: int) -> bool:
        """Consume the link and write its token, or nothing. Of parallel calls exactly one returns True.

        A first link is none any more once there is a token. Raises AdministratorTokenTaken.
        """
        ...

    async def count_guess(self, bucket: str, *, limit: int, until: int, now: int) -> bool:
        """Count a wrong token. False when the bucket is full, so that the verdict is not told."""
        ...

    async def guesses_locked(self, bucket: str, *, limit: int, now: int) -> bool: ...


class ProofStore(Protocol):
    async def use_proof(self, proof_hash: str, expires_at: int) -> bool:
        """False when it was used before. Of parallel calls, over all processes, exactly one returns True."""
        ...

    async def drop_proofs(self, before: int) -> None:
        """Those that expired before this time."""
