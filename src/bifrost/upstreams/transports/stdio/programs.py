"""All running programs: one for each link to an upstream, within limits, and none that nobody needs."""

import asyncio
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import structlog

from bifrost.base.clock import SECOND, Clock
from bifrost.base.errors import Unavailable
from bifrost.upstreams.errors import UpstreamUnavailable
from bifrost.upstreams.transports.stdio.command import Program
from bifrost.upstreams.transports.stdio.process import StdioPipe

FIRST_BACKOFF_MILLISECONDS = 1 * SECOND
MAX_BACKOFF_MILLISECONDS = 60 * SECOND
LASTED_MILLISECONDS = 60 * SECOND
"""A program that ran this long before it ended is started again at once."""

MAX_STARTS = 30
"""Of one upstream in a minute, whoever wants it."""
MINUTE = 60 * SECOND
SPARE_MILLISECONDS = 5 * SECOND
"""When there is no room, the program that was not used for longest gives way, if it was not used for this long."""

LOOK_SECONDS = 5.0
MAX_REMEMBERED = 1_000
"""Owners whose programs ended badly, and upstreams whose last words are kept."""

Key = tuple[str, str]
"""An upstream's id and an owner."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class StdioLimits:
    """For one process of the gateway."""

    per_upstream: int
    in_all: int
    idle_seconds: int


@dataclass(frozen=True, slots=True)
class _Failures:
    count: int
    not_before: int


@dataclass(slots=True)
class StdioPrograms:
    limits: StdioLimits
    clock: Clock
    _running: dict[StdioPipe, Key] = field(default_factory=dict)
    _starting: list[str] = field(default_factory=list)
    """The upstreams whose programs are being started."""

    _watching: set[asyncio.Task[None]] = field(default_factory=set)
    _failures: OrderedDict[Key, _Failures] = field(default_factory=OrderedDict)
    _starts: OrderedDict[str, deque[int]] = field(default_factory=OrderedDict)
    _last_words: OrderedDict[str, list[str]] = field(default_factory=OrderedDict)
    _closed: bool = False

    async def open(self, upstream_id: str, name: str, program: Program, owner: str) -> StdioPipe:
        """A new program for this owner. Raises UpstreamUnavailable."""
        key = upstream_id, owner
        self._check(key, name)
        self._starting.append(upstream_id)
        try:
            await self._make_room(upstream_id, name)
            self._remember_start(upstream_id)
            pipe = await StdioPipe.start(name, program, self.clock)
        finally:
            self._starting.remove(upstream_id)
        self._running[pipe] = key
        watching = asyncio.ensure_future(self._watch(key, name, pipe))
        self._watching.add(watching)
        watching.add_done_callback(self._watching.discard)
        log.info("stdio_program_started", upstream=name, process=pipe.process_id)
        return pipe

    def printed(self, upstream_id: str) -> list[str]:
        """What its programs last wrote to their standard error, for an administrator."""
        running = [line for pipe in self._of(upstream_id) for line in pipe.printed()]
        return [*self._last_words.get(upstream_id, ()), *running]

    async def end_idle(self) -> None:
        """End the programs that nobody has used for long."""
        limit = self.clock.now() - self.limits.idle_seconds * SECOND
        await self._close([pipe for pipe in self._running if pipe.used_at < limit])

    async def end(self, upstream_id: str) -> None:
        """End every program of an upstream: it was changed, disabled or deleted."""
        await self._close(self._of(upstream_id))

    async def run(self, enabled: Callable[[], Awaitable[frozenset[str]]]) -> None:
        """Until cancelled: end what is idle, and what belongs to an upstream that is not enabled any more."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            try:
                await self.end_idle()
                if self._running:
                    await self.end_all_but(enabled)
            except Exception:
                log.exception("programs_not_looked_at")

    async def end_all_but(self, enabled: Callable[[], Awaitable[frozenset[str]]]) -> None:
        try:
            wanted = await enabled()
        except Unavailable:
            return  # nobody knows; the next look comes soon
        for upstream_id in {key[0] for key in self._running.values()} - wanted:
            await self.end(upstream_id)

    async def close(self) -> None:
        """End all; nothing is started any more."""
        self._closed = True
        await self._close(list(self._running))
        await asyncio.gather(*self._watching, return_exceptions=True)

    async def _close(self, pipes: list[StdioPipe]) -> None:
        await asyncio.gather(*(pipe.close() for pipe in pipes))
        for pipe in pipes:
            self._running.pop(pipe, None)

    def _of(self, upstream_id: str) -> list[StdioPipe]:
        return [pipe for pipe, key in self._running.items() if key[0] == upstream_id]

    def _check(self, key: Key, name: str) -> None:
        now, (upstream_id, _) = self.clock.now(), key
        if self._closed:
            raise UpstreamUnavailable("The gateway is stopping.")
        failures = self._failures.get(key)
        if failures and now < failures.not_before:
            seconds = (failures.not_before - now + SECOND - 1) // SECOND
            raise UpstreamUnavailable(
                f"{name} ended unexpectedly {failures.count} times; it is started again in {seconds} s.",
                retry_after=seconds,
            )
        starts = self._starts.get(upstream_id, deque())
        while starts and starts[0] <= now - MINUTE:
            starts.popleft()
        if len(starts) >= MAX_STARTS:
            raise UpstreamUnavailable(f"{name} was started {MAX_STARTS} times within a minute; try later.")

    async def _make_room(self, upstream_id: str, name: str) -> None:
        """Raises UpstreamUnavailable when every program is in use."""
        if len(self._of(upstream_id)) + self._starting.count(upstream_id) > self.limits.per_upstream:
            await self._give_way(self._of(upstream_id), name)
        if len(self._running) + len(self._starting) > self.limits.in_all:
            await self._give_way(list(self._running), name)

    async def _give_way(self, pipes: list[StdioPipe], name: str) -> None:
        oldest = min(pipes, key=lambda pipe: pipe.used_at, default=None)
        if oldest is None or self.clock.now() - oldest.used_at < SPARE_MILLISECONDS:
            raise UpstreamUnavailable(f"{name} has no place for another caller now; try later.")
        await self._close([oldest])

    def _remember_start(self, upstream_id: str) -> None:
        self._starts.setdefault(upstream_id, deque()).append(self.clock.now())
        self._starts.move_to_end(upstream_id)
        _trim(self._starts)

    async def _watch(self, key: Key, name: str, pipe: StdioPipe) -> None:
        status = await pipe.ended()
        wanted = (pipe.asked_to_end and not pipe.fault) or pipe.on_trial
        await pipe.close()
        self._running.pop(pipe, None)
        if wanted:
            log.info("stdio_program_ended", upstream=name, status=status)
            return
        self._last_words[key[0]] = pipe.printed()
        _trim(self._last_words)
        log.warning(
            "stdio_program_failed", upstream=name, status=status, fault=pipe.fault, printed=pipe.printed()[-20:]
        )
        self._failed(key, pipe)

    def _failed(self, key: Key, pipe: StdioPipe) -> None:
        now = self.clock.now()
        before = self._failures.pop(key, None)
        count = 1 if before is None or now - pipe.started_at >= LASTED_MILLISECONDS else before.count + 1
        wait = min(FIRST_BACKOFF_MILLISECONDS * 2 ** (count - 1), MAX_BACKOFF_MILLISECONDS)
        self._failures[key] = _Failures(count, now + wait)
        _trim(self._failures)


def _trim(remembered: OrderedDict[Key, _Failures] | OrderedDict[str, deque[int]] | OrderedDict[str, list[str]]) -> None:
    while len(remembered) > MAX_REMEMBERED:
        remembered.popitem(last=False)
