"""How many programs there are, and when one is started again (TC-214)."""

from collections.abc import AsyncIterator

import pytest

from bifrost.upstreams.errors import UpstreamUnavailable
from bifrost.upstreams.transports.stdio import process, programs
from bifrost.upstreams.transports.stdio.process import StdioPipe
from bifrost.upstreams.transports.stdio.programs import StdioLimits, StdioPrograms
from tests.support.clock import FakeClock
from tests.support.programs import children, program

pytestmark = pytest.mark.anyio


@pytest.fixture
async def pool(clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[StdioPrograms]:
    monkeypatch.setattr(process, "END_OF_INPUT_SECONDS", 0.2)
    before = set(children())
    made = StdioPrograms(StdioLimits(per_upstream=2, in_all=3, idle_seconds=600), clock)
    yield made
    await made.close()
    assert set(children()) <= before


async def opened(pool: StdioPrograms, owner: str = "vk:1", *, upstream: str = "up_1", mode: str = "echo") -> StdioPipe:
    return await pool.open(upstream, "notes", program(mode), owner)


async def crash(pool: StdioPrograms, owner: str = "vk:1") -> None:
    """Until the pool has noticed."""
    pipe = await opened(pool, owner, mode="exits")
    watching = set(pool._watching)
    with pytest.raises(UpstreamUnavailable):
        await pipe.receive()
    for task in watching:
        await task


async def test_nobody_shares_a_program(pool: StdioPrograms) -> None:
    """Contract §8: a process for each owner, and for each of their sessions."""
    first, second = await opened(pool), await opened(pool, "vk:2")
    third = await opened(pool, "vk:2", upstream="up_2")
    assert len({first.process_id, second.process_id, third.process_id}) == 3
    assert not first.asked_to_end


async def test_a_program_that_ends_by_itself_is_started_again_later_and_later(
    pool: StdioPrograms, clock: FakeClock
) -> None:
    """TC-214: crash loop, backoff."""
    for wait in (1, 2, 4, 8, 16, 32, 60, 60):
        await crash(pool)
        clock.advance(seconds=wait - 0.001)
        with pytest.raises(UpstreamUnavailable, match=r"started again in 1 s") as refused:
            await opened(pool)
        assert refused.value.retry_after == 1
        clock.advance(seconds=0.001)
    await opened(pool)


async def test_one_owner_whose_program_crashes_does_not_hold_up_another(pool: StdioPrograms) -> None:
    """TC-214: others are fine."""
    await crash(pool)
    assert await opened(pool, "vk:2")


async def test_a_program_that_lasted_is_started_again_soon(pool: StdioPrograms, clock: FakeClock) -> None:
    """Ours: one bad day a week is no crash loop."""
    for _ in range(3):
        await crash(pool)
        clock.advance(seconds=60)
    pipe = await opened(pool)
    clock.advance(seconds=60)
    watching = set(pool._watching)
    pipe._broken("It misbehaved.")
    for task in watching:
        await task
    clock.advance(seconds=1)
    assert await opened(pool)


async def test_an_upstream_is_not_started_more_often_than_so_many_times_a_minute(
    pool: StdioPrograms, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """TC-214: at most N spawns a minute, whoever wants them."""
    monkeypatch.setattr(programs, "MAX_STARTS", 3)
    for number in range(3):
        await crash(pool, f"vk:{number}")
    with pytest.raises(UpstreamUnavailable, match="within a minute"):
        await opened(pool, "vk:9")
    assert await opened(pool, "vk:9", upstream="up_2")
    clock.advance(seconds=60)
    assert await opened(pool, "vk:9")


async def test_the_program_that_rested_longest_gives_way(pool: StdioPrograms, clock: FakeClock) -> None:
    """Ours: a limit for each upstream."""
    first = await opened(pool)
    clock.advance(seconds=1)
    second = await opened(pool, "vk:2")
    clock.advance(seconds=5)
    await opened(pool, "vk:3")
    assert first.asked_to_end
    assert not second.asked_to_end


async def test_programs_in_use_do_not_give_way(pool: StdioPrograms) -> None:
    """Ours: the newcomer is refused, nobody's work is."""
    await opened(pool)
    await opened(pool, "vk:2")
    with pytest.raises(UpstreamUnavailable, match="no place"):
        await opened(pool, "vk:3")
    await opened(pool, upstream="up_2")
    with pytest.raises(UpstreamUnavailable, match="no place"):
        await opened(pool, upstream="up_3")


async def test_a_program_that_nobody_uses_is_ended(pool: StdioPrograms, clock: FakeClock) -> None:
    """Ours: a setting says after how long."""
    idle = await opened(pool)
    clock.advance(seconds=300)
    used = await opened(pool, "vk:2")
    clock.advance(seconds=301)
    await pool.end_idle()
    assert idle.asked_to_end
    assert not used.asked_to_end


async def test_all_programs_of_an_upstream_end_together(pool: StdioPrograms) -> None:
    """Contract §6: a deleted upstream is gone."""
    first, other = await opened(pool), await opened(pool, upstream="up_2")
    await pool.end("up_1")
    assert first.asked_to_end
    assert not other.asked_to_end


async def test_the_last_words_of_a_program_stay_for_the_administrator(pool: StdioPrograms) -> None:
    """Ours."""
    await crash(pool)
    assert pool.printed("up_1")[0].startswith("no licence found")
    assert pool.printed("up_2") == []


async def test_a_pool_that_is_closed_starts_nothing(pool: StdioPrograms) -> None:
    """Contract §11: SIGTERM."""
    running = await opened(pool)
    await pool.close()
    assert running.asked_to_end
    with pytest.raises(UpstreamUnavailable, match="stopping"):
        await opened(pool)
