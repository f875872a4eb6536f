"""Nobody fills the table that all processes read (contract §10)."""

import pytest

from bifrost.gateway import letter_limits
from bifrost.gateway.errors import TooManyLetters
from bifrost.gateway.letter_limits import LASTING, LETTERS, LetterLimits, Measure
from tests.support.clock import FakeClock


def test_each_has_a_measure_of_their_own_for_each_kind_and_window(clock: FakeClock) -> None:
    """One person's flood is nobody else's trouble, and is over with its window."""
    limits, few = LetterLimits(clock), Measure("few", most=3, seconds=10)
    for _ in range(3):
        limits.check("anna", few)
    with pytest.raises(TooManyLetters) as refused:
        limits.check("anna", few)
    assert refused.value.retry_after == 10
    limits.check("bert", few)
    limits.check("anna", LETTERS)
    limits.check("anna", LASTING)
    clock.advance(seconds=10)
    limits.check("anna", few)


def test_what_is_remembered_of_principals_is_bounded(clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ours: the one that was seen longest ago is forgotten."""
    monkeypatch.setattr(letter_limits, "MAX_PRINCIPALS", 5)
    limits = LetterLimits(clock)
    for number in range(100):
        limits.check(str(number), LETTERS)
    assert len(limits._counts) == 5
