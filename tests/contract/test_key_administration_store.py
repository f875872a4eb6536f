"""Governance's store as an administrator uses it: keys are changed, rotated, deleted, also by several at once."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from bifrost.authserver.connect import ConnectSession
from bifrost.base.ids import hash_secret
from bifrost.governance.errors import VirtualKeyTaken
from bifrost.governance.models import KeyChanges, McpConfig
from bifrost.identity.models import Identity
from bifrost.storage.connect import SqlConnectStore
from bifrost.storage.database import Database
from bifrost.storage.governance import SqlGovernanceStore
from bifrost.storage.key_administration import SqlKeyAdministrationStore
from bifrost.storage.upstream_oauth import SqlUpstreamOAuthStore
from bifrost.storage.upstreams import SqlUpstreamStore
from bifrost.upstreams.accounts import Credential, Owner, Registration, TokenSet
from bifrost.upstreams.models import Upstream
from tests.contract._stores import (
    NOW,
    VAULT,
    approval_of,
    authserver_store,
    code_of,
    flow,
    grant,
    opened,
    rows,
    together,
    tokens,
    virtual_key,
)

pytestmark = pytest.mark.anyio

HASH = hash_secret("sk-bf-the-value-of-the-key-0000000000")
OTHER_HASH = hash_secret("sk-bf-the-value-of-another-key-00000")


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    async with opened(database_url) as made:
        yield made


@pytest.fixture
def admin(database: Database) -> SqlKeyAdministrationStore:
    return SqlKeyAdministrationStore(database)


@pytest.fixture
def store(database: Database) -> SqlGovernanceStore:
    return SqlGovernanceStore(database)


async def _kept(database: Database, key_id: str = "vk-1") -> list[str]:
    """The tables in which something still hangs on the key."""
    columns = {
        "grants": "identity_id",
        "upstream_credentials": "owner_id",
        "connect_sessions": "identity_id",
        "pending_flows": "identity_id",
    }
    return [
        table for table, column in columns.items() if key_id in {row[column] for row in await rows(database, table)}
    ]


async def _hang_on(database: Database, identity: Identity) -> None:
    """A grant with its tokens, a flow, a connect session and an account at an upstream."""
    grants, accounts = authserver_store(database), SqlUpstreamOAuthStore(database, VAULT)
    pending, given = flow(), grant(identity=identity)
    await grants.add_pending_flow(pending)
    await grants.choose_identity(pending.id, identity, NOW)
    code = code_of(given)
    assert await grants.submit_flow(pending.id, given, code, NOW)
    assert await grants.redeem_code(code.code_hash, tokens(given.id), NOW)
    session = ConnectSession(id=f"con_{identity.kind}_{identity.id}", identity=identity, expires_at=NOW + 1)
    await SqlConnectStore(database).add_connect_session(session, NOW)
    credential = Credential(
        upstream_id="up-1",
        owner=Owner(identity.kind, identity.id),
        tokens=TokenSet(access_token="a"),
        registration=Registration(issuer="", client_id=""),
        token_endpoint="",
        resource="",
    )
    await accounts.keep_credential(credential, NOW)


async def test_deleting_a_key_deletes_what_hangs_on_it_and_nothing_else(
    store: SqlGovernanceStore, admin: SqlKeyAdministrationStore, database: Database
) -> None:
    """Contract §6, §9: in one transaction; an identity of another kind with the same id is somebody else."""
    await _with_upstream(database)
    for number in (1, 2):
        await store.add_virtual_key(virtual_key(id=f"vk-{number}", name=f"{number}"), f"hash {number}", "")
        await _hang_on(database, Identity("vk", f"vk-{number}"))
    await _hang_on(database, Identity("session", "vk-1"))
    assert await admin.delete_virtual_key("vk-1", NOW) == virtual_key(name="1", updated_at=NOW)
    assert await admin.delete_virtual_key("vk-1", NOW) is None
    kept = {row["identity_kind"] for row in await rows(database, "grants") if row["identity_id"] == "vk-1"}
    assert kept == {"session"}
    owners = sorted((row["owner_kind"], row["owner_id"]) for row in await rows(database, "upstream_credentials"))
    assert owners == [("session", "vk-1"), ("vk", "vk-2")]
    assert len(await rows(database, "access_tokens")) == len(await rows(database, "refresh_tokens")) == 2
    assert await _kept(database, "vk-2") == ["grants", "upstream_credentials", "connect_sessions", "pending_flows"]


async def _with_upstream(database: Database) -> None:
    upstream = Upstream(
        id="up-1",
        name="notes",
        endpoint_slug="notes",
        connection_type="http",
        connection_string="https://up.example/mcp",
        auth_type="per_user_oauth",
        sealed_headers="",
        tools_to_execute=("*",),
        allow_on_all_virtual_keys=True,
        tool_execution_timeout=30,
        disabled=False,
    )
    assert await SqlUpstreamStore(database).add_upstream(upstream, "", NOW)


async def test_a_new_key_inherits_nothing_of_an_earlier_one_of_its_id(
    store: SqlGovernanceStore, database: Database
) -> None:
    """Ours: a request that overlapped the deletion may have left something behind."""
    await _with_upstream(database)
    await _hang_on(database, Identity("vk", "vk-1"))
    assert await store.add_virtual_key(virtual_key(), HASH, "")
    assert await _kept(database) == ["pending_flows"]


async def test_a_value_is_retired_for_ever_when_it_is_rotated_away_or_deleted(
    store: SqlGovernanceStore, admin: SqlKeyAdministrationStore
) -> None:
    """Contract §10: whoever still has it never gets in with it again."""
    await store.add_virtual_key(virtual_key(), HASH, "mac")
    rotated = await admin.rotate_virtual_key("vk-1", OTHER_HASH, "sk-bf-wxyz…", NOW + 1)
    assert rotated == virtual_key(value_hint="sk-bf-wxyz…", updated_at=NOW + 1)
    assert await store.virtual_key_by_hash(HASH) is None
    assert await store.virtual_key_by_hash(OTHER_HASH) == rotated
    await admin.delete_virtual_key("vk-1", NOW + 2)
    for value_hash in (HASH, OTHER_HASH):
        assert not await store.add_virtual_key(virtual_key(), value_hash, "mac")
    assert await store.add_virtual_key(virtual_key(), "another hash", "mac")
    with pytest.raises(VirtualKeyTaken):
        await store.reconfigure_virtual_key(virtual_key(), HASH, "another mac")
    assert await store.virtual_key_by_hash(HASH) is None


@pytest.mark.parametrize("by", ["rotation", "configuration"])
async def test_who_showed_the_value_of_before_has_to_show_the_new_one(
    store: SqlGovernanceStore, admin: SqlKeyAdministrationStore, database: Database, by: str
) -> None:
    """Ours: in a consent that is open, at a link and in a browser; what was given and connected stays."""
    await _with_upstream(database)
    await store.add_virtual_key(virtual_key(), HASH, "mac")
    identity, pending = Identity("vk", "vk-1"), flow()
    await _hang_on(database, identity)
    grants = authserver_store(database)
    await grants.add_pending_flow(pending)
    await grants.choose_identity(pending.id, identity, NOW)
    finished, given = flow(), grant(identity=identity)
    await grants.add_pending_flow(finished)
    await grants.choose_identity(finished.id, identity, NOW)
    assert await grants.submit_flow(finished.id, given, code_of(given), NOW, approval=approval_of(identity))
    assert await store.reconfigure_virtual_key(virtual_key(description="as before"), HASH, "second mac")
    assert (len(await _kept(database)), len(await rows(database, "known_browsers"))) == (4, 1)
    if by == "rotation":
        assert await admin.rotate_virtual_key("vk-1", OTHER_HASH, "sk-bf-abcd…", NOW)
    else:
        assert await store.reconfigure_virtual_key(virtual_key(), OTHER_HASH, "third mac")
    assert await _kept(database) == ["grants", "upstream_credentials"]
    assert await rows(database, "known_browsers") == []
    assert len(await rows(database, "remembered_consents")) == 1


async def test_a_changed_key_is_the_databases(store: SqlGovernanceStore, admin: SqlKeyAdministrationStore) -> None:
    """Contract §10: the file does not change it back."""
    for change in ("change", "rotate"):
        await store.add_virtual_key(virtual_key(id=change, name=change), f"hash of {change}", "mac")
    assert await admin.change_virtual_key("change", KeyChanges(description="by hand"), NOW)
    assert await admin.rotate_virtual_key("rotate", "new", "hint", NOW)
    for change in ("change", "rotate"):
        assert not await store.reconfigure_virtual_key(virtual_key(name=change), f"hash of {change}", "another mac")


async def test_parallel_changes_of_different_members_all_count(
    store: SqlGovernanceStore, admin: SqlKeyAdministrationStore
) -> None:
    """Ours: one statement each, which touches only what was asked for."""
    await store.add_virtual_key(virtual_key(), HASH, "")
    configs = (McpConfig(mcp_client_name="docs", tools_to_execute=("*",)),)
    await together(
        admin.change_virtual_key("vk-1", changes, NOW)
        for changes in (
            KeyChanges(name="renamed"),
            KeyChanges(description="described"),
            KeyChanges(is_active=False),
            KeyChanges(sets_expiry=True, expires_at=NOW + 5),
            KeyChanges(mcp_configs=configs),
        )
    )
    assert await store.virtual_key("vk-1") == virtual_key(
        name="renamed", description="described", is_active=False, expires_at=NOW + 5, mcp_configs=configs
    )
    await admin.change_virtual_key("vk-1", KeyChanges(sets_expiry=True), NOW)
    found = await store.virtual_key("vk-1")
    assert found
    assert found.expires_at is None


async def test_of_two_keys_that_want_one_name_one_gets_it(database_url: str) -> None:
    """Ours: the other is told, also when both ask at the same time."""
    async with opened(database_url) as one, opened(database_url) as two:
        for number in (1, 2):
            await SqlGovernanceStore(one).add_virtual_key(
                virtual_key(id=f"vk-{number}", name=f"{number}"), f"hash {number}", ""
            )
        asked = [
            SqlKeyAdministrationStore((one, two)[number - 1]).change_virtual_key(
                f"vk-{number}", KeyChanges(name="wanted"), NOW
            )
            for number in (1, 2)
        ]
        outcomes = await asyncio.gather(*asked, return_exceptions=True)
    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["VirtualKey", "VirtualKeyTaken"]


async def test_of_parallel_rotations_every_other_value_is_retired(database_url: str) -> None:
    """Ours: over processes."""
    async with opened(database_url) as one, opened(database_url) as two:
        stores = [SqlKeyAdministrationStore(one), SqlKeyAdministrationStore(two)] * 4
        await SqlGovernanceStore(one).add_virtual_key(virtual_key(), HASH, "")
        await together(
            store.rotate_virtual_key("vk-1", f"hash {number}", "hint", NOW) for number, store in enumerate(stores)
        )
        hashes = [HASH, *(f"hash {number}" for number in range(8))]
        (current,) = [row["value_hash"] for row in await rows(one, "virtual_keys")]
        assert {row["value_hash"] for row in await rows(one, "retired_key_values")} == set(hashes) - {current}


async def test_what_does_not_exist_cannot_be_changed(admin: SqlKeyAdministrationStore) -> None:
    """Contract §2: 404 begins here."""
    assert await admin.change_virtual_key("vk-1", KeyChanges(name="x"), NOW) is None
    assert await admin.rotate_virtual_key("vk-1", HASH, "hint", NOW) is None
    assert await admin.delete_virtual_key("vk-1", NOW) is None
    assert await admin.search_virtual_keys("", limit=5, offset=0) == ([], 0)


@pytest.mark.parametrize("search", ["Über", "über", "ÜBERSICHT", "ŽLUŤ"])
async def test_a_key_is_found_by_any_letters_of_its_name(
    store: SqlGovernanceStore, admin: SqlKeyAdministrationStore, search: str
) -> None:
    """Contract §9: in capitals or not, on both databases."""
    await store.add_virtual_key(virtual_key(name="Übersicht, žluť"), HASH, "")
    assert await admin.search_virtual_keys(search, limit=5, offset=0) == ([virtual_key(name="Übersicht, žluť")], 1)
