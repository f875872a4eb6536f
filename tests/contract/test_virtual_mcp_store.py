"""The store of virtual MCPs: addresses are unique across upstreams too, and what keys stand on does not slip away."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from bifrost.base.ids import hash_secret
from bifrost.governance.errors import VirtualMcpAttached, VirtualMcpTaken
from bifrost.governance.models import McpConfig, VirtualMcp, VirtualMcpChanges
from bifrost.storage.database import Database
from bifrost.storage.governance import SqlGovernanceStore
from bifrost.storage.upstream_administration import SqlUpstreamAdministrationStore
from bifrost.storage.upstream_oauth import SqlUpstreamOAuthStore
from bifrost.storage.upstreams import SqlUpstreamStore
from bifrost.storage.virtual_mcps import SqlVirtualMcpStore
from bifrost.upstreams.errors import UpstreamInvalid
from tests.contract._stores import NOW, VAULT, code_of, flow, grant, grants_store, opened, rows
from tests.support.governance import virtual_key
from tests.support.upstreams import upstream

pytestmark = pytest.mark.anyio

NOTES = (McpConfig(mcp_client_name="notes", tools_to_execute=("read", 'with "quotes" ☃')),)
FELT_SECONDS = 1.0


def virtual_mcp(mcp_id: str = "vmcp_1", **changes: Any) -> VirtualMcp:
    usual = VirtualMcp(
        id=mcp_id,
        name=mcp_id,
        description="",
        endpoint_slug=mcp_id,
        mcp_configs=NOTES,
        disabled=False,
        created_at=NOW,
        updated_at=NOW,
    )
    return replace(usual, **changes)


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    async with opened(database_url) as made:
        yield made


@pytest.fixture
async def other(database: Database, database_url: str) -> AsyncIterator[Database]:
    """Another process on the same database."""
    async with opened(database_url) as made:
        yield made


@pytest.fixture
def store(database: Database) -> SqlVirtualMcpStore:
    return SqlVirtualMcpStore(database)


async def _felt(other: SqlVirtualMcpStore, expected: tuple[VirtualMcp, ...]) -> None:
    """By another process, which has it in memory."""
    deadline = asyncio.get_running_loop().time() + FELT_SECONDS
    while await other.virtual_mcps() != expected:
        assert asyncio.get_running_loop().time() < deadline
        await asyncio.sleep(0.01)


async def test_what_was_written_comes_back_and_every_change_is_felt_by_other_processes(
    store: SqlVirtualMcpStore, other: Database
) -> None:
    """Contract §6: within a second."""
    elsewhere = SqlVirtualMcpStore(other)
    assert await elsewhere.virtual_mcps() == ()
    first, second = virtual_mcp(), virtual_mcp("vmcp_2", name='a "b" ☃', disabled=True)
    await store.add_virtual_mcp(first, "")
    await store.add_virtual_mcp(second, "mac")
    assert set(await store.stored_virtual_mcps()) == {first, second}
    await _felt(elsewhere, tuple(sorted((first, second), key=lambda one: one.name)))
    await store.delete_virtual_mcp(second.id, NOW)
    await _felt(elsewhere, (first,))
    changes = VirtualMcpChanges(description="new", endpoint_slug="there", mcp_configs=(), disabled=True)
    changed = await store.change_virtual_mcp(first.id, changes, NOW + 1)
    wanted: dict[str, Any] = {"description": "new", "endpoint_slug": "there", "mcp_configs": (), "disabled": True}
    assert changed == replace(first, updated_at=NOW + 1, **wanted)
    await _felt(elsewhere, (changed,))


async def test_names_and_addresses_belong_to_one(store: SqlVirtualMcpStore) -> None:
    """Contract §1: /mcp/{slug} is one endpoint."""
    await store.add_virtual_mcp(virtual_mcp(), "")
    await store.add_virtual_mcp(virtual_mcp("vmcp_2"), "")
    for taken, param in (
        (virtual_mcp("vmcp_1", name="other", endpoint_slug="other"), "name"),
        (virtual_mcp("vmcp_3", name="vmcp_1"), "name"),
        (virtual_mcp("vmcp_3", endpoint_slug="vmcp_1"), "endpoint_slug"),
    ):
        with pytest.raises(VirtualMcpTaken) as refused:
            await store.add_virtual_mcp(taken, "")
        assert refused.value.param == param
    for changes in (VirtualMcpChanges(name="vmcp_1"), VirtualMcpChanges(endpoint_slug="vmcp_1")):
        with pytest.raises(VirtualMcpTaken):
            await store.change_virtual_mcp("vmcp_2", changes, NOW)
    assert await store.change_virtual_mcp("vmcp_9", VirtualMcpChanges(name="x"), NOW) is None
    assert {one.name for one in await store.stored_virtual_mcps()} == {"vmcp_1", "vmcp_2"}


async def test_an_address_of_an_upstream_is_taken_and_the_other_way_round(
    store: SqlVirtualMcpStore, database: Database
) -> None:
    """Contract §1: it is free again when its owner has left it."""
    upstreams = SqlUpstreamStore(database)
    administration = SqlUpstreamAdministrationStore(database, SqlUpstreamOAuthStore(database, VAULT))
    assert await upstreams.add_upstream(upstream(id="notes"), "mac", NOW)
    await store.add_virtual_mcp(virtual_mcp("work"), "")
    with pytest.raises(VirtualMcpTaken) as refused:
        await store.add_virtual_mcp(virtual_mcp(endpoint_slug="notes"), "")
    assert refused.value.param == "endpoint_slug"
    with pytest.raises(VirtualMcpTaken):
        await store.change_virtual_mcp("work", VirtualMcpChanges(endpoint_slug="notes"), NOW)
    assert not await upstreams.add_upstream(upstream(id="work"), "", NOW)
    assert await administration.add(upstream(id="work"), NOW) == "endpoint_slug"
    moved = upstream(id="notes", endpoint_slug="work")
    assert await administration.change(moved, 0, "settings", NOW) == "endpoint_slug"
    with pytest.raises(UpstreamInvalid):
        await upstreams.reconfigure_upstream(moved, "another mac", "settings", NOW)
    assert [one.endpoint_slug for one in await upstreams.upstreams()] == ["notes"]

    await administration.change(replace(moved, endpoint_slug="elsewhere"), 0, "settings", NOW)
    await store.change_virtual_mcp("work", VirtualMcpChanges(endpoint_slug="notes"), NOW)
    assert await administration.add(upstream(id="work"), NOW) == ""
    await administration.delete("work", NOW)
    await store.add_virtual_mcp(virtual_mcp("work2", endpoint_slug="work"), "")
    assert {row["slug"] for row in await rows(database, "endpoint_slugs")} == {"elsewhere", "notes", "work"}


async def test_of_an_upstream_and_a_virtual_mcp_that_want_an_address_at_once_one_gets_it(
    store: SqlVirtualMcpStore, other: Database, database: Database
) -> None:
    """Ours: of any number that race, exactly one wins."""
    upstreams = SqlUpstreamStore(other)

    async def virtual(number: int) -> bool:
        try:
            await store.add_virtual_mcp(virtual_mcp(f"vmcp_{number}", endpoint_slug=f"slug_{number // 2}"), "")
        except VirtualMcpTaken:
            return False
        return True

    async def real(number: int) -> bool:
        return await upstreams.add_upstream(upstream(id=f"up_{number}", endpoint_slug=f"slug_{number // 2}"), "", NOW)

    won = await asyncio.gather(*(one(number) for number in range(16) for one in (virtual, real)))
    assert sum(won) == 8
    owners = await rows(database, "endpoint_slugs")
    assert len(owners) == 8
    assert len(await rows(database, "upstreams")) + len(await rows(database, "virtual_mcps")) == 8


async def test_a_key_is_attached_and_detached_and_meanwhile_the_virtual_mcp_stays(
    store: SqlVirtualMcpStore, database: Database, other: Database
) -> None:
    """Contract §9: keys name what they are confined to, so it keeps its name, and it is not deleted under them."""
    keys, elsewhere = SqlGovernanceStore(database), SqlGovernanceStore(other)
    await keys.add_virtual_key(virtual_key("vk-1"), hash_secret("value"), "mac")
    await store.add_virtual_mcp(virtual_mcp(), "")
    await store.add_virtual_mcp(virtual_mcp("vmcp_2"), "")
    assert not await store.attach("vmcp_1", "vk-9", NOW)
    assert not await store.attach("vmcp_9", "vk-1", NOW)
    for attached in ("vmcp_1", "vmcp_2", "vmcp_1"):
        assert await store.attach(attached, "vk-1", NOW)
    key = await elsewhere.virtual_key("vk-1")
    assert key is not None
    assert key.virtual_mcps == ("vmcp_1", "vmcp_2")
    for refused in (
        store.delete_virtual_mcp("vmcp_1", NOW),
        store.change_virtual_mcp("vmcp_1", VirtualMcpChanges(name="new"), NOW),
    ):
        with pytest.raises(VirtualMcpAttached):
            await refused
    assert await store.change_virtual_mcp("vmcp_1", VirtualMcpChanges(name="vmcp_1", description="x"), NOW)
    assert await store.detach("vmcp_1", "vk-1", NOW)
    assert await store.delete_virtual_mcp("vmcp_1", NOW) is not None
    [row] = await rows(database, "virtual_keys")
    assert (row["virtual_mcps"], row["config_mac"]) == ('["vmcp_2"]', "")


async def test_attaching_and_deleting_at_once_never_leaves_a_key_with_what_is_gone(
    store: SqlVirtualMcpStore, database: Database, other: Database
) -> None:
    """Ours: either the key is attached and it stays, or it is gone and no key has it."""
    elsewhere = SqlVirtualMcpStore(other)
    keys = SqlGovernanceStore(database)
    for number in range(8):
        key, mcp_id = f"vk-{number}", f"vmcp_{number}"
        await keys.add_virtual_key(virtual_key(key), hash_secret(key), "")
        await store.add_virtual_mcp(virtual_mcp(mcp_id), "")
        attached, deleted = await asyncio.gather(
            store.attach(mcp_id, key, NOW), elsewhere.delete_virtual_mcp(mcp_id, NOW), return_exceptions=True
        )
        known = await keys.virtual_key(key)
        assert known is not None
        assert bool(known.virtual_mcps) is (attached is True) is isinstance(deleted, VirtualMcpAttached)


async def test_what_people_allowed_for_an_address_ends_with_it(store: SqlVirtualMcpStore, database: Database) -> None:
    """RFC 8707 §2: whatever gets the address next is another resource than the one that was allowed."""
    grants = grants_store(database)
    for name in ("vmcp_1", "vmcp_2", "vmcp_3"):
        await store.add_virtual_mcp(virtual_mcp(name), "mac")
    for path in ("/mcp", "/mcp/vmcp_1", "/mcp/vmcp_2", "/mcp/vmcp_3"):
        pending, given = flow(), grant(resource=path)
        await grants.add_pending_flow(pending)
        assert await grants.submit_flow(pending.id, given, code_of(given), NOW)
    await store.delete_virtual_mcp("vmcp_1", NOW)
    await store.change_virtual_mcp("vmcp_2", VirtualMcpChanges(endpoint_slug="away"), NOW)
    await store.change_virtual_mcp("vmcp_3", VirtualMcpChanges(description="same place"), NOW)
    ended = {row["resource"] for row in await rows(database, "grants") if row["revoked_at"]}
    assert ended == {"/mcp/vmcp_1", "/mcp/vmcp_2"}


async def test_the_file_is_followed_until_something_else_changes_it(store: SqlVirtualMcpStore) -> None:
    """Contract §10: the database wins for what was changed through the API."""
    assert await store.reconfigure_virtual_mcp(virtual_mcp(), "one") is None
    await store.add_virtual_mcp(virtual_mcp(), "one")
    two = virtual_mcp("another-id", name="vmcp_1", endpoint_slug="two")
    assert await store.reconfigure_virtual_mcp(two, "two") == "vmcp_1"
    assert await store.reconfigure_virtual_mcp(two, "two") == "", "it is as configured already"
    [known] = await store.stored_virtual_mcps()
    assert (known.id, known.endpoint_slug) == ("vmcp_1", "two")
    await store.change_virtual_mcp("vmcp_1", VirtualMcpChanges(description="by hand"), NOW)
    assert await store.reconfigure_virtual_mcp(virtual_mcp(endpoint_slug="three"), "three") == ""
    [known] = await store.stored_virtual_mcps()
    assert (known.description, known.endpoint_slug) == ("by hand", "two")
    await store.add_virtual_mcp(virtual_mcp("vmcp_2"), "mac")
    with pytest.raises(VirtualMcpTaken):
        await store.reconfigure_virtual_mcp(virtual_mcp("vmcp_2", endpoint_slug="two"), "another")
