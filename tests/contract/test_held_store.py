"""People's credentials as they are listed, judged and ended."""

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from bifrost.storage.database import Connection, Database
from bifrost.storage.governance import SqlGovernanceStore
from bifrost.storage.held import SqlHeldStore
from bifrost.storage.upstream_oauth import SqlUpstreamOAuthStore
from bifrost.storage.upstreams import SqlUpstreamStore
from bifrost.upstreams.accounts import Credential, Owner
from bifrost.upstreams.credential_life import HeldQuery
from tests.contract._stores import NOW, VAULT, opened, together
from tests.support import upstreams
from tests.support.governance import virtual_key

pytestmark = pytest.mark.anyio

ANN, BOB, EVE = Owner("vk", "vk-1"), Owner("session", "ses_2"), Owner("flow", "flow_3")


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """Ann has accounts at two upstreams, Bob at one, and a consent that is open has one too."""
    async with opened(database_url) as made:
        for name in ("up_1", "up_2"):
            assert await SqlUpstreamStore(made).add_upstream(upstreams.upstream(id=name), "", NOW)
        await SqlGovernanceStore(made).add_virtual_key(virtual_key("vk-1", name="Ann's 100%_key"), "h" * 64, "")
        accounts = SqlUpstreamOAuthStore(made, VAULT)
        cases = [(ANN, "up_1"), (ANN, "up_2"), (BOB, "up_1"), (EVE, "up_1")]
        for number, (owner, name) in enumerate(cases):
            await accounts.keep_credential(upstreams.credential(upstream_id=name, owner=owner), NOW + number)
        yield made


@pytest.fixture
def accounts(database: Database) -> SqlUpstreamOAuthStore:
    return SqlUpstreamOAuthStore(database, VAULT)


@pytest.fixture
def store(database: Database, accounts: SqlUpstreamOAuthStore) -> SqlHeldStore:
    return SqlHeldStore(database, accounts)


async def _found(store: SqlHeldStore, query: HeldQuery) -> list[tuple[str, str]]:
    page, _total = await store.held(query)
    return [(held.owner.id, held.upstream_id) for held in page]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        (HeldQuery(), [("vk-1", "up_1"), ("vk-1", "up_2"), ("ses_2", "up_1")]),
        (HeldQuery(search="ANN"), [("vk-1", "up_1"), ("vk-1", "up_2")]),
        (HeldQuery(search="up_2"), [("vk-1", "up_2")]),
        (HeldQuery(search="ses_"), [("ses_2", "up_1")]),
        (HeldQuery(search="100%_"), [("vk-1", "up_1"), ("vk-1", "up_2")]),
        (HeldQuery(search="n%y"), []),
        (HeldQuery(search="'; DROP TABLE x; --"), []),
        (HeldQuery(state="orphaned"), []),
        (HeldQuery(owner_kind="session"), [("ses_2", "up_1")]),
        (HeldQuery(owner_kind="flow"), []),
        (HeldQuery(owner_id="vk-1", upstream="up_1"), [("vk-1", "up_1")]),
        (HeldQuery(limit=1, offset=1), [("vk-1", "up_2")]),
        (HeldQuery(offset=9), []),
    ],
)
async def test_a_page_is_found_by_its_filters_in_a_stable_order(
    store: SqlHeldStore, query: HeldQuery, expected: list[tuple[str, str]]
) -> None:
    """Contract §9; credentials of open consents are nobody's yet and are never shown."""
    assert await _found(store, query) == expected
    _page, total = await store.held(query)
    assert total == len(await _found(store, replace(query, limit=500, offset=0)))


async def test_an_id_stays_however_often_its_owner_connects(
    store: SqlHeldStore, accounts: SqlUpstreamOAuthStore
) -> None:
    """Contract §9: stable opaque ids."""
    before = {held.id for held in (await store.held(HeldQuery()))[0]}
    await accounts.keep_credential(upstreams.credential(owner=ANN), NOW + 99)
    after, _total = await store.held(HeldQuery())
    assert {held.id for held in after} == before
    assert len(before) == 3
    for held in after:
        assert await store.held_by_id(held.id) == held
    assert await store.held_by_id("cred_unknown") is None


