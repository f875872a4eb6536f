"""What a service is going to ask a person for, told on our page before they go there (contract §5).

Discovery without anything that lasts: no client is registered, no sign-in begun. What was found is kept for a while, so
that pages stay quick and a service is not asked for every page.
"""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import structlog

from bifrost.base.clock import SECOND, Clock
from bifrost.base.errors import DomainError
from bifrost.base.sealing import SealBrokenError
from bifrost.base.singleflight import SingleFlight
from bifrost.protocol.scope import is_scope
from bifrost.upstreams.models import Upstream
from bifrost.upstreams.oauth.discovery import Discovery
from bifrost.upstreams.probe import Probe
from bifrost.upstreams.vault import Vault

KNOWN_MILLISECONDS = 5 * 60 * SECOND
FAILED_MILLISECONDS = 30 * SECOND
PATIENCE_SECONDS = 2.0
"""How long a page waits for services that were not asked lately; it is shown without what is missing."""

MAX_SHOWN_CHARACTERS = 100
"""Of one scope; a longer one ends in an ellipsis."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Asked:
    """`sign_in_host` is where a person is sent; `scopes` are what they are asked to allow there."""

    sign_in_host: str
    scopes: tuple[str, ...]


@dataclass(slots=True)
class Asking:
    discovery: Discovery
    probe: Probe
    vault: Vault
    clock: Clock
    _known: dict[str, tuple[tuple[object, ...], int, Asked | None]] = field(default_factory=dict)
    _flights: SingleFlight[Asked | None] = field(default_factory=SingleFlight)

    async def of(self, upstreams: Iterable[Upstream]) -> dict[str, Asked]:
        """By upstream id; those that cannot be known now are left out."""
        wanted = list(upstreams)
        tasks = [asyncio.create_task(self._asked(upstream)) for upstream in wanted]
        if tasks:
            _done, late = await asyncio.wait(tasks, timeout=PATIENCE_SECONDS)
            for task in late:
                task.cancel()  # the flight goes on, for the next page
        found = [None if task.cancelling() else task.result() for task in tasks]
        return {upstream.id: asked for upstream, asked in zip(wanted, found, strict=True) if asked}

    async def _asked(self, upstream: Upstream) -> Asked | None:
        way = (upstream.way, upstream.sealed_oauth_config)
        known = self._known.get(upstream.id)
        if known and known[0] == way and self.clock.now() < known[1]:
            return known[2]
        return await self._flights.do((upstream.id, way), lambda: self._look(upstream, way))

    async def _look(self, upstream: Upstream, way: tuple[object, ...]) -> Asked | None:
        asked = await self._found(upstream)
        lasts = KNOWN_MILLISECONDS if asked else FAILED_MILLISECONDS
        self._known[upstream.id] = (way, self.clock.now() + lasts, asked)
        return asked

    async def _found(self, upstream: Upstream) -> Asked | None:
        try:
            config = self.vault.open_oauth_config(upstream)
            discovered = await self.discovery.discover(upstream, config, await self.probe.challenge(upstream))
        except (DomainError, SealBrokenError) as error:
            log.info("upstream_scopes_unknown", upstream=upstream.name, reason=str(error))
            return None
        return Asked(host_of(discovered.server.authorization_endpoint), readable(discovered.scopes))


def host_of(url: str) -> str:
    """Host and port as they stand in the URL; empty when it is none."""
    return urlsplit(url).netloc.rpartition("@")[2].lower()


def readable(scopes: Iterable[str]) -> tuple[str, ...]:
    """Every one that is asked for, each of a length that a person can read."""
    return tuple(
        scope if len(scope) <= MAX_SHOWN_CHARACTERS else f"{scope[: MAX_SHOWN_CHARACTERS - 1]}…"
        for scope in scopes
        if is_scope(scope)
    )
