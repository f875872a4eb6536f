"""What runs in the background for as long as the process does (app/__init__.py) outlives a fault of ours."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, cast

import pytest
from structlog.testing import capture_logs

from bifrost.gateway.letter_limits import LetterLimits
from bifrost.gateway.streams import Streams
from bifrost.storage.sweeper import Sweeper
from bifrost.upstreams.sessions import UpstreamSessions
from bifrost.upstreams.transports.stdio.programs import StdioLimits, StdioPrograms
from tests.support.clock import FakeClock
from tests.support.servers import until

pytestmark = pytest.mark.anyio

Loop = Coroutine[Any, Any, None]
_NOTHING = cast("Any", None)


class _Rounds:
    """The first one fails, the next ones do not."""

    def __init__(self) -> None:
        self.rounds = 0

    async def awaited(self, *_what: object) -> None:
        self.at_once()

    def at_once(self, *_what: object) -> None:
        self.rounds += 1
        if self.rounds == 1:
            raise RuntimeError("a fault of ours")


def _streams(clock: FakeClock) -> Loop:
    return Streams(_NOTHING, _NOTHING, _NOTHING, _NOTHING, LetterLimits(clock)).keep_current()


def _sessions(_clock: FakeClock) -> Loop:
    return UpstreamSessions(_NOTHING, {}).run()


def _sweeper(clock: FakeClock) -> Loop:
    return Sweeper((), clock).run()


def _programs(clock: FakeClock) -> Loop:
    return StdioPrograms(StdioLimits(per_upstream=1, in_all=1, idle_seconds=1), clock).run(_NOTHING)


@pytest.mark.parametrize(
    ("begun", "owner", "method", "pause"),
    [
        (_streams, Streams, "_look", "gateway.streams.LOOK_SECONDS"),
        (_sessions, UpstreamSessions, "close_idle", "upstreams.sessions.LOOK_SECONDS"),
        (_sweeper, Sweeper, "sweep", "storage.sweeper.EVERY_SECONDS"),
        (_programs, StdioPrograms, "end_idle", "upstreams.transports.stdio.programs.LOOK_SECONDS"),
    ],
)
async def test_a_fault_in_one_round_is_logged_and_the_next_round_comes(
    monkeypatch: pytest.MonkeyPatch,
    clock: FakeClock,
    begun: Callable[[FakeClock], Loop],
    owner: type,
    method: str,
    pause: str,
) -> None:
    """Contract §6: what has to end within a second of a change goes on ending, whatever went wrong once."""
    look = _Rounds()
    monkeypatch.setattr(f"bifrost.{pause}", 0.001)
    monkeypatch.setattr(owner, method, look.at_once if method == "close_idle" else look.awaited)
    with capture_logs() as said:
        running = asyncio.create_task(begun(clock))
        try:
            await until(lambda: look.rounds > 1)
        finally:
            running.cancel()
    assert [line["log_level"] for line in said] == ["error"]
