"""Governance's store: virtual keys are found by hash, id and name, and are unique in all three."""

from collections.abc import AsyncIterator
from dataclasses import replace
from itertools import cycle

import pytest

from bifrost.base.ids import hash_secret
from bifrost.governance.models import McpConfig, VirtualKey
from bifrost.storage.database import Database
from bifrost.storage.governance import SqlGovernanceStore
from tests.contract._stores import NOW, opened, rows, together, virtual_key

pytestmark = pytest.mark.anyio

HASH = hash_secret("sk-bf-the-value-of-the-key-0000000000")
OTHER_HASH = hash_secret("sk-bf-the-value-of-another-key-00000")


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    async with opened(database_url) as made:
        yield made


@pytest.fixture
def store(database: Database) -> SqlGovernanceStore:
    return SqlGovernanceStore(database)


@pytest.mark.parametrize(
    "key",
    [
        virtual_key(),
        virtual_key(is_active=False, expires_at=NOW + 1, updated_at=NOW + 2),
        virtual_key(name="für Leute ☃ \"'%;--", description="line\nline " + "x" * 1_000),
        virtual_key(
            mcp_configs=(
                McpConfig(mcp_client_name="docs", tools_to_execute=("*",)),
                McpConfig(mcp_client_name="files", tools_to_execute=()),
                McpConfig(mcp_client_name="mail", tools_to_execute=("read", "☃")),
            )
        ),
    ],
    ids=["plain", "inactive", "words", "tools"],
)
async def test_a_key_comes_back_as_it_was_written_by_every_way_to_it(
    store: SqlGovernanceStore, key: VirtualKey
) -> None:
    """Contract §9: the members of a virtual key; `[]` and `["*"]` are different things."""
    assert await store.add_virtual_key(key, HASH, "") is True
    assert await store.virtual_key_by_hash(HASH) == key
    assert await store.virtual_key(key.id) == key
    assert await store.find_virtual_key(key.id) == key
    assert await store.find_virtual_key(key.name) == key
    assert await store.virtual_keys() == [key]
    found = await store.virtual_key(key.id)
    assert found
    assert found.is_active is key.is_active


async def test_what_nobody_wrote_is_not_there(store: SqlGovernanceStore) -> None:
    """Contract §7: an unknown key is refused, which begins with not being found."""
    await store.add_virtual_key(virtual_key(), HASH, "")
    assert await store.virtual_key_by_hash(OTHER_HASH) is None
    assert await store.virtual_key("first") is None
    assert await store.find_virtual_key("FIRST") is None
    assert await store.deactivate_virtual_key("vk-2", NOW) is False


async def test_the_value_of_a_key_is_not_among_what_is_stored(database: Database, store: SqlGovernanceStore) -> None:
    """Contract §9: the value is shown once; only its hash and its first characters are kept."""
    await store.add_virtual_key(virtual_key(), HASH, "")
    (row,) = await rows(database, "virtual_keys")
    assert (row["value_hash"], row["value_hint"]) == (HASH, "sk-bf-abcd…")


@pytest.mark.parametrize(
    ("second", "value_hash"),
    [
        (virtual_key(id="vk-1", name="second"), OTHER_HASH),
        (virtual_key(id="vk-2", name="first"), OTHER_HASH),
        (virtual_key(id="vk-2", name="second"), HASH),
    ],
    ids=["id", "name", "value"],
)
async def test_a_second_key_with_the_same_id_name_or_value_is_refused_and_changes_nothing(
    store: SqlGovernanceStore, second: VirtualKey, value_hash: str
) -> None:
    """Contract §10: what exists stays as it is."""
    await store.add_virtual_key(virtual_key(), HASH, "")
    assert await store.add_virtual_key(second, value_hash, "") is False
    assert await store.virtual_keys() == [virtual_key()]
    assert await store.virtual_key_by_hash(HASH) == virtual_key()


async def test_of_replicas_that_add_the_same_key_at_once_one_adds_it(database: Database, database_url: str) -> None:
    """Contract §10: any number of replicas start with the same file; those that come second find it done."""
    async with opened(database_url) as other:
        stores = cycle((SqlGovernanceStore(database), SqlGovernanceStore(other)))
        for number in range(10):
            key = virtual_key(id=f"vk-{number}", name=f"name {number}")
            hashes = [hash_secret(f"value {number}")] * 8
            added = await together(next(stores).add_virtual_key(key, value_hash, "") for value_hash in hashes)
            assert sorted(added) == [False] * 7 + [True]
    assert len(await rows(database, "virtual_keys")) == 10


async def test_keys_are_listed_by_name_in_the_same_order_on_both_databases(store: SqlGovernanceStore) -> None:
    """Contract §7: lists are in a stable order; here that of the characters' code points."""
    names = ["b", "B", "a b", "a-c", "ab", "_", "ä", "10", "9"]
    for number, name in enumerate(names):
        await store.add_virtual_key(virtual_key(id=f"vk-{number}", name=name), hash_secret(name), "")
    assert [key.name for key in await store.virtual_keys()] == sorted(names)


