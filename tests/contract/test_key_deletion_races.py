"""A virtual key that is deleted while something is being done with it: two processes, on both databases."""

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from bifrost.authserver.models import Grant
from bifrost.governance.models import VirtualKey
from bifrost.identity.models import Identity
from bifrost.storage.database import Database
from bifrost.storage.governance import SqlGovernanceStore
from bifrost.storage.key_administration import SqlKeyAdministrationStore
from tests.contract._stores import (
    KEY,
    NOW,
    approval_of,
    code_of,
    consented,
    flow,
    grant,
    grants_store,
    opened,
    redeemed,
    refresh_of,
    rows,
    together,
    tokens,
)

pytestmark = pytest.mark.anyio

ROUNDS = 12


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    async with opened(database_url) as made:
        yield made


@pytest.fixture
async def other(database: Database, database_url: str) -> AsyncIterator[Database]:
    """As another process has it; made after the first one has migrated."""
    async with opened(database_url) as made:
        yield made


def _key(number: int) -> VirtualKey:
    return VirtualKey(
        id=f"vk-{number}",
        name=f"key {number}",
        description="",
        value_hint="sk-bf-abcd…",
        is_active=True,
        expires_at=None,
        mcp_configs=(),
        created_at=NOW,
        updated_at=NOW,
    )


async def _submitted(database: Database, flow_id: str, identity: Identity) -> Grant | None:
    given = grant(identity=identity)
    return await grants_store(database).submit_flow(flow_id, given, code_of(given), NOW, approval=approval_of(identity))


async def test_no_consent_outlives_the_key_that_it_was_given_with(database: Database, other: Database) -> None:
    """Contract §6: whichever comes first, nothing hangs on a key that is gone, and the next of its id gets nothing."""
    for number in range(ROUNDS):
        await SqlGovernanceStore(database).add_virtual_key(_key(number), f"hash {number}", "")
        identity, pending = Identity("vk", f"vk-{number}"), [flow(), flow()]
        for one in pending:
            await grants_store(database).add_pending_flow(one)
            await grants_store(database).choose_identity(one.id, identity, NOW)
        await together(
            [
                _submitted(database, pending[0].id, identity),
                SqlKeyAdministrationStore(other).delete_virtual_key(identity.id, NOW),
                _submitted(database, pending[1].id, identity),
            ]
        )
        for table in ("grants", "remembered_consents", "known_browsers"):
            assert await rows(database, table) == [], table


async def test_a_key_is_deleted_while_its_clients_fetch_and_renew_their_tokens(
    database: Database, other: Database
) -> None:
    """TC-220, contract §6: each is done or finds nothing any more; none has to wait for another that waits for it."""
    for number in range(ROUNDS):
        await SqlGovernanceStore(database).add_virtual_key(replace(_key(number), id=KEY.id), f"hash {number}", "")
        store = grants_store(database)
        fresh = [await consented(store) for _ in range(4)]
        running = [await redeemed(store) for _ in range(4)]
        await together(
            [
                *(store.redeem_code(code.code_hash, tokens(given.id), NOW) for given, code in fresh),
                SqlKeyAdministrationStore(other).delete_virtual_key(KEY.id, NOW),
                *(
                    store.rotate_refresh_token(refresh_of(pair).token_hash, tokens(given.id), NOW)
                    for given, _, pair in running
                ),
            ]
        )
        for table in ("grants", "authorization_codes", "access_tokens", "refresh_tokens"):
            assert await rows(database, table) == [], table


async def test_a_consent_is_finished_as_the_identity_that_is_chosen_then(database: Database) -> None:
    """Contract §5: one that was changed in another tab, or went with its key, is not the one that was read before."""
    first, second, pending = Identity("vk", "vk-1"), Identity("vk", "vk-2"), flow()
    await grants_store(database).add_pending_flow(pending)
    assert await _submitted(database, pending.id, first) is None
    await grants_store(database).choose_identity(pending.id, second, NOW)
    assert await _submitted(database, pending.id, first) is None
    assert await rows(database, "grants") == []
    assert await _submitted(database, pending.id, second) is not None


async def test_a_deleted_value_is_not_made_again_by_a_process_that_starts_just_then(
    database: Database, other: Database
) -> None:
    """Contract §10: the configuration file of a starting process still names the key that is being deleted."""
    for number in range(ROUNDS):
        key, value_hash = _key(number), f"hash {number}"
        await SqlGovernanceStore(database).add_virtual_key(key, value_hash, "mac")
        await together(
            [
                SqlKeyAdministrationStore(other).delete_virtual_key(key.id, NOW),
                SqlGovernanceStore(database).add_virtual_key(key, value_hash, "mac"),
                SqlGovernanceStore(other).add_virtual_key(key, value_hash, "mac"),
            ]
        )
        assert await rows(database, "virtual_keys") == []
