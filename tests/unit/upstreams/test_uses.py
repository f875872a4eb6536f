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
