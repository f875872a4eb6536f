"""A log line says to which request it belongs, and never to which it does not."""

import asyncio

import pytest
import structlog
from structlog.testing import capture_logs

from bifrost.base import log_context

pytestmark = pytest.mark.anyio


def merged(**event: str) -> dict[str, str]:
    return dict(log_context.merge(None, "info", dict(event)))


def test_a_line_says_what_is_known_of_its_request() -> None:
    """Contract §2: `event_id` in every log line."""
    with log_context.about(event_id="evt_1"):
        log_context.add(administrator="adm_1")
        assert merged(event="x") == {"event": "x", "event_id": "evt_1", "administrator": "adm_1"}
        assert log_context.facts() == {"event_id": "evt_1", "administrator": "adm_1"}


def test_what_a_line_says_itself_wins() -> None:
    """Ours: it is nearer to what happened."""
    with log_context.about(event_id="evt_1"):
        assert merged(event_id="evt_2") == {"event_id": "evt_2"}


def test_nothing_of_a_request_is_left_for_the_next_one() -> None:
    """Ours: an administrator's name on somebody else's line would be a false accusation."""
    for name in ("evt_1", "evt_2"):
        with log_context.about(event_id=name):
            assert merged() == {"event_id": name}
            log_context.add(administrator="adm_1")
    assert merged() == {}


def test_within_another_one_nothing_of_that_is_said() -> None:
    """RFC 9112 §9.3.2: a request that waited on the same connection begins while the one before it ends."""
    with log_context.about(event_id="evt_1"):
        log_context.add(administrator="adm_1")
        with log_context.about(event_id="evt_2"):
            assert merged() == {"event_id": "evt_2"}
        assert merged() == {"event_id": "evt_1", "administrator": "adm_1"}


def test_outside_of_a_request_nothing_is_kept() -> None:
    """Ours: what the process does for itself is nobody's."""
    log_context.add(administrator="adm_1")
    assert merged(event="x") == {"event": "x"}


async def test_two_requests_at_the_same_time_say_nothing_of_each_other() -> None:
    """Ours: a task is a request; what it starts belongs to it."""

    async def request(name: str) -> list[dict[str, str]]:
        with log_context.about(event_id=name):
            await asyncio.sleep(0)
            log_context.add(administrator=f"of {name}")
            await asyncio.sleep(0)
            return [merged(), await asyncio.create_task(_started())]

    for name, said in zip("ab", await asyncio.gather(request("a"), request("b")), strict=True):
        assert said == [{"event_id": name, "administrator": f"of {name}"}] * 2


async def _started() -> dict[str, str]:
    return merged()


def test_a_logger_that_is_bound_writes_what_every_other_writes() -> None:
    """Ours: it is only cheaper."""
    logger = log_context.bound_logger()
    with capture_logs() as lines:
        logger.info("x", status=200)
        structlog.get_logger().info("x", status=200)
    assert lines == [{"event": "x", "status": 200, "log_level": "info"}] * 2
