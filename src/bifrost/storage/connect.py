"""Connect sessions in SQL."""

from bifrost.authserver.connect import ConnectSession
from bifrost.identity.models import Identity
from bifrost.storage.database import Database, queries


class SqlConnectStore:
    def __init__(self, database: Database) -> None:
        self._database = database
        self._queries = queries("upstream_oauth", database.driver)

    async def add_connect_session(self, session: ConnectSession, now: int) -> None:
        async with self._database.transaction() as connection:
            await self._queries.add_connect_session(
                connection,
                id=session.id,
                identity_kind=session.identity.kind,
                identity_id=session.identity.id,
                created_at=now,
                expires_at=session.expires_at,
            )

    async def connect_session(self, session_id: str) -> ConnectSession | None:
        async with self._database.read() as connection:
            row = await self._queries.connect_session(connection, id=session_id)
        if row is None:
            return None
        return ConnectSession(
            id=row["id"],
            identity=Identity(row["identity_kind"], row["identity_id"]),
            expires_at=row["expires_at"],
            browser_hash=row["browser_hash"],
        )

    async def prove_connect_session(self, session_id: str, browser_hash: str, now: int) -> bool:
        async with self._database.transaction() as connection:
            proven = await self._queries.prove_connect_session(
                connection, id=session_id, browser_hash=browser_hash, now=now
            )
        return proven is not None

    async def browser_gave_consent(self, browser_hash: str, identity: Identity, now: int) -> bool:
        async with self._database.read() as connection:
            found = await self._queries.browser_gave_consent(
                connection,
                browser_hash=browser_hash,
                identity_kind=identity.kind,
                identity_id=identity.id,
                now=now,
            )
        return found is not None
