"""Migrations: applied once whoever comes first, all or nothing; and what `prepare` and `seed` do on top of them."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing, suppress
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from bifrost import bootstrap
from bifrost.app import build
from bifrost.base.errors import DomainError
from bifrost.base.sealing import KeyRing
from bifrost.settings import ConfigurationError, Settings, load
from bifrost.storage import migrate as migrate_module
from bifrost.storage import postgresql
from bifrost.storage.database import Database, StorageUnavailable
from bifrost.storage.migrate import migrate, migrations
from bifrost.upstreams.errors import UpstreamInvalid
from tests.contract._stores import CONSTRAINT_BROKEN, database, fetch, opened, rows, together
from tests.support.clock import START, FakeClock
from tests.support.databases import fresh_postgresql
from tests.support.gateway import configuration

pytestmark = pytest.mark.anyio

RING, OTHER_RING = KeyRing([b"k" * 32]), KeyRing([b"o" * 32])
ROTATED = KeyRing([b"o" * 32, b"k" * 32])
VALUES = [f"sk-bf-{letter * 40}" for letter in "ab"]


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    """No file yet."""
    return f"sqlite:///{tmp_path / 'bifrost.db'}"


@pytest.fixture
def postgresql_url(postgresql_directory: Path) -> str:
    """A database with nothing in it."""
    return fresh_postgresql(postgresql_directory)


@pytest.mark.parametrize("dialect", ["sqlite", "postgresql"])
def test_migrations_are_numbered_without_gaps(dialect: str) -> None:
    """Architecture: numbered, forward only; what is written twice is one migration."""
    found = list(migrations(dialect))
    assert [name for _, name, _ in found] == [name for _, name, _ in migrations()]
    assert [number for number, _, _ in found] == list(range(1, len(found) + 1))
    assert all(name.startswith(f"{number:04}_") for number, name, _ in found)


async def test_a_second_run_finds_nothing_to_do(database_url: str) -> None:
    """Contract §10: both databases bring themselves up to date at every start."""
    names = [name for _, name, _ in migrations()]
    made = database(database_url)
    await made.open()
    try:
        assert await migrate(made, FakeClock()) == names
        assert await migrate(made, FakeClock(START + 1)) == []
        known = await rows(made, "SELECT number, name, applied_at FROM schema_migrations ORDER BY number")
        assert known == [{"number": number, "name": name, "applied_at": START} for number, name, _ in migrations()]
    finally:
        await made.close()


async def test_what_was_written_survives_the_next_start(database_url: str) -> None:
    """Contract §10: a migration that was applied is never applied again."""
    async with opened(database_url) as first, first.transaction() as connection:
        await fetch(connection, "INSERT INTO installation (name, value) VALUES ('test', 'kept')")
    async with opened(database_url) as second:
        assert [row["value"] for row in await rows(second, "installation")] == ["kept"]


async def test_of_processes_that_migrate_at_once_one_does_it(database_url: str) -> None:
    """TC-218, contract §10: replicas and workers start together, also on an empty database."""
    several = [database(database_url) for _ in range(6)]
    await together(made.open() for made in several)
    try:
        applied = await together(migrate(made, FakeClock()) for made in several)
        assert sorted(applied, key=len)[:-1] == [[]] * 5
        assert max(applied, key=len) == [name for _, name, _ in migrations()]
        assert len(await rows(several[0], "schema_migrations")) == len(list(migrations()))
    finally:
        await together(made.close() for made in several)


async def test_a_migration_that_breaks_leaves_the_schema_as_it_was(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """TC-218, architecture: each migration is a transaction; a failed upgrade can be repaired and started again."""
    script = "CREATE TABLE half (a TEXT PRIMARY KEY);\nINSERT INTO half VALUES ('1');\nINSERT INTO half VALUES ('1');\n"

    def with_a_broken_one(dialect: str) -> Iterator[tuple[int, str, str]]:
        yield from migrations(dialect)
        yield 9_999, "9999_broken", script

    async with opened(database_url) as made:
        before = await _columns(made)
        with monkeypatch.context() as patched:
            patched.setattr(migrate_module, "migrations", with_a_broken_one)
            with pytest.raises(CONSTRAINT_BROKEN):
                await migrate(made, FakeClock())
        assert await _columns(made) == before
        assert await migrate(made, FakeClock()) == []


async def test_a_migration_may_take_longer_than_a_request(postgresql_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ours: with many rows it does, and whoever comes second waits; neither is ended by the limits of requests."""
    monkeypatch.setattr(postgresql, "STATEMENT_MILLISECONDS", 200)

    async def migration() -> None:
        async with opened(postgresql_url) as made, made.migration_lock() as connection:
            await made.run_script(connection, "SELECT pg_sleep(0.4)")

    await together([migration(), migration()])


