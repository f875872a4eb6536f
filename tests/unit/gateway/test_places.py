"""How many calls an upstream is given at the same time."""

import pytest

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
