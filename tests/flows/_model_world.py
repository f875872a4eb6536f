"""What the model runs in: a gateway that can be killed, two browsers, an administrator, and what they were given."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import httpx2
from hypothesis.stateful import RuleBasedStateMachine, initialize

from bifrost.base.clock import SECOND
from tests.flows._connecting import KEYS, SECOND_KEY
from tests.support import oauth
from tests.support.clock import FakeClock
from tests.support.gateway import VIRTUAL_KEY, TestGateway, running_gateway, upstream
from tests.support.oauth_upstream import OAuthUpstream

T = TypeVar("T")
PEOPLE = (("vk-test", VIRTUAL_KEY), ("vk-two", SECOND_KEY))
FLOW_SECONDS, CODE_SECONDS, ACCESS_SECONDS, RACE_SECONDS, CAP_SECONDS = 900, 300, 86_400, 30, 86_400
IDLE_SECONDS = 30 * 86_400
REVOKE = "/api/oauth/per-user/revoke"
JUMPS = (1, RACE_SECONDS + 1, CODE_SECONDS + 1, FLOW_SECONDS + 1, 3_601, CAP_SECONDS + 1, IDLE_SECONDS + 1)
BURNT = 5
"""Failed attempts that end a code (contract §6)."""


@dataclass(eq=False)
class Flow:
    person: int
    client: oauth.OAuthClient
    flow_id: str
    csrf: str
    began: int
    over: bool = False
    codes: int = 0


@dataclass(eq=False)
class Pair:
    access: str
    refresh: str
    given_at: int
    used_at: int | None = None
    maybe_used_at: int | None = None
    """When a kill left it open whether it was used."""


@dataclass(eq=False)
class Grant:
    """What came of one code. `over`: it must not open anything any more. `unsure`: a kill left it either way."""

    flow: Flow
    code: str
    given_at: int
    failures: int = 0
    redeemed: int = 0
    over: bool = False
    unsure: bool = False
    pairs: list[Pair] = field(default_factory=list)


class World(RuleBasedStateMachine):
    """A subclass says where: `database_url` makes an empty database, `directory` and `guarded` are there."""

    database_url: Callable[[], str]
    directory: Path
    guarded: OAuthUpstream

    @initialize()
    def start(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.url, self.clock = type(self).database_url(), FakeClock()
        self.accounts: dict[str, int] = {}
        self.active = [True, True]
        self.flows: list[Flow] = []
        self.grants: list[Grant] = []
        self._run(self._start())

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.loop.run_until_complete(work)

    async def _start(self) -> None:
        self.stack = AsyncExitStack()
        entry = upstream("guarded", self.guarded.url, auth_type="per_user_oauth")
        sections = {"mcp": {"client_configs": [entry]}, "governance": KEYS}
        started = running_gateway(self.url, self.directory, clock=self.clock, **sections)
        self.running: TestGateway = await self.stack.enter_async_context(started)
        self.browsers = [await self.stack.enter_async_context(self.running.browser()) for _ in PEOPLE]
        self.admin = await self.stack.enter_async_context(self.running.administrator())

    async def _restart(self) -> None:
        cookies = [browser.cookies for browser in self.browsers]
        await self.stack.aclose()
        await self._start()
        for browser, kept in zip(self.browsers, cookies, strict=True):
            browser.cookies = kept

    async def _killed_after(self, turns: int, work: Awaitable[httpx2.Response]) -> httpx2.Response | None:
        """The process dies while it answers, after so many turns of its loop; None if nobody heard the answer."""
        task = asyncio.ensure_future(work)
        for _ in range(turns):
            await asyncio.sleep(0)
        answer = task.result() if task.done() else None
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await self._restart()
        return answer

    @property
    def now(self) -> int:
        return self.clock.now() // SECOND

    def _client(self, flow: Flow) -> oauth.OAuthClient:
        flow.client.http = self.running.http
        return flow.client
