"""The administrators' store in SQL."""

from dataclasses import asdict

from bifrost.identity.errors import AdministratorTokenTaken
from bifrost.identity.models import AdminSession, AdminToken
from bifrost.storage.database import Database, queries


class SqlAdministratorStore:
    def __init__(self, database: Database) -> None:
        self._database = database
        self._queries = queries("administrators", database.driver)
        self._guesses = queries("authserver", database.driver)

    async def add_token(self, token: AdminToken, token_hash: str) -> bool:
        async with self._database.transaction() as connection:
            if await self._queries.add_token(connection, **asdict(token), token_hash=token_hash) is None:
                return False
            await self._queries.end_first_link(connection)
        return True

    async def token_by_hash(self, token_hash: str) -> AdminToken | None:
        async with self._database.read() as connection:
            row = await self._queries.token_by_hash(connection, token_hash=token_hash)
        return AdminToken(**dict(row)) if row else None

    async def tokens(self) -> list[AdminToken]:
        async with self._database.read() as connection:
            return [AdminToken(**dict(row)) async for row in self._queries.tokens(connection)]

    async def remove_token(self, id_or_name: str) -> AdminToken | None:
        async with self._database.transaction() as connection:
            row = await self._queries.remove_token(connection, wanted=id_or_name)
        return AdminToken(**dict(row)) if row else None

    async def add_session(self, session_hash: str, session: AdminSession) -> bool:
        async with self._database.transaction() as connection:
            # a removal waits for this, or this for the removal: no session outlives its token
            if session.token_id and not await self._queries.lock_token(connection, token_id=session.token_id):
                return False
            values = {name: value for name, value in asdict(session).items() if name != "token_name"}
            await self._queries.add_session(connection, session_hash=session_hash, **values)
        return True

    async def session(self, session_hash: str) -> AdminSession | None:
        async with self._database.read() as connection:
            row = await self._queries.session(connection, session_hash=session_hash)
        return AdminSession(**(dict(row) | {"token_name": row["token_name"] or ""})) if row else None

    async def session_seen(self, session_hash: str, now: int) -> None:
        async with self._database.transaction() as connection:
            await self._queries.session_seen(connection, session_hash=session_hash, now=now)

    async def end_sessions(self, session_hashes: tuple[str, ...]) -> None:
        async with self._database.transaction() as connection:
            for session_hash in session_hashes:
                await self._queries.end_session(connection, session_hash=session_hash)

    async def first_link(self, link_hash: str, expires_at: int, now: int) -> bool:
        async with self._database.transaction() as connection:
            kept = await self._queries.first_link(connection, link_hash=link_hash, expires_at=expires_at, now=now)
        return kept is not None

    async def new_link(self, link_hash: str, expires_at: int, now: int) -> None:
        async with self._database.transaction() as connection:
            await self._queries.new_link(connection, link_hash=link_hash, expires_at=expires_at, now=now)

    async def end_first_link(self) -> None:
        async with self._database.transaction() as connection:
            await self._queries.end_first_link(connection)

    async def link_is_open(self, link_hash: str, now: int) -> bool:
        async with self._database.read() as connection:
            return await self._queries.open_link(connection, link_hash=link_hash, now=now) is not None

    async def use_link(self, link_hash: str, token: AdminToken, token_hash: str, now: int) -> bool:
        async with self._database.transaction() as connection:
            if await self._queries.use_link(connection, link_hash=link_hash, now=now) is None:
                return False
            if await self._queries.add_token(connection, **asdict(token), token_hash=token_hash) is None:
                # what is raised takes the consumption of the link back as well
                raise AdministratorTokenTaken(f"There is an administrator's token of this name already: {token.name}")
        return True

    async def count_guess(self, bucket: str, *, limit: int, until: int, now: int) -> bool:
        async with self._database.transaction() as connection:
            counted = await self._guesses.count_key_failure(
                connection, bucket=bucket, limit=limit, until=until, now=now
            )
        return counted is not None

    async def guesses_locked(self, bucket: str, *, limit: int, now: int) -> bool:
        async with self._database.read() as connection:
            locked = await self._guesses.key_guess_lock(connection, bucket=bucket, other=bucket, limit=limit, now=now)
        return locked is not None

    async def sweep(self, before: int) -> None:
        """Delete what expired before this time."""
        async with self._database.transaction() as connection:
            await self._queries.sweep_sessions(connection, before=before)
            await self._queries.sweep_links(connection, before=before)