async def test_both_databases_have_the_same_tables_and_columns(sqlite_url: str, postgresql_url: str) -> None:
    """Contract §10: both are first-class."""
    async with opened(sqlite_url) as one, opened(postgresql_url) as other:
        assert await _columns(one) == await _columns(other)


async def test_rows_that_belong_to_nothing_are_refused_by_both_databases(database_url: str) -> None:
    """Architecture: a token without its grant can never be written (SQLite checks only when told to)."""
    async with opened(database_url) as made:
        with pytest.raises(CONSTRAINT_BROKEN, match=r"(?i)foreign key"):
            async with made.transaction() as connection:
                await fetch(
                    connection,
                    "INSERT INTO access_tokens (token_hash, grant_id, scope, created_at, expires_at) "
                    "VALUES ('h', 'no-such-grant', '', 0, 0)",
                )


async def _columns(made: Database) -> set[tuple[str, str]]:
    if made.dialect == "postgresql":
        found = await rows(
            made,
            "SELECT table_name AS t, column_name AS c FROM information_schema.columns WHERE table_schema = 'public'",
        )
    else:
        found = await rows(
            made,
            "SELECT m.name AS t, p.name AS c FROM sqlite_master m JOIN pragma_table_info(m.name) p "
            "WHERE m.type = 'table'",
        )
    return {(row["t"], row["c"]) for row in found}


def _settings(url: str, directory: Path, **sections: Any) -> Settings:
    return load(None, {}, configuration(url, directory, **sections))


async def _prepare(settings: Settings, ring: KeyRing) -> None:
    made = bootstrap.database(settings)
    try:
        await bootstrap.prepare(settings, made, FakeClock(), ring)
    finally:
        await made.close()


async def test_a_database_of_another_key_ring_is_refused(database_url: str, tmp_path: Path) -> None:
    """Contract §11: refused with one sentence that says where the key is looked for; nothing is lost by it."""
    settings = _settings(database_url, tmp_path)
    await _prepare(settings, RING)
    for _ in range(2):
        with pytest.raises(ConfigurationError, match=r"another encryption key than the one in .*keyring\.json"):
            await _prepare(settings, OTHER_RING)
    await _prepare(settings, RING)


async def test_a_database_that_a_newer_version_changed_is_refused(database_url: str, tmp_path: Path) -> None:
    """Architecture: migrations go forward only, so an older version would use tables that it does not know."""
    settings = _settings(database_url, tmp_path)
    await _prepare(settings, RING)
    async with opened(database_url) as newer, newer.transaction() as connection:
        await newer.run_script(connection, "INSERT INTO schema_migrations VALUES (9999, '9999_later', 0);")
    with pytest.raises(ConfigurationError, match=r"newer version .migration 9999;.*the backup from before the update"):
        await _prepare(settings, RING)


async def test_a_rotated_ring_opens_what_the_old_key_sealed(database_url: str, tmp_path: Path) -> None:
    """Contract §8: the ring rotates by a new key in front; the old one may not be dropped while it is needed."""
    settings = _settings(database_url, tmp_path)
    await _prepare(settings, RING)
    await _prepare(settings, ROTATED)
    with pytest.raises(ConfigurationError):
        await _prepare(settings, OTHER_RING)


async def test_of_rings_that_meet_at_an_empty_database_one_stays(database_url: str, tmp_path: Path) -> None:
    """Contract §10: replicas that were given different keys must not both start."""
    settings = _settings(database_url, tmp_path)
    outcomes = await asyncio.gather(
        *(_prepare(settings, ring) for ring in (RING, OTHER_RING) * 2), return_exceptions=True
    )
    assert sorted(isinstance(outcome, ConfigurationError) for outcome in outcomes) == [False, False, True, True]
    assert (outcomes[0] is None) is (outcomes[2] is None)


