"""PostgreSQL that is cut off, stalls or breaks off: over a proxy of our own that can stop passing bytes on.

A connection that is closed says so; one into nothing, as behind a firewall that forgot it, says nothing for minutes.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from bifrost.storage import postgresql
from bifrost.storage.database import Database, StorageUnavailable
from tests.contract._stores import NOW, consented, fetch, flow, grants_store, opened, rows, tokens

pytestmark = pytest.mark.anyio

SHORT_MILLISECONDS = 300
BOUNDED_SECONDS = 8.0


@dataclass
class Proxy:
    """Between the gateway and PostgreSQL. Not `speaking`: nothing is passed on in either direction, and nothing is closed."""

    port: int
    speaking: asyncio.Event = field(default_factory=asyncio.Event)
    cut_at: bytes = b""
    """Break the connection off when the gateway sends this, before the server sees it or, with `after`, once it has."""
    after: bool = False
    writers: list[asyncio.StreamWriter] = field(default_factory=list)

    def cut(self) -> None:
        for writer in self.writers:
            writer.transport.abort()
        self.writers.clear()


@asynccontextmanager
async def proxied(postgresql_url: str) -> AsyncIterator[tuple[Proxy, str]]:
    parts = urlsplit(postgresql_url)
    directory = parse_qs(parts.query)["host"][0]
    target = str(Path(directory) / ".s.PGSQL.5432")
    proxy = Proxy(0)
    proxy.speaking.set()

    async def passed(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, to_server: bool) -> None:
        try:
            while data := await reader.read(65_536):
                await proxy.speaking.wait()
                hit = to_server and proxy.cut_at and proxy.cut_at in data
                if hit and not proxy.after:
                    proxy.cut()
                    return
                if hit:
                    proxy.speaking.clear()  # the answer stays on the way
                writer.write(data)
                await writer.drain()
                if hit:
                    await asyncio.sleep(0.1)
                    proxy.cut()
                    proxy.speaking.set()
        except (ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there_reader, there_writer = await asyncio.open_unix_connection(target)
        proxy.writers += [writer, there_writer]
        await asyncio.gather(
            passed(reader, there_writer, to_server=True), passed(there_reader, writer, to_server=False)
        )

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    proxy.port = server.sockets[0].getsockname()[1]
    try:
        yield proxy, f"postgresql://postgres@127.0.0.1:{proxy.port}{parts.path}?sslmode=disable"
    finally:
        proxy.speaking.set()
        server.close()
        proxy.cut()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgresql, "STATEMENT_MILLISECONDS", SHORT_MILLISECONDS)
    monkeypatch.setattr(postgresql, "CONNECT_SECONDS", SHORT_MILLISECONDS / 1_000)


async def _outcome(database: Database) -> str:
    try:
        await grants_store(database).pending_flow("flow_none")
    except StorageUnavailable:
        return "unavailable"
    return "fine"


async def _heals(database: Database, at_once: int) -> None:
    async with asyncio.timeout(BOUNDED_SECONDS):
        while "unavailable" in await asyncio.gather(*(_outcome(database) for _ in range(at_once))):  # noqa: ASYNC110
            await asyncio.sleep(0.05)


@pytest.mark.usefixtures("impatient")
async def test_a_database_that_is_cut_off_without_a_word_is_unavailable_and_comes_back(postgresql_url: str) -> None:
    """TC-205, TC-204: within a bounded time for everybody, also beyond the number of connections; then it heals."""
    async with proxied(postgresql_url) as (proxy, url), opened(url) as database:
        at_once = 2 * postgresql.POOL_SIZE
        assert await asyncio.gather(*(_outcome(database) for _ in range(at_once))) == ["fine"] * at_once
        proxy.speaking.clear()
        began = time.monotonic()
        outcomes = await asyncio.gather(*(_outcome(database) for _ in range(at_once)))
        assert time.monotonic() - began < BOUNDED_SECONDS
        assert outcomes == ["unavailable"] * at_once
        began = time.monotonic()
        assert await asyncio.gather(*(_outcome(database) for _ in range(at_once))) == ["unavailable"] * at_once
        assert time.monotonic() - began < BOUNDED_SECONDS
        proxy.speaking.set()
        await _heals(database, at_once)


@pytest.mark.usefixtures("impatient")
async def test_a_connection_that_goes_silent_in_a_transaction_leaves_nothing(postgresql_url: str) -> None:
    """TC-205, TC-203: the caller is told in time, its connection is given up, and the same request works again."""
    async with proxied(postgresql_url) as (proxy, url), opened(url) as database, opened(postgresql_url) as other:
        given, code = await consented(grants_store(database))

        async def silenced_halfway() -> None:
            async with database.transaction() as connection:
                await fetch(connection, "INSERT INTO installation (name, value) VALUES ('test', 'written')")
                proxy.speaking.clear()
                await fetch(connection, "SELECT 1")

        began = time.monotonic()
        with pytest.raises(StorageUnavailable):
            await silenced_halfway()
        assert time.monotonic() - began < BOUNDED_SECONDS
        proxy.speaking.set()
        await _heals(database, 1)
        assert await grants_store(database).redeem_code(code.code_hash, tokens(given.id), NOW) is True
        assert await rows(other, "SELECT * FROM installation WHERE name = 'test'") == []


@pytest.mark.parametrize("after", [False, True], ids=["before the server saw it", "after it"])
async def test_a_connection_lost_at_the_commit_gives_a_code_s_tokens_once_at_most(
    postgresql_url: str, *, after: bool
) -> None:
    """TC-203: nobody knows whether it was written; asked again, it works or the code is used, and never both."""
    async with proxied(postgresql_url) as (proxy, url), opened(url) as database, opened(postgresql_url) as other:
        given, code = await consented(grants_store(database))
        proxy.cut_at, proxy.after = b"COMMIT;", after
        with pytest.raises(StorageUnavailable):
            await grants_store(database).redeem_code(code.code_hash, tokens(given.id), NOW)
        proxy.cut_at = b""
        written = len(await rows(other, "SELECT * FROM access_tokens"))
        assert written == int(after)
        again = await grants_store(database).redeem_code(code.code_hash, tokens(given.id), NOW)
        assert again is not after
        assert len(await rows(other, "SELECT * FROM access_tokens")) == 1
        used = await grants_store(other).authorization_code(code.code_hash)
        assert used
        assert used.used_at == NOW


@pytest.mark.parametrize("state", ["40001", "40P01", "55P03", "57P01", "53300", "08006"])
async def test_what_postgresql_may_refuse_at_any_time_is_storage_that_does_not_answer(
    postgresql_url: str, state: str
) -> None:
    """TC-206: serialization failures, deadlocks, locks, shutdowns, full servers: 503 and never a fault of ours."""
    async with opened(postgresql_url) as database:
        pending = flow()

        async def refused_halfway() -> None:
            async with database.transaction() as connection:
                await fetch(connection, "INSERT INTO installation (name, value) VALUES ('test', 'written')")
                await fetch(connection, f"DO $$ BEGIN RAISE EXCEPTION 'x' USING ERRCODE = '{state}'; END $$")

        with pytest.raises(StorageUnavailable):
            await refused_halfway()
        assert await rows(database, "SELECT * FROM installation WHERE name = 'test'") == []
        await grants_store(database).add_pending_flow(pending)


async def test_of_two_transactions_that_wait_for_each_other_one_goes_on(postgresql_url: str) -> None:
    """TC-206: a real deadlock: PostgreSQL ends one, which is told to come again; the other is written."""
    async with opened(postgresql_url) as one, opened(postgresql_url) as other:
        async with one.transaction() as connection:
            await fetch(connection, "INSERT INTO installation (name, value) VALUES ('a', '0'), ('b', '0')")
        locked = asyncio.Barrier(2)

        async def crossing(database: Database, *statements: str) -> str:
            try:
                async with database.transaction() as connection:
                    await fetch(connection, statements[0])
                    await locked.wait()
                    await fetch(connection, statements[1])
            except StorageUnavailable:
                return "unavailable"
            return "fine"

        a, b = (f"UPDATE installation SET value = '1' WHERE name = '{name}'" for name in "ab")  # noqa: S608
        outcomes = await asyncio.gather(crossing(one, a, b), crossing(other, b, a))
        assert sorted(outcomes) == ["fine", "unavailable"]
        values = await rows(one, "SELECT value FROM installation WHERE name IN ('a', 'b')")
        assert [row["value"] for row in values] == ["1", "1"]
