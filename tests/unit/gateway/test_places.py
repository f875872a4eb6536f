"""How many calls an upstream is given at the same time."""

import asyncio

import pytest

from bifrost.gateway import places as module
from bifrost.gateway.errors import UpstreamFull
from bifrost.gateway.places import Places
from tests.support.upstreams import upstream

ONE, TWO = upstream(id="one", max_concurrent_calls=2), upstream(id="two", max_concurrent_calls=2)


def test_every_upstream_has_places_of_its_own_and_they_come_back_however_a_call_ends() -> None:
    """Ours: one that is full keeps nobody else waiting."""
    places = Places()
    with places.taken(ONE):
        with pytest.raises(RuntimeError), places.taken(ONE):
            raise RuntimeError
        with places.taken(ONE):
            with pytest.raises(UpstreamFull) as full, places.taken(ONE):
                pass
            assert full.value.retry_after > 0
            places.check(TWO)
        places.check(ONE)


def test_no_limit_is_no_limit() -> None:
    """Ours: 0."""
    places, endless = Places(), upstream(id="one", max_concurrent_calls=0)
    with places.taken(endless), places.taken(endless), places.taken(endless):
        places.check(endless)


def test_who_waits_for_a_person_has_lent_the_place_and_gets_it_back() -> None:
    """Ours: people take minutes, and the upstream does nothing meanwhile; the call itself is never refused for it."""
    places, single = Places(), upstream(id="one", max_concurrent_calls=1)
    with places.taken(single):
        with places.lent(single), places.taken(single), pytest.raises(UpstreamFull):
            places.check(single)
        with pytest.raises(UpstreamFull):
            places.check(single)
    places.check(single)


def test_a_request_that_asks_several_things_at_once_lends_the_one_place_that_it_has() -> None:
    """Ours: an upstream may ask 32 things in one call, and is given no more calls for that."""
    places, single = Places(), upstream(id="one", max_concurrent_calls=1)
    with places.taken(single):
        lent = places.lent(single)
        with lent, lent, places.taken(single), pytest.raises(UpstreamFull):
            places.check(single)
        with pytest.raises(UpstreamFull):
            places.check(single)
    places.check(single)


def test_what_was_let_in_before_goes_on_however_many_there_are() -> None:
    """Ours: its person has answered; and it counts, so that nobody new gets in."""
    places, single = Places(), upstream(id="one", max_concurrent_calls=1)
    with places.taken(single):
        with places.returned(single):
            pass
        with pytest.raises(UpstreamFull):
            places.check(single)
    with places.returned(single), pytest.raises(UpstreamFull):
        places.check(single)
    places.check(single)


@pytest.mark.anyio
async def test_answers_wait_in_turn_and_no_more_of_them_than_may_be_at_work() -> None:
    """Ours: each place that is given back lets one of them go on."""
    places, single = Places(), upstream(id="one", max_concurrent_calls=1)
    done: list[str] = []

    async def answer(name: str) -> None:
        await places.awaited(single)
        with places.taken(single):
            done.append(name)
            await asyncio.sleep(0)

    with places.taken(single):
        first = asyncio.create_task(answer("first"))
        await asyncio.sleep(0)
        with pytest.raises(UpstreamFull):
            await places.awaited(single)
        assert not done
    await asyncio.wait_for(first, 5)
    await asyncio.wait_for(answer("second"), 5)
    assert done == ["first", "second"]
    await places.awaited(upstream(id="one", max_concurrent_calls=0))


@pytest.mark.anyio
async def test_whoever_gives_up_waiting_is_in_nobodys_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ours: a client that has gone, or has waited long enough."""
    monkeypatch.setattr(module, "ANSWER_SECONDS", 0.01)
    places, single = Places(), upstream(id="one", max_concurrent_calls=1)
    with places.taken(single):
        gone = asyncio.create_task(places.awaited(single))
        await asyncio.sleep(0)
        gone.cancel()
        await asyncio.gather(gone, return_exceptions=True)
        for _ in range(3):
            with pytest.raises(UpstreamFull, match="not lost"):
                await places.awaited(single)
    await places.awaited(single)


@pytest.mark.anyio
async def test_a_place_that_comes_too_late_for_one_goes_to_the_next() -> None:
    """Ours: whoever is told of it and goes away at that moment does not take it from those who still wait."""
    places, two = Places(), upstream(id="one", max_concurrent_calls=2)
    with places.taken(two):
        with places.taken(two):
            first, second = (asyncio.create_task(places.awaited(two)) for _ in range(2))
            await asyncio.sleep(0)
        first.cancel()
        await asyncio.wait_for(second, 1)
        assert first.cancelled()
