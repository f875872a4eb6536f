"""Which sessions have somebody who listens, in this process or in another."""

from typing import Any, cast

import pytest
from msgspec import Raw

from bifrost.gateway.letter_limits import LETTERS, LetterLimits
from bifrost.gateway.presence import ABSENT_MILLISECONDS, PRESENT, SAY_MILLISECONDS, Presence
from tests.support.clock import FakeClock

ABSENT, SAY = ABSENT_MILLISECONDS // 1_000, SAY_MILLISECONDS // 1_000


class Letters:
    def __init__(self, *, shared: bool = True) -> None:
        self.shared = shared
        self.posted: list[tuple[str, list[str]]] = []

    def post(self, session: str, kind: str, body: dict[str, Any]) -> None:
        assert kind == PRESENT
        self.posted.append((session, body["sessions"]))


def presence(clock: FakeClock, letters: Letters | None = None, returned: list[str] | None = None) -> Presence:
    told = [] if returned is None else returned
    return Presence(cast("Any", letters or Letters()), LetterLimits(clock), clock, told.append)


def test_whoever_has_left_is_absent_after_half_an_hour_and_whoever_listens_is_not(clock: FakeClock) -> None:
    """Ours: a stream may break and be opened again; two streams of one session are one session."""
    here = presence(clock)
    for session in ("left", "listens", "listens"):
        here.comes(session, "p")
    clock.advance(seconds=ABSENT)
    here.goes("left")
    here.goes("listens")
    clock.advance(seconds=ABSENT - 1)
    assert here.absent({"left", "listens"}) == set()
    clock.advance(seconds=1)
    assert here.absent({"left", "listens"}) == {"left"}


def test_a_stream_elsewhere_is_somebody_for_half_an_hour(clock: FakeClock) -> None:
    """Contract §10: and what was heard for the session is heard again."""
    returned: list[str] = []
    here = presence(clock, returned=returned)
    read = here.reads()[PRESENT]
    assert here.absent({"s"}) == set()
    clock.advance(seconds=ABSENT - 1)
    read("", {"sessions": Raw(b'["s", 1, "t"]')})
    assert returned == ["s", "t"]
    clock.advance(seconds=ABSENT - 1)
    assert here.absent({"s"}) == set()
    clock.advance(seconds=1)
    assert here.absent({"s"}) == {"s"}
    read("", {"sessions": Raw(b"{}")})
    read("", {})
    assert returned == ["s", "t"]


def test_the_others_are_told_at_once_and_every_few_minutes(clock: FakeClock) -> None:
    """Contract §10: one letter for all streams of a process, however many."""
    letters = Letters()
    here = presence(clock, letters)
    here.comes("s", "p")
    assert letters.posted == [("s", ["s"])]
    here.say({"t", "s"})
    clock.advance(seconds=SAY)
    for _ in range(3):
        here.say({"t", "s"})
    assert letters.posted[1:] == [("", ["s", "t"])]
    clock.advance(seconds=SAY)
    here.say(set())
    assert len(letters.posted) == 2, "nothing is said where there is nothing to say"


def test_a_subscription_that_is_here_alone_is_nothing_to_others(clock: FakeClock) -> None:
    """2026-07-28, subscriptions: it ends with its stream."""
    letters = Letters()
    here = presence(clock, letters)
    here.comes("l", "p", known_elsewhere=False)
    assert letters.posted == []
    assert here.is_here("l")
    here.goes("l")
    assert not here.is_here("l")


@pytest.mark.parametrize("shared", [True, False])
def test_streams_that_are_opened_without_end_write_a_measure_of_letters(clock: FakeClock, shared: bool) -> None:
    """Contract §10: each is a row that every process reads; with one process there are none."""
    letters = Letters(shared=shared)
    here = presence(clock, letters)
    for _ in range(2 * LETTERS.most):
        here.comes("s", "p")
        here.goes("s")
    assert len(letters.posted) == (LETTERS.most if shared else 0)
