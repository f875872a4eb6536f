"""Storage that does not answer is one domain error, whatever the driver says, and it heals without a restart."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bifrost.audit.models import AuditFilter, AuditRow
from bifrost.authserver.models import GrantFilter, ReplayRules
from bifrost.base.errors import Unavailable
from bifrost.governance.models import KeyChanges, VirtualKey
from bifrost.governance.usage import Take, Window
from bifrost.identity.models import AdminSession, AdminToken
from bifrost.storage import postgresql, sqlite
from bifrost.storage.administrators import SqlAdministratorStore
from bifrost.storage.audit import SqlAuditStore
from bifrost.storage.authserver import SqlAuthServerStore
from bifrost.storage.database import Database, StorageUnavailable
from bifrost.storage.governance import SqlGovernanceStore
from bifrost.storage.key_administration import SqlKeyAdministrationStore
from bifrost.storage.migrate import migrate
from bifrost.storage.upstreams import SqlUpstreamStore
from bifrost.storage.usage import SqlUsageStore
from bifrost.upstreams.models import Upstream
from tests.contract._stores import (
    KEY,
    MINUTE,
    NOW,
    authserver_store,
    code_of,
    consented,
    database,
    fetch,
    flow,
    grant,
    grants_store,
    opened,
    redeemed,
    rows,
    together,
    tokens,
)
from tests.support.clock import FakeClock
from tests.support.servers import free_port

pytestmark = pytest.mark.anyio

HASH = "0" * 64
LOCKER = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN EXCLUSIVE")
print("locked", flush=True)
sys.stdin.read()
"""
_VIRTUAL_KEY = VirtualKey(
    id="vk", name="vk", description="", value_hint="", is_active=True, expires_at=None, mcp_configs=(),
    created_at=NOW, updated_at=NOW,
)  # fmt: skip
_UPSTREAM = Upstream(
    id="up", name="up", endpoint_slug="up", connection_type="http", connection_string="https://up.example/mcp",
    auth_type="none", tools_to_execute=(), allow_on_all_virtual_keys=False, tool_execution_timeout=30, disabled=False,
)  # fmt: skip

_ADMIN = AdminToken(id="adm", name="adm", created_at=NOW)
_SESSION = AdminSession(token_id=None, token_name="", configured_mac="mac", created_at=NOW, seen_at=NOW, expires_at=NOW)
_TAKE = Take(name="requests:1m", amount=1, limit=5, resets_at=NOW + MINUTE)
_AUDIT = AuditRow(id="aud", at=NOW, event="e", actor="a", target="t", result="success", client_address="", event_id="")


async def _within(database: Database, method: Callable[..., Awaitable[object]], *values: object) -> object:
    """A method that belongs into the transaction of another."""
    async with database.transaction() as connection:
        return await method(connection, *values)