def _file(*, swapped: bool = False) -> dict[str, Any]:
    """Two keys and two upstreams; `swapped` gives each the other's value and slug."""
    values, slugs = VALUES[::-1] if swapped else VALUES, ["b", "a"] if swapped else ["a", "b"]
    return {
        "governance": {
            "virtual_keys": [{"name": f"key {index}", "value": value} for index, value in enumerate(values)]
        },
        "mcp": {
            "client_configs": [
                {"name": f"upstream{index}", "endpoint_slug": slug, "connection_string": "https://up.example/mcp"}
                for index, slug in enumerate(slugs)
            ]
        },
    }


async def _start(settings: Settings) -> None:
    """What every replica does before it listens."""
    gateway = build(settings, clock=FakeClock(), ring=RING)
    try:
        await bootstrap.prepare(settings, gateway.database, FakeClock(), RING)
        await bootstrap.seed(settings, gateway, RING)
    finally:
        await gateway.database.close()


async def test_a_start_that_is_refused_leaves_the_database_closed(database_url: str, tmp_path: Path) -> None:
    """Contract §10: whoever runs the application in a process of its own keeps no connection of one that never ran."""
    program = {"name": "notes", "connection_type": "stdio", "stdio_config": {"command": "/bin/sh"}}
    settings = _settings(database_url, tmp_path, mcp={"client_configs": [program]})
    gateway = build(settings, clock=FakeClock(), ring=RING)
    with pytest.raises(UpstreamInvalid):
        async with gateway.lifespan():
            pytest.fail("it has started")
    with pytest.raises(StorageUnavailable):
        async with gateway.database.transaction():
            pytest.fail("it is open")


async def test_replicas_that_start_at_once_with_the_same_file_all_start(database_url: str, tmp_path: Path) -> None:
    """Contract §10: any number of replicas on one database."""
    settings = _settings(database_url, tmp_path, **_file())
    outcomes = await asyncio.gather(*(_start(settings) for _ in range(6)), return_exceptions=True)
    assert outcomes == [None] * 6
    async with opened(database_url) as made:
        assert [row["name"] for row in await rows(made, "SELECT name FROM virtual_keys ORDER BY name")] == [
            "key 0",
            "key 1",
        ]
        assert len(await rows(made, "upstreams")) == 2


async def test_a_new_file_that_another_process_is_just_writing_is_opened_when_it_is_done(sqlite_url: str) -> None:
    """Contract §10, several worker processes: changing a new file to WAL fails at once while another one writes it."""
    with closing(sqlite3.connect(sqlite_url.removeprefix("sqlite:///"), isolation_level=None)) as writing:
        writing.execute("BEGIN IMMEDIATE")
        made = database(sqlite_url)
        opening = asyncio.create_task(made.open())
        try:
            finished, _ = await asyncio.wait({opening}, timeout=0.2)
            assert not finished, "it gave up, or opened what cannot be changed yet"
            writing.execute("COMMIT")
            await opening
        finally:
            await asyncio.wait({opening})
            await made.close()


@pytest.mark.parametrize("section", ["mcp", "governance"])
async def test_two_entries_of_the_file_may_swap_what_is_unique(database_url: str, tmp_path: Path, section: str) -> None:
    """Contract §10: a start follows the file or refuses it in one sentence; a database's own error is neither."""
    await _start(_settings(database_url, tmp_path, **{section: _file()[section]}))
    changed = _settings(database_url, tmp_path, **{section: _file(swapped=True)[section]})
    with suppress(ConfigurationError, DomainError):
        await _start(changed)


