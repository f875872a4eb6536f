"""The state of an upstream: written once when it changes."""

from dataclasses import dataclass, field, replace

import pytest
from structlog.testing import capture_logs

from bifrost.upstreams.models import Upstream, UpstreamState
from bifrost.upstreams.states import UpstreamStates
from tests.support.clock import FakeClock

pytestmark = pytest.mark.anyio

UPSTREAM = Upstream(
    id="up_1", name="notes", endpoint_slug="notes", connection_type="http", connection_string="https://up.example/mcp",
    auth_type="none", tools_to_execute=(), allow_on_all_virtual_keys=False, tool_execution_timeout=30, disabled=False,
)  # fmt: skip


@dataclass
class Kept:
    notes: list[tuple[str, str]] = field(default_factory=list)

    async def note_state(self, upstream: Upstream, state: UpstreamState, reason: str, now: int) -> bool:
        self.notes.append((state, reason))
        return self.notes.count((state, reason)) == 1


async def test_of_many_that_see_a_change_one_logs_it(clock: FakeClock) -> None:
    """Contract §8: state transitions are logged once each."""
    kept = Kept()
    states = UpstreamStates(kept, clock)
    with capture_logs() as logs:
        await states.note(UPSTREAM, "error", "It broke.")
        await states.note(UPSTREAM, "error", "It broke.")
    assert [(line["event"], line["upstream"], line["state"], line["reason"]) for line in logs] == [
        ("upstream_state", "notes", "error", "It broke.")
    ]
    assert len(kept.notes) == 2


async def test_nothing_is_written_when_it_was_in_that_state_already(clock: FakeClock) -> None:
    """Ours: an upstream that works costs no writing."""
    kept = Kept()
    await UpstreamStates(kept, clock).note(replace(UPSTREAM, state="connected"), "connected")
    assert kept.notes == []
