"""Clients in SQL."""

from collections.abc import Sequence
from dataclasses import asdict, replace
from functools import partial
from typing import Any

import msgspec

from bifrost.authserver.errors import AssertionsTooMany
from bifrost.authserver.models import Client, ClientChange, ClientPage, ClientRecord, UsedAssertion
from bifrost.base import ids
from bifrost.base.clock import SECOND
from bifrost.protocol import oauth, scope
from bifrost.storage import steps
from bifrost.storage.database import Connection, Database, Row, queries
from bifrost.storage.remembered import Remembered


class _Metadata(msgspec.Struct):
    redirect_uris: tuple[str, ...]
    grant_types: tuple[str, ...]
    token_endpoint_auth_method: str
    verified_host: str | None = None
    jwks: tuple[dict[str, Any], ...] = ()
    jwks_uri: str = ""
    access_token_format: oauth.AccessTokenFormat = oauth.OPAQUE
    require_pushed_authorization_requests: bool = False
    dpop_bound_access_tokens: bool = False


class SqlClientStore:
    def __init__(self, database: Database) -> None:
        self._database = database
        self._queries = queries("clients", database.driver)
        self._remembered = Remembered[ClientRecord](database)

    async def client(self, client_id: str) -> ClientRecord | None:
        return await self._remembered.row(client_id, partial(self._client, client_id))

    async def _client(self, client_id: str) -> ClientRecord | None:
        async with self._database.read() as connection:
            row = await self._queries.client(connection, client_id=client_id)
        return _record(row) if row else None

    async def client_by_row(self, row_id: str) -> ClientRecord | None:
        async with self._database.read() as connection:
            row = await self._queries.client_by_row(connection, id=row_id)
        return _record(row) if row else None

    async def clients(self, search: str, limit: int, offset: int, now: int) -> ClientPage:
        wanted = {"search": search, "pattern": f"%{_escaped(search.lower())}%"}
        async with self._database.read() as connection:
            rows = [
                dict(row)
                async for row in self._queries.clients(connection, **wanted, limit=limit, offset=offset, now=now)
            ]
            total = await self._queries.client_count(connection, **wanted)
        grants = {row["client_id"]: row.pop("grants") for row in rows}
        return ClientPage(clients=tuple(_record(row) for row in rows), total=total, grants=grants)

    async def living_grants(self, client_id: str, now: int) -> int:
        async with self._database.read() as connection:
            return int(await self._queries.living_grants(connection, client_id=client_id, now=now))

    async def add_client(self, record: ClientRecord, config_mac: str) -> bool:
        async with self._database.transaction() as connection:
            return await self._queries.add_client(connection, **_defined(record, config_mac), id=record.id) is not None

    async def reconfigure_client(self, record: ClientRecord, config_mac: str) -> bool:
        async with self._database.transaction() as connection:
            return await self._queries.reconfigure_client(connection, **_defined(record, config_mac)) is not None

    async def change_client(self, row_id: str, change: ClientChange, now: int) -> ClientRecord | None:
        async with self._database.transaction() as connection:
            row = await self._queries.lock_client(connection, id=row_id, now=now)
            if row is None:
                return None
            changed = _changed(_record(row), change, now)
            await self._queries.write_client(
                connection,
                id=row_id,
                client_name=changed.client.client_name,
                metadata=_metadata(changed.client),
                label=changed.label,
                scope_limit=changed.scope_limit,
                blocked_at=changed.blocked_at,
                redefined=bool(change.definition),
            )
            if changed.blocked_at is not None:
                await self._revoke(connection, changed, "client_blocked", "%", now)
            elif changed.scope_limit == scope.READ:
                await self._revoke(connection, changed, "client_limited", f"%{scope.WRITE}%", now)
        return changed

    async def remove_client(self, row_id: str, now: int) -> None:
        async with self._database.transaction() as connection:
            row = await self._queries.lock_client(connection, id=row_id, now=now)
            if row is not None:
                await self._revoke(connection, _record(row), "client_removed", "%", now)
                # whoever gets this client_id next is another client
                await self._queries.forget_consents_of_client(connection, client_id=row["client_id"])
                await self._queries.remove_client(connection, id=row_id)

    async def _revoke(self, connection: Connection, record: ClientRecord, reason: str, scopes: str, now: int) -> None:
        await self._queries.revoke_client_grants(
            connection, client_id=record.client.client_id, reason=reason, scope=scopes, now=now
        )

    async def renew_document(self, record: ClientRecord) -> None:
        async with self._database.transaction() as connection:
            await self._queries.renew_document(
                connection,
                client_id=record.client.client_id,
                client_name=record.client.client_name,
                metadata=_metadata(record.client),
                fetched_at=record.fetched_at,
                fresh_until=record.fresh_until,
            )

    async def use_assertion(self, used: UsedAssertion, share: int, now: int) -> bool:
        async with self._database.statement(unmarked=True) as connection:
            if await self._queries.use_assertion(connection, **asdict(used), others=share - 1, now=now) is not None:
                return True
        async with self._database.read() as connection:
            if await self._queries.used_assertion(connection, assertion_hash=used.assertion_hash) is not None:
                return False
            frees_at = await self._queries.next_assertion_to_expire(connection, client_hash=used.client_hash, now=now)
        raise AssertionsTooMany(retry_after=max(1, -(-((frees_at or now) - now) // SECOND)))

    async def without_row(self, now: int) -> list[str]:
        async with self._database.read() as connection:
            return [row["client_id"] async for row in self._queries.clients_without_row(connection, now=now)]

    async def adopt(self, clients: Sequence[Client], now: int) -> None:
        async with self._database.transaction() as connection:
            for client in clients:
                await self._queries.adopt_client(
                    connection,
                    id=ids.new_id("client_"),
                    client_id=client.client_id,
                    origin=client.origin,
                    client_name=client.client_name,
                    metadata=_metadata(client),
                    now=now,
                )

    async def record_consent(self, connection: Connection, record: ClientRecord, now: int) -> str | None:
        """Inside the transaction that writes a grant: the row, from the first consent on.

        The client's scope_limit as it is now; None when it was blocked, or an administrator's own was deleted. An
        administrator who changes the client at the same moment waits for this transaction, or this one for that.
        """
        client = record.client
        if client.origin == "preregistered":
            known = await self._queries.record_registered_consent(connection, client_id=client.client_id, now=now)
            return None if known is None else str(known)
        limit = await self._queries.record_consent(
            connection,
            id=ids.new_id("client_"),
            client_id=client.client_id,
            origin=client.origin,
            client_name=client.client_name,
            metadata=_metadata(client),
            fetched_at=record.fetched_at,
            fresh_until=record.fresh_until,
            now=now,
        )
        return None if limit is None else str(limit)

    async def drop_assertions(self, before: int) -> None:
        await steps.delete(self._database, self._queries.drop_assertions, before)


def _defined(record: ClientRecord, config_mac: str) -> dict[str, Any]:
    return {
        "client_id": record.client.client_id,
        "client_name": record.client.client_name,
        "metadata": _metadata(record.client),
        "secret_hash": record.client.secret_hash,
        "config_mac": config_mac,
        "now": record.updated_at,
    }


def _changed(record: ClientRecord, change: ClientChange, now: int) -> ClientRecord:
    blocked_at = record.blocked_at
    if change.blocked is not None:
        blocked_at = (blocked_at or now) if change.blocked else None
    return replace(
        record,
        client=replace(record.client, **change.definition),
        label=record.label if change.label is None else change.label,
        scope_limit=record.scope_limit if change.scope_limit is None else change.scope_limit,
        blocked_at=blocked_at,
    )


def _escaped(text: str) -> str:
    """`%` and `_` of a search are characters like any other."""
    return "".join(f"\\{character}" if character in "\\%_" else character for character in text)


def _metadata(client: Client) -> str:
    kept = _Metadata(
        redirect_uris=client.redirect_uris,
        grant_types=client.grant_types,
        token_endpoint_auth_method=client.token_endpoint_auth_method,
        verified_host=client.verified_host,
        jwks=tuple(dict(key) for key in client.jwks),
        jwks_uri=client.jwks_uri,
        access_token_format=client.access_token_format,
        require_pushed_authorization_requests=client.require_pushed_authorization_requests,
        dpop_bound_access_tokens=client.dpop_bound_access_tokens,
    )
    return msgspec.json.encode(kept).decode()


def _record(row: Row) -> ClientRecord:
    values = dict(row)
    metadata = msgspec.json.decode(values.pop("metadata"), type=_Metadata)
    client = Client(
        client_id=values.pop("client_id"),
        client_name=values.pop("client_name"),
        origin=values.pop("origin"),
        secret_hash=values.pop("secret_hash"),
        **msgspec.structs.asdict(metadata),
    )
    return ClientRecord(client=client, **values)