async def test_credentials_of_before_they_had_ids_get_one_each(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Contract §9: stable opaque ids, for what an older version has stored as well."""
    async with _brought_up_to_date(database_url, monkeypatch, "_credential_life", _OLDER_CREDENTIALS) as made:
        found = {row["owner_id"]: row for row in await rows(made, "upstream_credentials")}
        assert len({row["id"] for row in found.values()}) == 3
        assert all(row["id"].startswith("cred_") for row in found.values())
        assert {owner: row["lasting"] for owner, row in found.items()} == {
            "ann": "active",
            "bob": "needs_reauth",
            "eve": "active",
        }


async def test_rows_of_tables_that_are_built_anew_stay_as_they_were(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Architecture: nobody is signed out by an upgrade, and what the tables promise they promise afterwards too."""
    async with _brought_up_to_date(database_url, monkeypatch, "_fewer_pages", _OLDER_TOKENS) as made:
        assert [(row["token_hash"], row["scope"], row["jkt"]) for row in await rows(made, "access_tokens")] == [
            ("a", "mcp:read", "thumb")
        ]
        (refresh,) = await rows(made, "refresh_tokens")
        assert (refresh["token_hash"], refresh["used_at"], refresh["successor_hash"]) == ("r", 5, "next")
        assert (refresh["replays"], refresh["answered_again"], refresh["presented_by_others"]) == (1, 2, 3)
        assert [row["proof"] for row in await rows(made, "known_browsers")] == ["sk-bf-"]
        assert [(row["number"], row["id"]) for row in await rows(made, "audit_events")] == [(1, "aud_1"), (2, "aud_2")]

        before = await rows(made, "change_marks")
        async with made.transaction() as connection:
            await fetch(connection, "UPDATE access_tokens SET expires_at = 6")
        assert await rows(made, "change_marks") != before
        for change in ("DELETE FROM audit_events", "UPDATE audit_events SET actor = 'nobody'"):
            with pytest.raises((sqlite3.IntegrityError, asyncpg.RaiseError), match="only added"):
                async with made.transaction() as connection:
                    await fetch(connection, change)
        async with made.transaction() as connection:
            await fetch(connection, "DELETE FROM grants")
        assert not await rows(made, "access_tokens")
        assert not await rows(made, "refresh_tokens")


@asynccontextmanager
async def _brought_up_to_date(
    url: str, monkeypatch: pytest.MonkeyPatch, name: str, script: str
) -> AsyncIterator[Database]:
    """A database in which this script was run just before the migration whose name ends so."""
    made = database(url)
    everything = list(migrations(made.dialect))
    first = next(number for number, known, _ in everything if known.endswith(name))
    await made.open()
    try:
        with monkeypatch.context() as patched:
            patched.setattr(migrate_module, "migrations", lambda _dialect: iter(everything[: first - 1]))
            await migrate(made, FakeClock())
        async with made.transaction() as connection:
            await made.run_script(connection, script)
        await migrate(made, FakeClock())
        yield made
    finally:
        await made.close()


_OLDER_CREDENTIALS = """
INSERT INTO upstreams (id, name, endpoint_slug, connection_type, connection_string, auth_type, sealed_headers,
    tools_to_execute, allow_on_all_virtual_keys, tool_execution_timeout, disabled, config_mac, created_at, updated_at)
VALUES ('up_1', 'up', 'up', 'http', 'https://up.example', 'per_user_oauth', '', '[]', TRUE, 30, FALSE, '', 1, 1);
INSERT INTO upstream_credentials
    (upstream_id, owner_kind, owner_id, sealed, state, reason, more_scope, version, created_at, updated_at)
VALUES ('up_1', 'vk', 'ann', 'x', 'active', '', '', 1, 5, 5), ('up_1', 'vk', 'bob', 'x', 'needs_reauth', 'r', '', 1, 5, 5),
    ('up_1', 'session', 'eve', 'x', 'active', '', '', 1, 1, 1);
"""

_OLDER_TOKENS = """
INSERT INTO grants (id, client_id, identity_kind, identity_id, scope, resource, created_at, expires_at)
VALUES ('grant_1', 'bfcl_1', 'vk', 'ann', 'mcp:read', '/mcp', 1, 9);
INSERT INTO access_tokens (token_hash, grant_id, scope, jkt, created_at, expires_at)
VALUES ('a', 'grant_1', 'mcp:read', 'thumb', 1, 9);
INSERT INTO refresh_tokens (token_hash, grant_id, jkt, created_at, expires_at, used_at, successor_hash, replays,
    answered_again, presented_by_others)
VALUES ('r', 'grant_1', '', 1, 9, 5, 'next', 1, 2, 3);
INSERT INTO known_browsers (person_hash, identity_kind, identity_id, proof, expires_at)
VALUES ('p', 'vk', 'ann', 'sk-bf-', 9);
INSERT INTO audit_events (id, at, event, actor, target, result, client_address, event_id, details)
VALUES ('aud_1', 1, 'e', 'a', 't', 'success', '', '', '{}'), ('aud_2', 2, 'e', 'a', 't', 'success', '', '', '{}');
"""
