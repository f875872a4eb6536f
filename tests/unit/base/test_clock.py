"""Time."""

import time

from bifrost.base.clock import SECOND, SystemClock


def test_the_system_clock_tells_milliseconds_since_the_epoch() -> None:
    """docs/storage.md: every stored time has this unit."""
    before = time.time_ns() // 1_000_000
    assert before <= SystemClock().now() <= before + 60 * SECOND
