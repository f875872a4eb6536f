"""Time as an argument: every rule about lifetimes takes a `Clock`, so that tests move it by hand."""

import time
from typing import Protocol

SECOND = 1_000
"""One second in the unit every stored time has: milliseconds since the Unix epoch (UTC)."""

SLACK_SECONDS = 60
"""How much the clocks of two processes may differ before one takes away what the other would still take."""


class Clock(Protocol):
    def now(self) -> int:
        """Milliseconds since the Unix epoch (UTC)."""
        ...


class SystemClock:
    def now(self) -> int:
        return time.time_ns() // 1_000_000