async def test_an_id_goes_before_a_name(store: SqlGovernanceStore) -> None:
    """Contract §11, `keys revoke`: a key that is named like another one's id must not be revoked in its place."""
    for number in range(6):
        mine, theirs = f"vk-{number}", f"vk-{number + 100}"
        # the namesake comes first and last in turn, so that no order of rows gives the right answer by itself
        pair = [
            (virtual_key(id=mine, name=f"owner {number}"), f"a{number}"),
            (virtual_key(id=theirs, name=mine), f"b{number}"),
        ]
        for key, value in pair if number % 2 else pair[::-1]:
            assert await store.add_virtual_key(key, hash_secret(value), "")
    found = [await store.find_virtual_key(f"vk-{number}") for number in range(6)]
    assert [key.id for key in found if key] == [f"vk-{number}" for number in range(6)]


async def test_a_key_is_deactivated_once(store: SqlGovernanceStore) -> None:
    """Contract §6: deactivating a key; the rest of it, and other keys, stay."""
    other = virtual_key(id="vk-2", name="second")
    await store.add_virtual_key(virtual_key(), HASH, "")
    await store.add_virtual_key(other, OTHER_HASH, "")
    assert await store.deactivate_virtual_key("vk-1", NOW + 1) is True
    assert await store.deactivate_virtual_key("vk-1", NOW + 2) is False
    assert await store.virtual_keys() == [virtual_key(is_active=False, updated_at=NOW + 1), other]
    assert await store.virtual_key_by_hash(HASH) == virtual_key(is_active=False, updated_at=NOW + 1)


async def test_of_parallel_deactivations_one_does_it(database: Database, database_url: str) -> None:
    """Contract §6: the guarded statement says who was first."""
    async with opened(database_url) as other:
        stores = cycle((SqlGovernanceStore(database), SqlGovernanceStore(other)))
        await next(stores).add_virtual_key(virtual_key(), HASH, "")
        done = await together(next(stores).deactivate_virtual_key("vk-1", NOW + turn) for turn in range(8))
    assert sorted(done) == [False] * 7 + [True]


@pytest.mark.parametrize(
    ("kept", "read", "changes"),
    [("first", "second", True), ("first", "first", False), ("", "first", False)],
    ids=["file-changed", "file-unchanged", "changed-otherwise"],
)
async def test_a_changed_file_changes_what_only_the_file_has_written(
    store: SqlGovernanceStore, kept: str, read: str, changes: bool
) -> None:
    """Contract §10: the database wins over the file for what was changed through the API; the id never changes."""
    other = virtual_key(id="vk-2", name="second")
    await store.add_virtual_key(virtual_key(), HASH, kept)
    await store.add_virtual_key(other, OTHER_HASH, "first")
    configs = (McpConfig(mcp_client_name="docs", tools_to_execute=("*",)),)
    wanted = virtual_key(
        id="vk-9", description="new", value_hint="sk-bf-wxyz…", is_active=False, expires_at=NOW, mcp_configs=configs,
        updated_at=NOW + 1,
    )  # fmt: skip
    new_hash = hash_secret("a new value")
    assert await store.reconfigure_virtual_key(wanted, new_hash, read) is changes
    assert await store.virtual_keys() == [replace(wanted, id="vk-1") if changes else virtual_key(), other]
    assert (await store.virtual_key_by_hash(new_hash) is not None) is changes
    assert (await store.virtual_key_by_hash(HASH) is None) is changes
    assert await store.reconfigure_virtual_key(wanted, new_hash, read) is False, "it is as configured already"
    assert await store.reconfigure_virtual_key(virtual_key(name="unknown"), new_hash, read) is False


async def test_an_entry_that_got_another_name_is_still_the_same_key(store: SqlGovernanceStore) -> None:
    """Contract §10: found by its value, so that grants and accounts that hang on it stay; unless it was changed here."""
    await store.add_virtual_key(virtual_key(), HASH, "first")
    assert await store.reconfigure_virtual_key(virtual_key(id="vk-new", name="renamed"), HASH, "second")
    assert await store.virtual_key_by_hash(HASH) == virtual_key(name="renamed")
    assert [key.name for key in await store.virtual_keys()] == ["renamed"]
    await store.add_virtual_key(virtual_key(id="vk-2", name="other"), OTHER_HASH, "other")
    assert await store.reconfigure_virtual_key(virtual_key(name="other"), OTHER_HASH, "third"), (
        "its own name goes before"
    )
    await store.deactivate_virtual_key("vk-1", NOW)
    assert not await store.reconfigure_virtual_key(virtual_key(name="again"), HASH, "fourth")
    assert [key.name for key in await store.virtual_keys()] == ["other", "renamed"]


async def test_a_key_that_was_deactivated_is_not_brought_back_by_the_file(store: SqlGovernanceStore) -> None:
    """Contract §§6, 10: a revoked key stays revoked, whatever the file says at the next start."""
    await store.add_virtual_key(virtual_key(), HASH, "first")
    await store.deactivate_virtual_key("vk-1", NOW + 1)
    for mac in ("first", "second"):
        assert await store.reconfigure_virtual_key(virtual_key(), HASH, mac) is False
    found = await store.virtual_key("vk-1")
    assert found
    assert found.is_active is False


async def test_of_replicas_that_read_the_same_change_at_once_one_writes_it(
    database: Database, database_url: str
) -> None:
    """Contract §10: the guarded statement says who was first."""
    async with opened(database_url) as other:
        stores = cycle((SqlGovernanceStore(database), SqlGovernanceStore(other)))
        await next(stores).add_virtual_key(virtual_key(), HASH, "first")
        wanted = virtual_key(description="new")
        written = await together(next(stores).reconfigure_virtual_key(wanted, HASH, "second") for _ in range(8))
    assert sorted(written) == [False] * 7 + [True]
