"""Databases as separate processes see them, and rows to put into them."""

import asyncio
import dataclasses
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Iterable
from contextlib import asynccontextmanager
from itertools import count
from typing import Any, TypeVar

import asyncpg
from msgspec.structs import replace

from bifrost import bootstrap
from bifrost.audit.models import AuditRow
from bifrost.authserver.models import (
    Approval,
    Client,
    ClientRecord,
    Grant,
    NewTokens,
    PendingFlow,
    RememberedConsent,
    StoredCode,
    StoredToken,
)
from bifrost.authserver.store import AuthServerStore
from bifrost.base.clock import SECOND
from bifrost.base.ids import hash_secret
from bifrost.base.sealing import KeyRing
from bifrost.governance.models import VirtualKey
from bifrost.identity.models import Identity
from bifrost.protocol import oauth
from bifrost.settings import load
from bifrost.storage.authserver import SqlAuthServerStore
from bifrost.storage.database import Connection, Database
from bifrost.storage.migrate import migrate
from bifrost.storage.upstream_oauth import SqlUpstreamOAuthStore
from bifrost.upstreams.vault import Vault
from tests.support.clock import START, FakeClock
from tests.support.gateway import RING

T = TypeVar("T")
NOW = START
VAULT = Vault(KeyRing([b"k" * 32]))
MINUTE = 60 * SECOND
KEY = Identity("vk", "vk-1")
CONSTRAINT_BROKEN = (sqlite3.IntegrityError, asyncpg.IntegrityConstraintViolationError)
"""What a database says to a second row of the same name. It is a fault of the caller, not of the storage."""

_numbers = count(1)


def database(url: str) -> Database:
    """What the product opens for this URL."""
    return bootstrap.database(load(None, {}, {"storage": {"url": url}}))


def grants_store(opened_database: Database) -> SqlAuthServerStore:
    """The store as the product builds it."""
    return SqlAuthServerStore(opened_database, SqlUpstreamOAuthStore(opened_database, Vault(RING)))


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[Database]:
    """Open and migrated. Each call is a process of its own as far as the database can tell."""
    made = database(url)
    await made.open()
    try:
        await migrate(made, FakeClock())
        yield made
    finally:
        await made.close()


def authserver_store(opened_database: Database) -> SqlAuthServerStore:
    return SqlAuthServerStore(opened_database, SqlUpstreamOAuthStore(opened_database, VAULT))


async def fetch(connection: Connection, statement: str) -> list[dict[str, Any]]:
    """A statement without parameters, on a connection of either driver."""
    if hasattr(connection, "fetchall"):
        return [dict(row) for row in await connection.fetchall(statement, {})]
    return [dict(row) for row in await connection.fetch(statement)]


async def rows(opened_database: Database, statement: str) -> list[dict[str, Any]]:
    """What another tool would read; a table's name alone means all of it."""
    query = statement if " " in statement else f"SELECT * FROM {statement}"  # noqa: S608 - tests name their own tables
    async with opened_database.read() as connection:
        return await fetch(connection, query)


async def together(calls: Iterable[Awaitable[T]]) -> list[T]:
    return list(await asyncio.gather(*calls))


def virtual_key(**changes: Any) -> VirtualKey:
    usual = VirtualKey(
        id="vk-1",
        name="first",
        description="",
        value_hint="sk-bf-abcd…",
        is_active=True,
        expires_at=None,
        mcp_configs=(),
        created_at=NOW,
        updated_at=NOW,
    )
    return dataclasses.replace(usual, **changes)


def flow(**changes: Any) -> PendingFlow:
    usual = PendingFlow(
        id=f"flow_{next(_numbers)}",
        browser_hash="b" * 64,
        client_id="bfcl_client",
        redirect_uri="http://127.0.0.1:33418/callback",
        state="a state",
        code_challenge="c" * 43,
        scope="mcp:read mcp:write",
        resource="/mcp",
        created_at=NOW,
        expires_at=NOW + 15 * MINUTE,
    )
    return replace(usual, **changes)


def grant(**changes: Any) -> Grant:
    usual = Grant(
        id=f"grant_{next(_numbers)}",
        client_id="bfcl_client",
        identity=KEY,
        scope="mcp:read mcp:write",
        resource="/mcp",
        created_at=NOW,
        expires_at=NOW + 5 * MINUTE,
    )
    return replace(usual, **changes)


def code_of(given: Grant, **changes: Any) -> StoredCode:
    usual = StoredCode(
        code_hash=hash_secret(f"code {next(_numbers)}"),
        grant_id=given.id,
        client_id=given.client_id,
        redirect_uri="http://127.0.0.1:33418/callback",
        code_challenge="c" * 43,
        scope=given.scope,
        resource=given.resource,
        created_at=NOW,
        expires_at=NOW + 5 * MINUTE,
        identity=given.identity,
    )
    return replace(usual, **changes)


def token(grant_id: str, **changes: Any) -> StoredToken:
    usual = StoredToken(
        token_hash=hash_secret(f"token {next(_numbers)}"),
        grant_id=grant_id,
        created_at=NOW,
        expires_at=NOW + 60 * MINUTE,
    )
    return replace(usual, **changes)


def tokens(grant_id: str, **changes: Any) -> NewTokens:
    usual = NewTokens(
        access=token(grant_id, scope="mcp:read mcp:write"),
        refresh=token(grant_id),
        grant_expires_at=NOW + 24 * 60 * MINUTE,
    )
    return dataclasses.replace(usual, **changes)


async def consented(store: AuthServerStore, **changes: Any) -> tuple[Grant, StoredCode]:
    """A flow that was approved: its grant and its code, not yet redeemed."""
    pending, given = flow(), grant()
    code = code_of(given, **changes)
    await store.add_pending_flow(pending)
    assert await store.submit_flow(pending.id, given, code, NOW)
    return given, code


async def redeemed(store: AuthServerStore, **changes: Any) -> tuple[Grant, StoredCode, NewTokens]:
    given, code = await consented(store)
    pair = tokens(given.id, **changes)
    assert await store.redeem_code(code.code_hash, pair, NOW)
    return given, code, pair


def refresh_of(pair: NewTokens) -> StoredToken:
    assert pair.refresh is not None
    return pair.refresh


def approval_of(identity: Identity) -> Approval:
    """A consent that is remembered."""
    client = Client(
        client_id="bfcl_x",
        client_name="Test",
        redirect_uris=("http://127.0.0.1/cb",),
        grant_types=oauth.GRANT_TYPES,
        token_endpoint_auth_method=oauth.NONE,
    )
    consent = RememberedConsent(
        identity=identity,
        client_id=client.client_id,
        scope="mcp:read",
        resources=("/mcp",),
        redirect_hosts=("loopback",),
        keys_hash="",
    )
    return Approval(
        client=ClientRecord(client=client),
        consent=consent,
        person_hash=hash_secret("person"),
        proof="",
        row=audit_row(target="grant_1"),
    )


def audit_row(**changes: Any) -> AuditRow:
    usual = AuditRow(
        id=f"aud_{next(_numbers)}",
        at=NOW,
        event="consent_given",
        actor="vk:vk-1",
        target="grant_1",
        result="success",
        client_address="203.0.113.7",
        event_id="evt_1",
        details={"client": "für ☃ \"'%;--"},
    )
    return replace(usual, **changes)
