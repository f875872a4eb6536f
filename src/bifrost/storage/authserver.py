"""The authorization server's store in SQL: guarded single statements, in one transaction where they belong together."""

from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from msgspec.structs import replace

from bifrost.authserver.models import (
    GIVE_WAY_AT_ONCE,
    MAX_FAILED_ATTEMPTS,
    MAX_WAITING_FLOWS,
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
    StoredToken,
)
from bifrost.base.clock import SECOND
from bifrost.identity.models import Identity
from bifrost.protocol import scope
from bifrost.storage import database as db
from bifrost.storage import steps
from bifrost.storage.audit import SqlAuditStore
from bifrost.storage.clients import SqlClientStore
from bifrost.storage.consents import SqlConsentStore
from bifrost.storage.counters import SqlCounterStore
from bifrost.storage.database import Connection, Database, Row, members, queries
from bifrost.storage.remembered import Remembered
from bifrost.storage.upstream_oauth import SqlUpstreamOAuthStore
from bifrost.upstreams.accounts import Credential, Owner


class SqlAuthServerStore:
    def __init__(self, database: Database, accounts: SqlUpstreamOAuthStore) -> None:
        self._database = database
        self._accounts = accounts
        self._clients = SqlClientStore(database)
        self._consents = SqlConsentStore(database)
        self._trail = SqlAuditStore(database)
        self._counters = SqlCounterStore(database)
        self._queries = queries("authserver", database.driver)
        self._access_tokens = Remembered[AccessTokenRow](database)

    async def ping(self) -> None:
        await db.ping(self._database)

    async def add_pending_flow(self, flow: PendingFlow) -> bool:
        async with self._database.statement(unmarked=True) as connection:
            added = await self._queries.add_pending_flow(
                connection,
                id=flow.id,
                browser_hash=flow.browser_hash,
                client_id=flow.client_id,
                redirect_uri=flow.redirect_uri,
                state=flow.state,
                code_challenge=flow.code_challenge,
                scope=flow.scope,
                resource=flow.resource,
                dpop_jkt=flow.dpop_jkt,
                created_at=flow.created_at,
                expires_at=flow.expires_at,
                most=MAX_WAITING_FLOWS,
            )
        return added is not None

    async def give_way(self, client_id: str, now: int) -> None:
        count = max(1, MAX_WAITING_FLOWS // GIVE_WAY_AT_ONCE)
        async with self._database.statement(unmarked=True) as connection:
            await self._queries.give_way(connection, client_id=client_id, now=now, count=count)

    async def pending_flow(self, flow_id: str) -> PendingFlow | None:
        row = await self._one("pending_flow", id=flow_id)
        return PendingFlow(**_with_identity(row)) if row else None

    async def choose_identity(self, flow_id: str, identity: Identity, now: int) -> bool:
        async with self._database.statement(unmarked=True) as connection:
            chosen = await self._queries.choose_identity(
                connection, id=flow_id, identity_kind=identity.kind, identity_id=identity.id, now=now
            )
        return chosen is not None

    async def submit_flow(
        self, flow_id: str, grant: Grant, code: AuthorizationCode, now: int, *, approval: Approval | None = None
    ) -> Grant | None:
        async with self._database.transaction(unmarked=True) as connection:
            if not await self._finished(connection, flow_id, approval, now):
                return None
            if approval:
                limit = await self._clients.record_consent(connection, approval.client, now)
                if limit is None:
                    return None
                grant, code, approval = _limited(limit, grant, code, approval)
            await self._add_grant(connection, grant)
            await self._add_code(connection, code)
            connected, owner = Owner("flow", flow_id), Owner(grant.identity.kind, grant.identity.id)
            await self._accounts.move_credentials(connection, connected, owner, now)
            if approval:
                await self._consents.remember(connection, approval, now)
                await self._trail.add(connection, approval.row)
        return grant

    async def _add_grant(self, connection: Connection, grant: Grant) -> None:
        await self._queries.add_grant(
            connection,
            id=grant.id,
            client_id=grant.client_id,
            identity_kind=grant.identity.kind,
            identity_id=grant.identity.id,
            scope=grant.scope,
            resource=grant.resource,
            created_at=grant.created_at,
            expires_at=grant.expires_at,
        )

    async def _add_code(self, connection: Connection, code: AuthorizationCode) -> None:
        await self._queries.add_authorization_code(
            connection,
            code_hash=code.code_hash,
            grant_id=code.grant_id,
            client_id=code.client_id,
            redirect_uri=code.redirect_uri,
            code_challenge=code.code_challenge,
            scope=code.scope,
            resource=code.resource,
            dpop_jkt=code.dpop_jkt,
            created_at=code.created_at,
            expires_at=code.expires_at,
        )

    async def _finished(self, connection: Connection, flow_id: str, approval: Approval | None, now: int) -> bool:
        if approval is None:
            return await self._queries.finish_flow(connection, id=flow_id, now=now) is not None
        who = approval.consent.identity
        finished = await self._queries.finish_flow_as(
            connection, id=flow_id, now=now, identity_kind=who.kind, identity_id=who.id
        )
        return finished is not None

    async def deny_flow(self, flow_id: str, now: int) -> list[Credential] | None:
        async with self._database.transaction(unmarked=True) as connection:
            if await self._queries.finish_flow(connection, id=flow_id, now=now) is None:
                return None
            return await self._accounts.take_credentials(connection, Owner("flow", flow_id))

    async def authorization_code(self, code_hash: str) -> StoredCode | None:
        row = await self._one("authorization_code", code_hash=code_hash)
        return StoredCode(**_with_identity(row)) if row else None

    async def count_failed_attempt(self, code_hash: str) -> int:
        async with self._database.statement(unmarked=True) as connection:
            row = await self._queries.count_failed_attempt(connection, code_hash=code_hash)
        return int(row["failed_attempts"]) if row else 0

    async def redeem_code(self, code_hash: str, tokens: NewTokens, now: int) -> bool:
        async def claim(connection: Connection) -> object:
            return await self._queries.redeem_code(connection, code_hash=code_hash, now=now, limit=MAX_FAILED_ATTEMPTS)

        return await self._given_for(claim, tokens)

    def access_token(self, token_hash: str) -> Coroutine[Any, Any, AccessTokenRow | None]:
        return self._access_tokens.row(token_hash, lambda: self._access_token(token_hash))

    async def _access_token(self, token_hash: str) -> AccessTokenRow | None:
        row = await self._one("access_token", token_hash=token_hash)
        return AccessTokenRow(**_with_identity(row)) if row else None

    async def refresh_token(self, token_hash: str) -> RefreshTokenRow | None:
        row = await self._one("refresh_token", token_hash=token_hash)
        return RefreshTokenRow(**_with_identity(row)) if row else None

    async def rotate_refresh_token(self, token_hash: str, tokens: NewTokens, now: int) -> bool:
        async def claim(connection: Connection) -> object:
            return await self._queries.use_refresh_token(
                connection,
                token_hash=token_hash,
                now=now,
                successor_hash=tokens.refresh.token_hash if tokens.refresh else "",
                sealed_successors=tokens.sealed,
            )

        return await self._given_for(claim, tokens)

    async def replay_refresh_token(self, token_hash: str, rules: ReplayRules, now: int) -> Replay | None:
        async with self._database.statement(unmarked=True) as connection:
            row = await self._queries.replay_refresh_token(
                connection,
                token_hash=token_hash,
                limit=rules.limit,
                window_began=now - rules.window_seconds * SECOND,
                cap_began=now - rules.cap_seconds * SECOND,
            )
        return Replay(row["sealed_successors"], row["answered_again"]) if row else None

    async def count_presented_by_others(self, token_hash: str) -> int:
        async with self._database.statement(unmarked=True) as connection:
            return int(await self._queries.count_presented_by_others(connection, token_hash=token_hash) or 0)

    async def end_access_token(self, token_hash: str, now: int) -> bool:
        async with self._database.statement() as connection:
            return await self._queries.end_access_token(connection, token_hash=token_hash, now=now) is not None

    async def grant(self, grant_id: str) -> IssuedGrant | None:
        row = await self._one("grant", id=grant_id)
        return IssuedGrant(**_with_identity(row)) if row else None

    async def issued_grants(self, wanted: GrantFilter, *, limit: int, offset: int) -> tuple[list[IssuedGrant], int]:
        given = {"client_id": wanted.client_id, "identity_id": wanted.identity_id, "now": wanted.living_at}
        async with self._database.read() as connection:
            found = self._queries.issued_grants(connection, **given, limit=limit, offset=offset)
            grants = [IssuedGrant(**_with_identity(members(row))) async for row in found]
            return grants, await self._queries.count_issued_grants(connection, **given)

    async def revoke_grant(self, grant_id: str, reason: str, now: int) -> bool:
        async with self._database.statement() as connection:
            return await self._queries.revoke_grant(connection, id=grant_id, reason=reason, now=now) is not None

    async def admit_key_guess(self, buckets: tuple[str, ...], *, right: bool, limit: int, until: int, now: int) -> bool:
        if right:
            return not await self.key_guesses_locked(*buckets, limit=limit, now=now)
        try:
            async with self._database.transaction(unmarked=True) as connection:
                # one order for everybody, so that two transactions cannot wait for each other
                for bucket in sorted(buckets):
                    counted = await self._queries.count_key_failure(
                        connection, bucket=bucket, limit=limit, until=until, now=now
                    )
                    if counted is None:
                        raise _BucketFullError
        except _BucketFullError:
            return False
        return True

    async def key_guesses_locked(self, *buckets: str, limit: int, now: int) -> bool:
        async with self._database.read() as connection:
            locked = await self._queries.key_guess_lock(
                connection, bucket=buckets[0], other=buckets[-1], limit=limit, now=now
            )
        return locked is not None

    async def sweep(self, before: int) -> None:
        """Delete what expired before this time, and what a flow connected that nobody finished."""
        for what in ("pending_flows", "access_tokens", "refresh_tokens", "grants", "key_guesses"):
            await steps.delete(self._database, getattr(self._queries, f"sweep_{what}"), before)
        async with self._database.transaction() as connection:
            await self._accounts.sweep(connection, before)
            await self._consents.sweep(connection, before)
            await self._counters.sweep(connection, before)

    async def _given_for(self, claim: Callable[[Connection], Awaitable[object]], tokens: NewTokens) -> bool:
        """Write the tokens for what is claimed, or nothing: it was claimed before, or the grant was revoked.

        The grant's row is taken first, as by whoever deletes it with all that hangs on it: two that took the rows in
        different orders would wait for each other.
        """
        try:
            async with self._database.transaction(unmarked=True) as connection:
                extended = await self._queries.extend_grant(
                    connection, id=tokens.access.grant_id, expires_at=tokens.grant_expires_at
                )
                if extended is None or await claim(connection) is None:
                    raise _NotGivenError
                await self._queries.add_access_token(connection, **_columns(tokens.access))
                if tokens.refresh:
                    await self._queries.add_refresh_token(connection, **_columns(tokens.refresh))
        except _NotGivenError:
            return False
        return True

    async def _one(self, name: str, **values: Any) -> dict[str, Any] | None:
        async with self._database.read() as connection:
            row: Row | None = await getattr(self._queries, name)(connection, **values)
        return members(row) if row else None


def _limited(
    limit: str, grant: Grant, code: AuthorizationCode, approval: Approval
) -> tuple[Grant, AuthorizationCode, Approval]:
    """No more than the client may have at this moment, whatever it might have when the person was asked."""
    if not limit:
        return grant, code, approval
    consent = replace(approval.consent, scope=scope.limited(approval.consent.scope, limit))
    grant = replace(grant, scope=scope.limited(grant.scope, limit))
    row = replace(approval.row, details={**approval.row.details, "scope": grant.scope})
    return (
        grant,
        replace(code, scope=scope.limited(code.scope, limit)),
        replace(approval, consent=consent, row=row),
    )


class _BucketFullError(Exception):
    pass


class _NotGivenError(Exception):
    pass


def _columns(token: StoredToken) -> dict[str, Any]:
    """As `asdict`, which copies for ten times as long."""
    return {
        "token_hash": token.token_hash,
        "grant_id": token.grant_id,
        "scope": token.scope,
        "jkt": token.jkt,
        "created_at": token.created_at,
        "expires_at": token.expires_at,
    }


def _with_identity(row: dict[str, Any]) -> dict[str, Any]:
    kind, identifier = row.pop("identity_kind"), row.pop("identity_id")
    row["identity"] = Identity(kind, identifier) if kind else None
    return row
