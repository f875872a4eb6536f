"""What one session or subscription hears of its own at one upstream, without a gap when what it wants changes.

A stateless upstream is told of a change by listening anew (2026-07-28, subscriptions). The listener before goes on
until the upstream has acknowledged the new one, and a moment longer: what was said just before may still be under way.
What both hear is told once. These messages say that something has changed, not what it is now, so that one that comes
later stands for those before it.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from msgspec import Raw

from bifrost.protocol import mcp

HANDOVER_SECONDS = 1.0
"""How long a listener goes on when its successor was acknowledged, and how long it waits for the same from that one."""

NOTICE_SECONDS = 5.0
"""How long whoever subscribes waits for the upstream to take note of it."""

OPENING_SECONDS = 2.0
"""How long it waits for the stream on which one of the older era speaks; some begin it only with their first word."""

_Said = tuple[str, tuple[tuple[str, bytes], ...]]


@dataclass(eq=False, slots=True)
class Listener:
    """The requester of one listening. `ready`: the upstream has taken note, and is heard, or will not."""

    attention: "Attention"
    task: "asyncio.Task[None] | None" = None
    ready: asyncio.Event = field(default_factory=asyncio.Event)
    in_vain: bool = False
    """Somebody waited for it already, as long as anybody does."""

    said: set[_Said] = field(default_factory=set)
    """What it heard while listeners from before it were still there."""

    held: "dict[_Said, tuple[asyncio.TimerHandle, Callable[[], None]]]" = field(default_factory=dict)
    """What it heard, and its successor may hear as well."""

    async def notify(self, method: str, params: dict[str, Raw]) -> None:
        self.attention.heard(self, method, params)

    async def ask(self, method: str, params: dict[str, Raw]) -> Raw:
        return await self.attention.ask(method, params)

    def hold(self, said: _Said, tell: Callable[[], None]) -> None:
        if said not in self.held:
            self.held[said] = (asyncio.get_running_loop().call_later(HANDOVER_SECONDS, self._tell, said), tell)

    def drop(self, said: _Said) -> None:
        if said in self.held:
            self.held.pop(said)[0].cancel()

    def flush(self) -> None:
        for said in [*self.held]:
            self.held[said][0].cancel()
            self._tell(said)

    def end(self) -> None:
        for said in [*self.held]:
            self.drop(said)
        if self.task is not None:
            self.task.cancel()

    def _tell(self, said: _Said) -> None:
        self.held.pop(said)[1]()


@dataclass(slots=True)
class Attention:
    """`uris` are what the session is subscribed to now. The last listener is the newest."""

    tell: Callable[[str, dict[str, Raw]], None]
    ask: Callable[[str, dict[str, Raw]], Awaitable[Raw]]
    uris: tuple[str, ...] = ()
    listeners: list[Listener] = field(default_factory=list)

    def start(self, listening: "Callable[[Listener], Awaitable[None]]") -> Listener:
        """One more listener, in place of the ones before as soon as the upstream has acknowledged it."""
        self._give_up_the_unheard()
        listener = Listener(self)
        self.listeners.append(listener)
        listener.task = asyncio.ensure_future(listening(listener))
        listener.task.add_done_callback(lambda _done: self._ended(listener))
        return listener

    def end(self) -> None:
        for listener in self.listeners:
            listener.end()

    async def noticed(self, *, stateless: bool = True) -> None:
        """Waits until the newest listener is ready, for a while, and not again for one that was waited for in vain."""
        try:
            async with asyncio.timeout(NOTICE_SECONDS if stateless else OPENING_SECONDS):
                while self.listeners and not self.listeners[-1].in_vain and not self.listeners[-1].ready.is_set():
                    await self.listeners[-1].ready.wait()
        except TimeoutError:
            for listener in self.listeners[-1:]:
                listener.in_vain = True

    def heard(self, listener: Listener, method: str, params: dict[str, Raw]) -> None:
        if listener not in self.listeners:
            return
        if not listener.ready.is_set():
            self._acknowledged(listener)  # by whatever is the first that it says
        if method == mcp.ACKNOWLEDGED:
            return
        place = self.listeners.index(listener)
        before, after = self.listeners[:place], self.listeners[place + 1 :]
        said = _said(method, params)
        if any(said in later.said or said in later.held for later in after):
            return
        for earlier in before:
            earlier.drop(said)
            listener.said.add(said)
        if after:
            listener.hold(said, lambda: self.tell(method, params))
        else:
            self.tell(method, params)

    def _acknowledged(self, listener: Listener) -> None:
        listener.ready.set()
        for earlier in self.listeners[: self.listeners.index(listener)]:
            asyncio.get_running_loop().call_later(HANDOVER_SECONDS, self._handed_over, earlier)

    def _handed_over(self, listener: Listener) -> None:
        if listener in self.listeners:
            listener.flush()
            listener.end()

    def _give_up_the_unheard(self) -> None:
        """A successor that the upstream has not acknowledged yet: the next one asks for all that it asked for."""
        if len(self.listeners) > 1 and not self.listeners[-1].ready.is_set() and self.listeners[-2].ready.is_set():
            self.listeners.pop().end()

    def _ended(self, listener: Listener) -> None:
        listener.ready.set()
        if listener in self.listeners:
            listener.flush()
            self.listeners.remove(listener)
        if len(self.listeners) == 1:
            self.listeners[0].said.clear()


def _said(method: str, params: dict[str, Raw]) -> _Said:
    """Without `_meta`, which names the listening and not what was said."""
    return method, tuple(sorted((name, bytes(value)) for name, value in params.items() if name != "_meta"))
