"""What commands besides `serve` have in common: the storage that the configuration names, opened and closed again."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from bifrost import bootstrap
from bifrost.app import Gateway, build
from bifrost.audit.trail import COMMAND_LINE
from bifrost.base import events
from bifrost.base.clock import SystemClock
from bifrost.cli.serve import load
from bifrost.telemetry import logging

T = TypeVar("T")


def with_gateway(config: str | None, use: Callable[[Gateway], Awaitable[T]]) -> T:
    """What `use` tells (base/events.py) is in the audit trail when this returns.

    Raises ConfigurationError, StorageUnavailable, and what `use` raises.
    """

    async def opened() -> T:
        loaded = load(config)
        logging.configure("warning")
        gateway = build(loaded)
        try:
            await bootstrap.prepare(loaded, gateway.database, SystemClock(), bootstrap.key_ring(loaded))
            with events.heard() as heard:
                result = await use(gateway)
            await gateway.trail.record(heard, COMMAND_LINE)
            return result
        finally:
            await gateway.database.close()

    return asyncio.run(opened())