async def test_of_a_state_and_a_newer_credential_the_credential_wins(
    store: SqlHeldStore, accounts: SqlUpstreamOAuthStore
) -> None:
    """A judgement over a row that was changed meanwhile is void."""
    (held,) = (await store.held(HeldQuery(owner_id="vk-1", upstream="up_1")))[0]
    await accounts.keep_credential(upstreams.credential(owner=ANN), NOW + 1)
    assert not await store.settle_held(held, "orphaned", NOW + 2)
    found = await accounts.credential("up_1", ANN)
    assert found is not None
    assert found.state == "active"


async def test_of_parallel_judgements_one_is_written(store: SqlHeldStore) -> None:
    """Two processes that see the same change write it once."""
    (held,) = (await store.held(HeldQuery(owner_id="vk-1", upstream="up_1")))[0]
    assert sum(await together(store.settle_held(held, "orphaned", NOW) for _ in range(8))) == 1


async def test_what_is_taken_is_gone_and_given_once(store: SqlHeldStore) -> None:
    """TC-130: of parallel deletions exactly one tells the service."""
    taken = await together(store.take(upstream_id="up_1", owner=ANN) for _ in range(8))
    (one,) = [credential for each in taken for credential in each]
    assert (one.owner, one.tokens.refresh_token) == (ANN, "canary-refresh")
    assert await _found(store, HeldQuery()) == [("vk-1", "up_2"), ("ses_2", "up_1")]


async def test_an_upstream_s_are_taken_together_with_those_of_open_consents(store: SqlHeldStore) -> None:
    """Nothing of a deleted upstream stays."""
    assert {one.owner for one in await store.take(upstream_id="up_1")} == {ANN, BOB, EVE}
    assert await _found(store, HeldQuery()) == [("vk-1", "up_2")]


async def test_the_first_who_has_something_is_the_only_one_to_lose_it(store: SqlHeldStore) -> None:
    """Contract §5: what a consent connected goes before what its identity had."""
    for owner in (EVE, ANN):
        taken = await store.take_first("up_1", (EVE, ANN))
        assert taken is not None
        assert taken.owner == owner
    assert await store.take_first("up_1", (EVE, ANN)) is None
    assert await _found(store, HeldQuery()) == [("vk-1", "up_2"), ("ses_2", "up_1")]


async def test_a_fault_between_the_two_leaves_everything_as_it_was(
    store: SqlHeldStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Contract §5: looking at one and taking the other are one transaction."""
    one_by_one = SqlHeldStore._take

    async def ends_after_the_first(store: SqlHeldStore, connection: Connection, *of: Any) -> list[Credential]:
        await one_by_one(store, connection, *of)
        raise KeyError("a fault of ours")

    monkeypatch.setattr(SqlHeldStore, "_take", ends_after_the_first)
    with pytest.raises(KeyError):
        await store.take_first("up_1", (EVE, ANN))
    monkeypatch.undo()
    taken = await store.take_first("up_1", (EVE, ANN))
    assert taken is not None
    assert taken.owner == EVE


async def test_of_parallel_presses_each_takes_another(store: SqlHeldStore) -> None:
    """TC-130: two browsers of one person on both databases; nothing is told twice."""
    taken = await together(store.take_first("up_1", (EVE, ANN)) for _ in range(8))
    assert sorted(one.owner.kind for one in taken if one) == ["flow", "vk"]


async def test_everything_at_once_is_never_taken(store: SqlHeldStore) -> None:
    """A caller that names nothing has made a mistake."""
    with pytest.raises(ValueError, match="of an upstream"):
        await store.take()
    assert len(await _found(store, HeldQuery())) == 3


async def test_a_renewal_ends_with_its_credential(store: SqlHeldStore, accounts: SqlUpstreamOAuthStore) -> None:
    """A refresh that was under way when the person disconnected does not bring the credential back."""
    held = await accounts.credential("up_1", ANN)
    assert held
    assert await accounts.lease_refresh(held, NOW + 1, NOW)
    await store.take(upstream_id="up_1", owner=ANN)
    assert not await accounts.refreshed(replace(held, version=held.version + 1), NOW)
    assert await accounts.credential("up_1", ANN) is None