CALLS: dict[str, Callable[[Database], Awaitable[object]]] = {
    "ping": lambda d: grants_store(d).ping(),
    "add_pending_flow": lambda d: grants_store(d).add_pending_flow(flow()),
    "give_way": lambda d: grants_store(d).give_way("bfcl_client", NOW),
    "pending_flow": lambda d: grants_store(d).pending_flow("flow"),
    "choose_identity": lambda d: grants_store(d).choose_identity("flow", KEY, NOW),
    "submit_flow": lambda d: grants_store(d).submit_flow("flow", grant(), code_of(grant()), NOW),
    "deny_flow": lambda d: grants_store(d).deny_flow("flow", NOW),
    "authorization_code": lambda d: grants_store(d).authorization_code(HASH),
    "count_failed_attempt": lambda d: grants_store(d).count_failed_attempt(HASH),
    "redeem_code": lambda d: grants_store(d).redeem_code(HASH, tokens("grant"), NOW),
    "access_token": lambda d: grants_store(d).access_token(HASH),
    "refresh_token": lambda d: grants_store(d).refresh_token(HASH),
    "rotate_refresh_token": lambda d: grants_store(d).rotate_refresh_token(HASH, tokens("grant"), NOW),
    "end_access_token": lambda d: authserver_store(d).end_access_token(HASH, NOW),
    "count_presented_by_others": lambda d: grants_store(d).count_presented_by_others(HASH),
    "replay_refresh_token": lambda d: grants_store(d).replay_refresh_token(HASH, ReplayRules(), NOW),
    "grant": lambda d: grants_store(d).grant("grant"),
    "issued_grants": lambda d: grants_store(d).issued_grants(GrantFilter(), limit=1, offset=0),
    "revoke_grant": lambda d: grants_store(d).revoke_grant("grant", "test", NOW),
    "admit_key_guess": lambda d: _wrong_guess(grants_store(d)),
    "key_guesses_locked": lambda d: grants_store(d).key_guesses_locked("b", limit=5, now=NOW),
    "sweep": lambda d: grants_store(d).sweep(NOW),
    "add_virtual_key": lambda d: SqlGovernanceStore(d).add_virtual_key(_VIRTUAL_KEY, HASH, ""),
    "reconfigure_virtual_key": lambda d: SqlGovernanceStore(d).reconfigure_virtual_key(_VIRTUAL_KEY, HASH, "mac"),
    "virtual_key_by_hash": lambda d: SqlGovernanceStore(d).virtual_key_by_hash(HASH),
    "virtual_key": lambda d: SqlGovernanceStore(d).virtual_key("vk"),
    "find_virtual_key": lambda d: SqlGovernanceStore(d).find_virtual_key("vk"),
    "virtual_keys": lambda d: SqlGovernanceStore(d).virtual_keys(),
    "deactivate_virtual_key": lambda d: SqlGovernanceStore(d).deactivate_virtual_key("vk", NOW),
    "search_virtual_keys": lambda d: SqlKeyAdministrationStore(d).search_virtual_keys("", limit=1, offset=0),
    "change_virtual_key": lambda d: SqlKeyAdministrationStore(d).change_virtual_key("vk", KeyChanges(), NOW),
    "rotate_virtual_key": lambda d: SqlKeyAdministrationStore(d).rotate_virtual_key("vk", HASH, "", NOW),
    "delete_virtual_key": lambda d: SqlKeyAdministrationStore(d).delete_virtual_key("vk", NOW),
    "virtual_mcps": lambda d: SqlGovernanceStore(d).virtual_mcps(),
    "stored_virtual_mcps": lambda d: SqlGovernanceStore(d).stored_virtual_mcps(),
    "add_token": lambda d: SqlAdministratorStore(d).add_token(_ADMIN, HASH),
    "token_by_hash": lambda d: SqlAdministratorStore(d).token_by_hash(HASH),
    "tokens": lambda d: SqlAdministratorStore(d).tokens(),
    "remove_token": lambda d: SqlAdministratorStore(d).remove_token("adm"),
    "add_session": lambda d: SqlAdministratorStore(d).add_session(HASH, _SESSION),
    "session": lambda d: SqlAdministratorStore(d).session(HASH),
    "session_seen": lambda d: SqlAdministratorStore(d).session_seen(HASH, NOW),
    "end_sessions": lambda d: SqlAdministratorStore(d).end_sessions((HASH,)),
    "first_link": lambda d: SqlAdministratorStore(d).first_link(HASH, NOW, NOW),
    "end_first_link": lambda d: SqlAdministratorStore(d).end_first_link(),
    "new_link": lambda d: SqlAdministratorStore(d).new_link(HASH, NOW, NOW),
    "link_is_open": lambda d: SqlAdministratorStore(d).link_is_open(HASH, NOW),
    "use_link": lambda d: SqlAdministratorStore(d).use_link(HASH, _ADMIN, HASH, NOW),
    "count_guess": lambda d: SqlAdministratorStore(d).count_guess("b", limit=5, until=NOW, now=NOW),
    "guesses_locked": lambda d: SqlAdministratorStore(d).guesses_locked("b", limit=5, now=NOW),
    "take": lambda d: SqlUsageStore(d).take("vk", (_TAKE,), NOW),
    "give_back": lambda d: SqlUsageStore(d).give_back("vk", 1, Window(name="w", used=1, resets_at=NOW)),
    "windows": lambda d: SqlUsageStore(d).windows("vk", NOW),
    "add": lambda d: _within(d, SqlAuditStore(d).add, _AUDIT),
    "add_rows": lambda d: SqlAuditStore(d).add_rows((_AUDIT,)),
    "audit_rows": lambda d: SqlAuditStore(d).audit_rows(AuditFilter(), limit=1, offset=0),
    "add_upstream": lambda d: SqlUpstreamStore(d).add_upstream(_UPSTREAM, "", NOW),
    "reconfigure_upstream": lambda d: SqlUpstreamStore(d).reconfigure_upstream(_UPSTREAM, "mac", "settings", NOW),
    "note_state": lambda d: SqlUpstreamStore(d).note_state(_UPSTREAM, "error", "", NOW),
    "named": lambda d: SqlUpstreamStore(d).named("up"),
    "upstreams": lambda d: SqlUpstreamStore(d).upstreams(),
    "migrate": lambda d: migrate(d, FakeClock()),
}


