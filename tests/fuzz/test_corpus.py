"""Everything that the fuzzer ever found interesting, tried again (`make fuzz` looks for more)."""

from pathlib import Path

import pytest

from tests.fuzz.targets import TARGETS

CORPUS = Path(__file__).with_name("corpus")


@pytest.mark.parametrize("name", TARGETS)
def test_what_was_kept_breaks_nothing(name: str) -> None:
    """Readers of what strangers write: whatever the bytes, an answer in words."""
    kept = sorted((CORPUS / name).iterdir())
    assert len(kept) >= 5, f"there is hardly anything in {CORPUS / name}"
    for file in kept:
        TARGETS[name](file.read_bytes())


def test_nothing_is_kept_for_a_target_that_is_gone() -> None:
    assert {directory.name for directory in CORPUS.iterdir()} == set(TARGETS)
