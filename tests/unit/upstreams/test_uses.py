"""What nobody has used for long, and what is in use however long that takes."""

from bifrost.base.clock import SECOND
from bifrost.upstreams.uses import Uses
from tests.support.clock import FakeClock


def test_what_rests_is_idle_after_its_time_and_what_is_in_use_never(clock: FakeClock) -> None:
    """Ours: the time counts from the end of the last use."""
    uses = Uses[str](clock)
    with uses.of("used"):
        clock.advance(seconds=50)
    with uses.of("running"), uses.of("running"):
        clock.advance(seconds=59)
        assert uses.idle(("used", "running"), 60 * SECOND) == []
        clock.advance(seconds=1)
        assert uses.idle(("used", "running"), 60 * SECOND) == ["used"]
        clock.advance(seconds=600)
        assert uses.idle(("running",), 60 * SECOND) == []
    assert uses.idle(("running",), 60 * SECOND) == []
    clock.advance(seconds=60)
    assert uses.idle(("running",), 60 * SECOND) == ["running"]


def test_what_was_never_used_counts_from_when_it_is_seen_first(clock: FakeClock) -> None:
    """Ours: opened, and then nothing."""
    uses = Uses[str](clock)
    assert uses.idle(("opened",), SECOND) == []
    clock.advance(seconds=1)
    assert uses.idle(("opened",), SECOND) == ["opened"]
    assert uses.idle((), SECOND) == []
    assert uses.idle(("opened",), SECOND) == []


def test_what_is_only_kept_is_not_idle_and_rests_all_the_same(clock: FakeClock) -> None:
    """Ours: to listen is no use, however long it goes on, and nobody is interrupted in it."""
    uses = Uses[str](clock)
    with uses.kept("heard"), uses.kept("heard"):
        with uses.of("heard"):
            assert not uses.rests("heard", 60 * SECOND)
        clock.advance(seconds=59)
        assert not uses.rests("heard", 60 * SECOND)
        clock.advance(seconds=1)
        assert uses.rests("heard", 60 * SECOND)
        assert uses.idle(("heard",), 60 * SECOND) == []
    assert uses.idle(("heard",), 60 * SECOND) == ["heard"], "from the moment that nobody keeps it"
    assert uses.rests("never used", 60 * SECOND)


def test_what_is_in_use_is_known_to_be_though_it_was_not_among_those_asked_about(clock: FakeClock) -> None:
    """Ours: a link is opened while another one of the same caller is looked at."""
    uses = Uses[str](clock)
    with uses.of("opening"):
        assert uses.idle((), SECOND) == []
        clock.advance(seconds=2)
        assert uses.idle(("opening",), SECOND) == []
        with uses.of("opening"):
            clock.advance(seconds=2)
        assert uses.idle(("opening",), SECOND) == []
        clock.advance(seconds=2)
        assert uses.idle(("opening",), SECOND) == []
    clock.advance(seconds=1)
    assert uses.idle(("opening",), SECOND) == ["opening"]