@pytest.fixture
async def opened_database(database_url: str) -> AsyncIterator[Database]:
    async with opened(database_url) as made:
        yield made


def test_every_method_of_every_store_is_in_the_table_above() -> None:
    """A method that is added must also say what it does without storage."""
    stores = (
        SqlAuthServerStore,
        SqlGovernanceStore,
        SqlKeyAdministrationStore,
        SqlAdministratorStore,
        SqlUsageStore,
        SqlAuditStore,
        SqlUpstreamStore,
    )
    methods = {name for store in stores for name in vars(store) if not name.startswith("_")}
    assert methods == set(CALLS) - {"migrate"}


async def test_every_method_says_that_a_closed_database_is_unavailable(opened_database: Database) -> None:
    """Contract §2: storage unavailable is 503 with Retry-After, on every surface."""
    await opened_database.close()
    for name, call in CALLS.items():
        with pytest.raises(StorageUnavailable) as caught:
            await call(opened_database)
        assert isinstance(caught.value, Unavailable), name
        assert caught.value.retry_after > 0, name
        assert caught.value.message == "The storage does not answer right now. Try again in a few seconds.", name


async def test_a_database_can_be_closed_twice_and_opened_again(opened_database: Database) -> None:
    """Contract §11: stopping is calm, also when starting failed halfway."""
    await opened_database.close()
    await opened_database.close()
    await opened_database.open()
    await authserver_store(opened_database).ping()


@contextmanager
def _locked_by_another_process(path: str) -> Iterator[None]:
    command = [sys.executable, "-c", LOCKER, path]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert process.stdout.readline() == "locked\n"
        try:
            yield
        finally:
            process.communicate("")


async def test_a_file_that_another_process_keeps_locked_is_unavailable_for_writing_only(sqlite_url: str) -> None:
    """TC-199, contract §10: several worker processes share the file; readers are never locked out."""
    path = sqlite_url.removeprefix("sqlite:///")
    async with opened(sqlite_url):
        shared = sqlite.SqliteDatabase(Path(path), busy_milliseconds=50)
        await shared.open()
        store = grants_store(shared)
        given, code = await consented(store)
        with _locked_by_another_process(path):
            with pytest.raises(StorageUnavailable):
                await store.redeem_code(code.code_hash, tokens(given.id), NOW)
            assert await store.authorization_code(code.code_hash) == code
            await store.ping()
        assert await store.redeem_code(code.code_hash, tokens(given.id), NOW) is True
        await shared.close()


async def test_waiting_for_another_processes_lock_holds_nobody_else_up(sqlite_url: str) -> None:
    """TC-199: the event loop goes on while a write waits; the write is done as soon as the lock is free."""
    path = sqlite_url.removeprefix("sqlite:///")
    async with opened(sqlite_url) as shared:
        store = grants_store(shared)
        with _locked_by_another_process(path):
            writing = asyncio.create_task(store.add_pending_flow(flow(id="flow_late")))
            for _ in range(20):
                await asyncio.sleep(0.001)
                await store.ping()
            assert not writing.done()
        await writing
        assert await store.pending_flow("flow_late") is not None


@pytest.mark.parametrize(
    ("name", "content"), [("missing/bifrost.db", None), (".", None), ("bifrost.db", b"not a database " * 100)]
)
async def test_a_file_that_is_no_database_is_unavailable(tmp_path: Path, name: str, content: bytes | None) -> None:
    """Contract §11: refused with one sentence, never with a traceback, and the file is left as it is."""
    path = tmp_path / name
    if content:
        path.write_bytes(content)
    broken = sqlite.SqliteDatabase(path)
    try:
        with pytest.raises(StorageUnavailable):
            await broken.open()
    finally:
        await broken.close()
    if content:
        assert path.read_bytes() == content


@pytest.mark.parametrize("what", ["nobody listens", "no such database", "no such user"])
async def test_a_postgresql_that_cannot_be_reached_is_unavailable(postgresql_url: str, what: str) -> None:
    """TC-208, contract §11: refused with one sentence, whatever the reason is."""
    urls = {
        "nobody listens": f"postgresql://127.0.0.1:{free_port()}/test",
        "no such database": postgresql_url.replace("/test_", "/nobody_made_"),
        "no such user": postgresql_url.replace("//postgres:", "//nobody:"),
    }
    unreachable = database(urls[what])
    with pytest.raises(StorageUnavailable):
        await unreachable.open()
    await unreachable.close()


