"""Hearing from PostgreSQL, on a connection of its own, that another process changed what requests stand on."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any

import structlog

CHANNEL = "bifrost_changes"
RETRY_SECONDS = 1.0
"""While there is no connection nothing is heard; rows in memory grow no older than a second all the same."""

log = structlog.get_logger()


class ChangeListener:
    """`heard` is called for every change, and whenever changes may have been missed."""

    def __init__(self, connect: Callable[[], Awaitable[Any]], heard: Callable[[], None]) -> None:
        self._connect = connect
        self._heard = heard
        self._listening: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._listening = asyncio.create_task(self._listen())

    async def stop(self) -> None:
        if self._listening is not None:
            self._listening.cancel()
            await asyncio.gather(self._listening, return_exceptions=True)
        self._listening = None

    async def _listen(self) -> None:
        while True:
            try:
                await self._until_it_ends()
            except Exception as error:  # noqa: BLE001 - whatever it is, the next try may work; nothing depends on it
                log.warning("change_listener_lost", reason=type(error).__name__)
            await asyncio.sleep(RETRY_SECONDS)

    async def _until_it_ends(self) -> None:
        connection, ended = await self._connect(), asyncio.Event()
        try:
            connection.add_termination_listener(lambda _connection: ended.set())
            await connection.add_listener(CHANNEL, lambda *_notice: self._heard())
            self._heard()
            await ended.wait()
        finally:
            self._heard()
            with contextlib.suppress(Exception):
                connection.terminate()
