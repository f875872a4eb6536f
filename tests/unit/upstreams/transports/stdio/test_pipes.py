"""From an upstream's configuration to a program."""

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any, cast

import pytest

from bifrost.upstreams.errors import UpstreamUnavailable
from bifrost.upstreams.models import StdioConfig
from bifrost.upstreams.transports.base import Channel
from bifrost.upstreams.transports.stdio.command import AllowedCommands
from bifrost.upstreams.transports.stdio.pipes import StdioPipes
from bifrost.upstreams.transports.stdio.programs import StdioLimits, StdioPrograms
from tests.support.clock import FakeClock
from tests.unit.upstreams.links._peer import UPSTREAM

pytestmark = pytest.mark.anyio

CHANNEL = cast("Channel", None)
CAT = replace(UPSTREAM, connection_type="stdio", connection_string="", stdio_config=StdioConfig(command="cat"))


@pytest.fixture
async def programs(clock: FakeClock) -> AsyncIterator[StdioPrograms]:
    made = StdioPrograms(StdioLimits(per_upstream=2, in_all=2, idle_seconds=60), clock)
    yield made
    await made.close()


async def test_an_allowed_program_is_started(programs: StdioPrograms) -> None:
    """Contract §8."""
    pipe: Any = await StdioPipes(AllowedCommands(("/bin/cat",)), programs).open(CAT, "vk:k", CHANNEL)
    await pipe.send(b'{"a":1}')
    assert await pipe.receive() == b'{"a":1}'


async def test_a_program_that_is_not_allowed_any_more_is_not_started(programs: StdioPrograms) -> None:
    """TC-131: the list counts at every start; the caller is not told what is on it."""
    with pytest.raises(UpstreamUnavailable) as refused:
        await StdioPipes(AllowedCommands(("/bin/true",)), programs).open(CAT, "vk:k", CHANNEL)
    assert refused.value.message == "notes may not be started; the log says why."
    assert not programs._running