async def _end_backends(administrator: Database) -> None:
    ended = await rows(
        administrator,
        "SELECT pg_terminate_backend(pid, 5000) AS ended FROM pg_stat_activity "
        "WHERE datname = current_database() AND backend_type = 'client backend' AND pid <> pg_backend_pid()",
    )
    assert ended
    assert all(row["ended"] for row in ended)


async def test_a_pool_heals_after_its_idle_connections_were_ended(postgresql_url: str) -> None:
    """TC-202, contract §10: a database that restarts is felt for a moment, and nobody restarts the gateway."""
    async with opened(postgresql_url) as pool, opened(postgresql_url) as administrator:
        store = grants_store(pool)
        await together(store.ping() for _ in range(postgresql.POOL_SIZE))
        await _end_backends(administrator)
        outcomes = await together(_outcome(store.ping()) for _ in range(2 * postgresql.POOL_SIZE))
        assert set(outcomes) <= {"fine", "unavailable"}
        assert await together(_outcome(store.ping()) for _ in range(2 * postgresql.POOL_SIZE)) == ["fine"] * 20
        await redeemed(store)


async def test_a_transaction_whose_connection_is_ended_is_unavailable_and_leaves_nothing(postgresql_url: str) -> None:
    """TC-203, contract §2: nothing was written, and the same request may be sent again."""
    async with opened(postgresql_url) as pool, opened(postgresql_url) as administrator:
        store = grants_store(pool)
        pending = flow()

        async def ended_halfway() -> None:
            async with pool.transaction() as connection:
                await fetch(connection, "INSERT INTO installation (name, value) VALUES ('test', 'written')")
                await _end_backends(administrator)
                await fetch(connection, "SELECT 1")

        with pytest.raises(StorageUnavailable):
            await ended_halfway()
        assert await rows(pool, "SELECT * FROM installation WHERE name = 'test'") == []
        await store.add_pending_flow(pending)
        assert await store.pending_flow(pending.id) == pending


async def _outcome(call: Awaitable[object]) -> str:
    try:
        await call
    except StorageUnavailable:
        return "unavailable"
    return "fine"


async def test_whoever_finds_every_connection_taken_waits_only_so_long(
    postgresql_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """TC-204, contract §2: a full pool is storage that does not answer; when it empties everything goes on."""
    monkeypatch.setattr(postgresql, "POOL_SIZE", 2)
    async with opened(postgresql_url) as pool:
        monkeypatch.setattr(postgresql, "CONNECT_SECONDS", 0.05)
        store = grants_store(pool)
        async with pool.transaction(), pool.transaction():
            assert await together(_outcome(store.ping()) for _ in range(5)) == ["unavailable"] * 5
        assert await together(_outcome(store.ping()) for _ in range(2)) == ["fine"] * 2


async def test_whoever_waits_too_long_for_somebody_elses_row_is_told_so(
    postgresql_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """TC-204, contract §2: a lock that is not released is storage that does not answer, and nothing was written."""
    monkeypatch.setattr(postgresql, "LOCK_MILLISECONDS", 50)
    async with opened(postgresql_url) as one, opened(postgresql_url) as other:
        store = grants_store(one)
        given, code = await consented(store)
        async with other.transaction() as holder:
            await fetch(holder, "UPDATE authorization_codes SET failed_attempts = 0")
            with pytest.raises(StorageUnavailable):
                await store.redeem_code(code.code_hash, tokens(given.id), NOW)
        assert await store.redeem_code(code.code_hash, tokens(given.id), NOW) is True


async def test_guesses_go_on_counting_after_the_storage_was_away(database_url: str) -> None:
    """Contract §5: a failure of the storage neither adds to a count nor forgets it."""
    async with opened(database_url) as once:
        store = grants_store(once)
        assert await _wrong_guess(store) is True
        await once.close()
        with pytest.raises(StorageUnavailable):
            await _wrong_guess(store)
        await once.open()
        assert [await _wrong_guess(store), await _wrong_guess(store)] == [True, False]


async def _wrong_guess(store: SqlAuthServerStore) -> bool:
    return await store.admit_key_guess(("flow:1",), right=False, limit=2, until=NOW + MINUTE, now=NOW)


async def test_nothing_waits_for_the_event_loop_of_a_closed_database(opened_database: Database) -> None:
    """Contract §11: at the end of the process no thread and no task is left behind."""
    await authserver_store(opened_database).ping()
    await opened_database.close()
    left = [
        task for task in asyncio.all_tasks() if task is not asyncio.current_task() and "bifrost/storage" in repr(task)
    ]
    assert left == []
