"""The administrators' store: tokens, sessions and the one link, also when several processes want the same."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from bifrost.identity.errors import AdministratorTokenTaken
from bifrost.identity.models import AdminSession, AdminToken
from bifrost.storage.administrators import SqlAdministratorStore
from bifrost.storage.database import Database
from tests.contract._stores import MINUTE, NOW, opened, rows, together

pytestmark = pytest.mark.anyio

UNTIL = NOW + 60 * MINUTE


def _token(number: int = 1, **changes: Any) -> AdminToken:
    usual: dict[str, Any] = {"id": f"adm_{number}", "name": f"name {number}", "created_at": NOW + number}
    return AdminToken(**(usual | changes))


def _session(**changes: Any) -> AdminSession:
    usual: dict[str, Any] = {
        "token_id": "adm_1",
        "token_name": "name 1",
        "configured_mac": "",
        "created_at": NOW,
        "seen_at": NOW,
        "expires_at": UNTIL,
    }
    return AdminSession(**(usual | changes))


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    async with opened(database_url) as made:
        yield made


@pytest.fixture
def store(database: Database) -> SqlAdministratorStore:
    return SqlAdministratorStore(database)


async def test_a_token_is_found_by_its_hash_and_listed(store: SqlAdministratorStore) -> None:
    """Ours: never by anything else."""
    assert await store.add_token(_token(2), "hash 2")
    assert await store.add_token(_token(1), "hash 1")
    assert await store.token_by_hash("hash 1") == _token(1)
    assert await store.token_by_hash("hash 3") is None
    assert await store.tokens() == [_token(1), _token(2)]


async def test_a_taken_name_or_value_writes_nothing(store: SqlAdministratorStore) -> None:
    """Ours: names tell tokens apart."""
    assert await store.add_token(_token(1), "hash 1")
    assert not await store.add_token(_token(2, name="name 1"), "hash 2")
    assert not await store.add_token(_token(2), "hash 1")
    assert await store.tokens() == [_token(1)]


async def test_a_token_is_removed_by_id_before_name(store: SqlAdministratorStore) -> None:
    """Ours: a token named like another's id does not stand in its way."""
    await store.add_token(_token(1, name="adm_2"), "hash 1")
    await store.add_token(_token(2), "hash 2")
    removed = await store.remove_token("adm_2")
    assert removed == _token(2)
    assert await store.remove_token("adm_2") == _token(1, name="adm_2")
    assert await store.remove_token("adm_2") is None


async def test_removing_a_token_ends_its_sessions_and_no_others(
    store: SqlAdministratorStore, database: Database
) -> None:
    """Contract §6: at once, in one transaction."""
    await store.add_token(_token(1), "hash 1")
    assert await store.add_session("made", _session())
    assert await store.add_session("configured", _session(token_id=None, token_name="", configured_mac="mac"))
    await store.remove_token("adm_1")
    assert await store.session("made") is None
    assert await store.session("configured") == _session(token_id=None, token_name="", configured_mac="mac")
    assert len(await rows(database, "admin_sessions")) == 1


async def test_a_session_of_a_removed_token_is_not_written(store: SqlAdministratorStore) -> None:
    """Ours: no session outlives its token."""
    assert not await store.add_session("late", _session())
    assert await store.session("late") is None


async def test_no_session_survives_a_removal_that_happens_at_the_same_time(database_url: str) -> None:
    """Ours: two processes, a log-in and a revocation."""
    async with opened(database_url) as one, opened(database_url) as two:
        for number in range(10):
            await SqlAdministratorStore(one).add_token(_token(number), f"hash {number}")
            session = _session(token_id=f"adm_{number}")
            await together(
                [
                    SqlAdministratorStore(one).add_session(f"session {number}", session),
                    SqlAdministratorStore(two).remove_token(f"adm_{number}"),
                ]
            )
            assert await SqlAdministratorStore(one).session(f"session {number}") is None


async def test_a_session_is_kept_seen_and_ended(store: SqlAdministratorStore) -> None:
    """Ours: `seen_at` only moves forward."""
    await store.add_token(_token(1), "hash 1")
    await store.add_session("s", _session())
    await store.session_seen("s", NOW + 5)
    await store.session_seen("s", NOW + 3)
    assert await store.session("s") == _session(seen_at=NOW + 5)
    await store.end_sessions(("s", "unknown"))
    assert await store.session("s") is None


