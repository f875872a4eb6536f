"""The links of this process: what runs on each, who listens to it, and which of them makes room for a new one."""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Collection
from dataclasses import dataclass, field

from bifrost.upstreams.links.base import Forgotten, Link, Requester

MAX_LINKS = 10_000
MAX_LINKS_OF_ONE_OWNER = 64
"""At one upstream."""

FRESH_SECONDS = 1.0
"""As long as that a new link counts as at work: whoever it was opened for is about to use it."""

GOOD_BYE_SECONDS = 2.0

Key = tuple[str, str, str, bytes, str, int]


@dataclass(slots=True)
class KeptLinks:
    _links: OrderedDict[Key, Link] = field(default_factory=OrderedDict)
    """The one that was used last comes last."""

    _working: dict[int, int] = field(default_factory=dict)
    """By link: how many requests are under way on it."""

    _listening: dict[int, set[asyncio.Timeout]] = field(default_factory=dict)
    """By link: what ends with it."""

    _given_up: dict[int, Link] = field(default_factory=dict)
    """Those to be closed when the last request on them has ended."""

    _evicted: set[int] = field(default_factory=set)
    """Those that had to make room, as long as somebody listens to them."""

    _closing: set["asyncio.Task[None]"] = field(default_factory=set)

    @property
    def keys(self) -> Collection[Key]:
        return self._links.keys()

    def get(self, key: Key) -> Link | None:
        return self._links.get(key)

    def where(self, wanted: Callable[[Key], bool]) -> list[Link]:
        return [link for key, link in self._links.items() if wanted(key)]

    def used(self, key: Key) -> None:
        self._links.move_to_end(key)

    def add(self, link: Link) -> None:
        """In the place of one that was opened meanwhile, in another configuration."""
        key = link.peer.key
        before = self._links.get(key)
        if before is not None:
            self.give_up(before)
        self._links[key] = link
        self.begun(link)
        asyncio.get_running_loop().call_later(FRESH_SECONDS, self.ended, link)
        self._make_room(key)

    def begun(self, link: Link) -> None:
        """A request on it; `ended` is said however it ends."""
        self._working[id(link)] = self._working.get(id(link), 0) + 1

    def ended(self, link: Link) -> None:
        working = self._working.pop(id(link)) - 1
        if working:
            self._working[id(link)] = working
        elif self._given_up.pop(id(link), None):
            self.close(link)

    async def listen(self, link: Link, uris: tuple[str, ...], requester: Requester) -> None:
        """Until the upstream has nothing to say of its own accord, or the link had to make room.

        Raises Forgotten when the link was dropped, and whatever listening raises.
        """
        until_dropped = asyncio.timeout(None)
        try:
            async with until_dropped:
                self._listening.setdefault(id(link), set()).add(until_dropped)
                await link.listen(uris, requester)
        except TimeoutError as error:
            if id(link) not in self._evicted:
                raise Forgotten from error
        finally:
            self._listening[id(link)].discard(until_dropped)
            if not self._listening[id(link)]:
                del self._listening[id(link)]
                self._evicted.discard(id(link))

    # ---- the end of a link ------------------------------------------------------------------------------------------

    def take(self, link: Link) -> None:
        """Nothing begins on it any more; what runs and listens goes on."""
        if self._links.get(link.peer.key) is link:
            del self._links[link.peer.key]

    def drop(self, link: Link) -> None:
        """Nothing begins on it any more, and nobody listens to it."""
        self.take(link)
        for listening in self._listening.get(id(link), ()):
            if listening.when() is None:
                listening.reschedule(0)

    def give_up(self, link: Link) -> None:
        """It is dropped, and closed when nothing runs on it."""
        self.drop(link)
        if id(link) in self._working:
            self._given_up[id(link)] = link
        else:
            self.close(link)

    def close(self, link: Link) -> None:
        task = asyncio.create_task(link.close())
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    async def close_all(self) -> None:
        """What does not answer in time is left as it is."""
        links = [*self._links.values(), *self._given_up.values()]
        self._links.clear()
        self._given_up.clear()
        for link in links:
            self.close(link)
        if self._closing:
            await asyncio.wait(self._closing, timeout=GOOD_BYE_SECONDS)

    # ---- room for a new one -----------------------------------------------------------------------------------------

    def _make_room(self, added: Key) -> None:
        """An old one of the same owner at the same upstream goes, or an old one of all."""
        own = [link for key, link in self._links.items() if key[:2] == added[:2]]
        if len(own) > MAX_LINKS_OF_ONE_OWNER:
            self._evict(own)
        while len(self._links) > MAX_LINKS:
            self._evict([*self._links.values()])

    def _evict(self, links: list[Link]) -> None:
        """The oldest one that is not used; else one on which a session listens: it opens another when it comes back.

        Its listeners end in peace: they would only take the place of the next one.
        """
        link = min(links[:-1], key=self._use_of)
        if id(link) in self._listening:
            self._evicted.add(id(link))
        self.give_up(link)

    def _use_of(self, link: Link) -> int:
        if id(link) in self._working:
            return 3
        if id(link) in self._listening:
            return 1 if link.peer.session else 2
        return 0
