"""Remembered consents in SQL."""

from typing import Any

import msgspec

from bifrost.authserver.models import (
    KNOWN_BROWSER_SECONDS,
    REMEMBERED_SECONDS,
    Approval,
    ConsentPage,
    RememberedConsent,
)
from bifrost.authserver.remembered import joined
from bifrost.base import ids
from bifrost.base.clock import SECOND
from bifrost.identity.models import Identity
from bifrost.storage.database import Connection, Database, Row, queries


class SqlConsentStore:
    def __init__(self, database: Database) -> None:
        self._database = database
        self._queries = queries("consents", database.driver)

    async def remember(self, connection: Connection, approval: Approval, now: int) -> None:
        """Inside the transaction that writes the grant."""
        given = approval.consent
        owner = {"identity_kind": given.identity.kind, "identity_id": given.identity.id}
        row = await self._queries.consent(connection, **owner, client_id=given.client_id, now=now)
        kept = joined(_consent(dict(row)) if row else None, given)
        await self._queries.remember_consent(
            connection,
            **owner,
            id=ids.new_id("consent_"),
            client_id=kept.client_id,
            scope=kept.scope,
            resources=msgspec.json.encode(kept.resources).decode(),
            redirect_hosts=msgspec.json.encode(kept.redirect_hosts).decode(),
            keys_hash=kept.keys_hash,
            now=now,
            expires_at=now + REMEMBERED_SECONDS * SECOND,
        )
        await self._queries.know_browser(
            connection,
            **owner,
            person_hash=approval.person_hash,
            proof=approval.proof,
            expires_at=now + KNOWN_BROWSER_SECONDS * SECOND,
        )

    async def consents_in_browser(
        self, person_hash: str, client_id: str, now: int
    ) -> list[tuple[RememberedConsent, str]]:
        async with self._database.read() as connection:
            rows = [
                dict(row)
                async for row in self._queries.consents_in_browser(
                    connection, person_hash=person_hash, client_id=client_id, now=now
                )
            ]
        return [(_consent(row), str(row["proof"])) for row in rows]

    async def consents(self, limit: int, offset: int, now: int) -> ConsentPage:
        async with self._database.read() as connection:
            rows = [dict(row) async for row in self._queries.consents(connection, limit=limit, offset=offset, now=now)]
            total = await self._queries.consent_count(connection, now=now)
        names = {row["client_id"]: row.pop("label") or row["client_name"] for row in rows}
        return ConsentPage(consents=tuple(_consent(row) for row in rows), names=names, total=total)

    async def forget_consent(self, consent_id: str) -> bool:
        async with self._database.transaction() as connection:
            return await self._queries.forget_consent(connection, id=consent_id) is not None

    async def forget_consent_of(self, identity: Identity, client_id: str) -> None:
        async with self._database.transaction() as connection:
            await self._queries.forget_consent_of(
                connection, identity_kind=identity.kind, identity_id=identity.id, client_id=client_id
            )

    async def sweep(self, connection: Connection, before: int) -> None:
        await self._queries.sweep_consents(connection, before=before)
        await self._queries.sweep_browsers(connection, before=before)


def _consent(row: Row | dict[str, Any]) -> RememberedConsent:
    return RememberedConsent(
        id=row["id"],
        identity=Identity(row["identity_kind"], row["identity_id"]),
        client_id=row["client_id"],
        scope=row["scope"],
        resources=msgspec.json.decode(row["resources"], type=tuple[str, ...]),
        redirect_hosts=msgspec.json.decode(row["redirect_hosts"], type=tuple[str, ...]),
        keys_hash=row["keys_hash"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
    )
