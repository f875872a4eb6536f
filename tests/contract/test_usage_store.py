"""Windows of limits: over all processes together never more than the limit, all takes of a call or none."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from bifrost.governance.usage import Take, Window, WindowFull
from bifrost.storage.database import Database
from bifrost.storage.usage import SqlUsageStore
from tests.contract._stores import MINUTE, NOW, opened, rows, together

pytestmark = pytest.mark.anyio

END = NOW + MINUTE


def _take(amount: int = 1, *, name: str = "requests:1m", limit: int = 3, resets_at: int = END) -> Take:
    return Take(name=name, amount=amount, limit=limit, resets_at=resets_at)


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    async with opened(database_url) as made:
        yield made


@pytest.fixture
def store(database: Database) -> SqlUsageStore:
    return SqlUsageStore(database)


async def _full(store: SqlUsageStore, *takes: Take, now: int = NOW) -> Window:
    with pytest.raises(WindowFull) as full:
        await store.take("vk", takes, now)
    return full.value.window


async def test_a_window_fills_and_says_when_it_ends(store: SqlUsageStore) -> None:
    """Contract §9: the window of the first call is the window of the others."""
    for used in (1, 2, 3):
        taken = await store.take("vk", (_take(resets_at=END + used),), NOW + used)
        assert taken == (Window(name="requests:1m", used=used, resets_at=END + 1),)
    assert await _full(store, _take(), now=NOW + 4) == Window(name="requests:1m", used=3, resets_at=END + 1)
    assert await store.windows("vk", NOW + 4) == [Window(name="requests:1m", used=3, resets_at=END + 1)]


async def test_a_window_begins_again_at_its_end(store: SqlUsageStore) -> None:
    """Ours: at the millisecond of its end it is over."""
    await store.take("vk", (_take(3),), NOW)
    await _full(store, _take(), now=END - 1)
    assert await store.windows("vk", END) == []
    assert await store.take("vk", (_take(resets_at=END + MINUTE),), END) == (
        Window(name="requests:1m", used=1, resets_at=END + MINUTE),
    )


async def test_keys_and_windows_do_not_share(store: SqlUsageStore) -> None:
    """Ours."""
    await store.take("vk", (_take(3),), NOW)
    await store.take("other", (_take(3),), NOW)
    await store.take("vk", (_take(3, name="requests:1h"),), NOW)
    await _full(store, _take())


async def test_a_call_takes_all_or_nothing(store: SqlUsageStore) -> None:
    """Ours: what is refused counts nowhere."""
    await store.take("vk", (_take(3),), NOW)
    full = await _full(store, _take(7, name="budget:1d", limit=100), _take())
    assert full.name == "requests:1m"
    assert [window.name for window in await store.windows("vk", NOW)] == ["requests:1m"]


@pytest.mark.parametrize("limit", [0, 4])
async def test_more_than_the_limit_never_fits_even_at_the_beginning(store: SqlUsageStore, limit: int) -> None:
    """Ours: a limit of 0, and a call that costs more than a whole budget."""
    for now in (NOW, END):
        assert await _full(store, _take(5, limit=limit), now=now) == Window(name="requests:1m", used=0, resets_at=END)
    assert await store.windows("vk", NOW) == []


async def test_a_lowered_limit_counts_at_once(store: SqlUsageStore) -> None:
    """Contract §9: a change is felt at the next call; what was used stays used."""
    await store.take("vk", (_take(3),), NOW)
    await _full(store, _take(limit=2))
    assert await store.take("vk", (_take(limit=4),), NOW)


async def test_money_goes_back_to_its_own_window_only(store: SqlUsageStore) -> None:
    """Ours: a call that fails after its window has ended gives nothing to the next one."""
    (window,) = await store.take("vk", (_take(2),), NOW)
    await store.give_back("vk", 2, window)
    assert [one.used for one in await store.windows("vk", NOW)] == [0]
    await store.give_back("vk", 2, window)
    assert [one.used for one in await store.windows("vk", NOW)] == [0]
    (window,) = await store.take("vk", (_take(2),), NOW)
    await store.take("vk", (_take(1, resets_at=END + MINUTE),), END)
    await store.give_back("vk", 2, window)
    assert [one.used for one in await store.windows("vk", END)] == [1]


async def test_no_number_of_processes_goes_beyond_a_limit(database_url: str) -> None:
    """Architecture §7: 40 calls of 7 on a limit of 100, 14 get through."""
    async with opened(database_url) as one, opened(database_url) as two:
        stores = [SqlUsageStore(one), SqlUsageStore(two)] * 20
        results = await together(_taken(store, _take(7, limit=100)) for store in stores)
        assert results.count(True) == 14
        assert [window.used for window in await stores[0].windows("vk", NOW)] == [98]


async def test_parallel_calls_with_several_windows_do_not_wait_for_each_other_for_ever(database_url: str) -> None:
    """Ours: two limits, the smaller one decides, and neither counts what the other refused."""
    async with opened(database_url) as one, opened(database_url) as two:
        stores = [SqlUsageStore(one), SqlUsageStore(two)] * 10
        takes = (_take(5, name="budget:1d", limit=1_000), _take(limit=6))
        results = await together(_taken(store, *takes) for store in stores)
        assert results.count(True) == 6
        used = {window.name: window.used for window in await stores[0].windows("vk", NOW)}
        assert used == {"budget:1d": 30, "requests:1m": 6}


async def _taken(store: SqlUsageStore, *takes: Take) -> bool:
    try:
        await store.take("vk", takes, NOW)
    except WindowFull:
        return False
    return True


async def test_what_ended_is_swept(store: SqlUsageStore, database: Database) -> None:
    """Ours: docs/storage.md says when a row ends."""
    await store.take("vk", (_take(),), NOW)
    await store.take("vk", (_take(name="budget:1d", resets_at=END + 1),), NOW)
    await store.sweep(END)
    left: list[dict[str, Any]] = await rows(database, "key_usage")
    assert [row["name"] for row in left] == ["budget:1d"]
