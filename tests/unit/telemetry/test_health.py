"""Live and ready."""

import json

import pytest

from bifrost.base.errors import Unavailable
from bifrost.telemetry.health import Health
from tests.unit._requests import request

pytestmark = pytest.mark.anyio


async def _fine() -> None:
    return None


async def _down() -> None:
    raise Unavailable("The database at /secret/path is gone.", retry_after=7)


async def test_a_process_whose_storage_answers_is_live_and_ready() -> None:
    """Contract §1."""
    health = Health(_fine)
    assert (await health.live(request())).status_code == 200
    assert (await health.ready(request())).status_code == 200


async def test_without_its_storage_a_process_is_live_and_not_ready() -> None:
    """Contract §2: 503 with Retry-After, and nothing private."""
    health = Health(_down)
    assert (await health.live(request())).status_code == 200
    ready = await health.ready(request())
    assert (ready.status_code, ready.headers["retry-after"]) == (503, "7")
    assert json.loads(bytes(ready.body)) == {"status": "unavailable", "storage": "unavailable"}