async def test_one_of_many_processes_prints_the_first_link(database_url: str) -> None:
    """Contract §9: several workers and replicas print one link."""
    async with opened(database_url) as one, opened(database_url) as two:
        stores = [SqlAdministratorStore(one), SqlAdministratorStore(two)] * 4
        kept = await together([store.first_link(f"link {number}", UNTIL, NOW) for number, store in enumerate(stores)])
        assert sorted(kept) == [False] * 7 + [True]
        assert await stores[0].link_is_open(f"link {kept.index(True)}", NOW)


async def test_an_expired_first_link_is_replaced(store: SqlAdministratorStore) -> None:
    """Ours: nobody is locked out of a gateway whose first link was never opened."""
    assert await store.first_link("one", UNTIL, NOW)
    assert not await store.first_link("two", UNTIL + 1, UNTIL - 1)
    assert await store.first_link("three", UNTIL * 2, UNTIL)
    assert not await store.link_is_open("one", NOW)
    assert await store.link_is_open("three", UNTIL)


async def test_a_link_is_used_once_over_processes(database_url: str) -> None:
    """Contract §9: one-time."""
    async with opened(database_url) as one, opened(database_url) as two:
        stores = [SqlAdministratorStore(one), SqlAdministratorStore(two)] * 4
        await stores[0].new_link("link", UNTIL, NOW)
        used = await together([store.use_link("link", _token(n), f"hash {n}", NOW) for n, store in enumerate(stores)])
        assert sorted(used) == [False] * 7 + [True]
        assert [token.id for token in await stores[0].tokens()] == [f"adm_{used.index(True)}"]


async def test_a_link_whose_token_cannot_be_written_is_not_consumed(store: SqlAdministratorStore) -> None:
    """Contract §9: the link and its token are one, or nothing happened."""
    await store.new_link("link", UNTIL, NOW)
    assert await store.add_token(_token(1, name="taken"), "hash 1")
    with pytest.raises(AdministratorTokenTaken):
        await store.use_link("link", _token(2, name="taken"), "hash 2", NOW)
    assert await store.link_is_open("link", NOW)
    assert [token.id for token in await store.tokens()] == ["adm_1"]
    assert await store.use_link("link", _token(2), "hash 2", NOW)


async def test_a_first_link_is_none_any_more_once_there_is_a_token(database_url: str) -> None:
    """Ours: also when it was printed at the moment at which another process made the token."""
    async with opened(database_url) as one, opened(database_url) as two:
        for number in range(10):
            first, second = SqlAdministratorStore(one), SqlAdministratorStore(two)
            await together([first.first_link("link", UNTIL, NOW), second.add_token(_token(number), f"hash {number}")])
            assert not await first.link_is_open("link", NOW)
            assert not await second.use_link("link", _token(99), "hash", NOW)
            await second.remove_token(f"adm_{number}")
            await first.end_first_link()


async def test_an_expired_link_makes_no_token(store: SqlAdministratorStore) -> None:
    """Ours: expiry is checked in the statement that consumes."""
    await store.new_link("link", UNTIL, NOW)
    assert not await store.link_is_open("link", UNTIL)
    assert not await store.use_link("link", _token(), "hash", UNTIL)
    assert await store.tokens() == []


async def test_parallel_guesses_learn_no_more_verdicts_than_the_limit(store: SqlAdministratorStore) -> None:
    """Ours: counted in the statement that admits."""
    told = await together([store.count_guess("bucket", limit=3, until=UNTIL, now=NOW) for _ in range(9)])
    assert sorted(told) == [False] * 6 + [True] * 3
    assert await store.guesses_locked("bucket", limit=3, now=NOW)
    assert not await store.guesses_locked("bucket", limit=3, now=UNTIL)
    assert not await store.guesses_locked("other", limit=3, now=NOW)


async def test_what_expired_is_swept(store: SqlAdministratorStore, database: Database) -> None:
    """Ours: docs/storage.md says when a row ends."""
    await store.add_token(_token(1), "hash 1")
    await store.add_session("old", _session(expires_at=NOW))
    await store.add_session("open", _session())
    await store.new_link("link", NOW, NOW - 1)
    await store.sweep(NOW)
    assert [row["session_hash"] for row in await rows(database, "admin_sessions")] == ["open"]
    assert await rows(database, "setup_links") == []
    assert len(await store.tokens()) == 1
