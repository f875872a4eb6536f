"""What goes to other processes is bounded, and so are streams."""

import asyncio
from contextlib import nullcontext
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import pytest
from msgspec import Raw

from bifrost.gateway import streams
from bifrost.gateway.forward import _Overhearing
from bifrost.gateway.letter_limits import LetterLimits
from bifrost.gateway.models import TOOLS, Call
from bifrost.gateway.stream import Stream
from bifrost.gateway.streams import NEWS_LETTERS, Streams
from bifrost.protocol import mcp
from bifrost.protocol.jsonrpc import RpcError
from bifrost.upstreams.errors import ConnectionRequired, UpstreamUnavailable
from bifrost.upstreams.links.base import Peer
from bifrost.upstreams.models import Upstream
from tests.support.clock import FakeClock
from tests.unit.upstreams.links._peer import Keeps, peer

pytestmark = pytest.mark.anyio


class _Letters:
    shared = True

    def __init__(self) -> None:
        self.posted: list[tuple[str, str]] = []

    def post(self, session: str, kind: str, _body: dict[str, Any]) -> None:
        self.posted.append((session, kind))


async def test_an_upstream_that_does_not_stop_talking_fills_no_table(clock: FakeClock) -> None:
    """Contract §10: every letter is a row that every process reads; a session whose stream is elsewhere has a measure."""
    letters = _Letters()
    one = Streams(*(cast("Any", part) for part in (None, None, None, letters, LetterLimits(clock))))
    for _ in range(1_000):
        one.overheard(peer(session="s_1"), mcp.LOG_MESSAGE, {"data": Raw(b"1")})
    assert letters.posted == [("s_1", streams.NEWS)] * NEWS_LETTERS.most
    one.overheard(peer(session="s_2"), mcp.LOG_MESSAGE, {"data": Raw(b"1")})
    assert letters.posted[-1] == ("s_2", streams.NEWS)
    clock.advance(seconds=NEWS_LETTERS.seconds)
    one.overheard(peer(session="s_1"), mcp.LOG_MESSAGE, {"data": Raw(b'"' + b"x" * streams.MAX_NEWS_BYTES + b'"')})
    assert letters.posted[-1] == ("s_2", streams.NEWS), "and what is large stays here"
    one.overheard(peer(session="s_1"), mcp.LOG_MESSAGE, {"data": Raw(b"1")})
    assert letters.posted[-1] == ("s_1", streams.NEWS)


class _Catalog:
    """It has to be asked, and meanwhile others come."""

    def __init__(self) -> None:
        self.upstreams = self

    async def reached(self, _call: Call) -> list[Upstream]:
        return await self.enabled()

    async def enabled(self) -> list[Upstream]:
        await asyncio.sleep(0)
        return []

    def peers_of(self, _session: str) -> list[Peer]:
        return []


async def test_who_opens_many_streams_at_once_has_no_more_than_who_opens_them_one_by_one(clock: FakeClock) -> None:
    """Contract §10: they are counted when nothing is waited for any more."""
    catalog, letters = _Catalog(), _Letters()
    letters.shared = False
    one = Streams(*(cast("Any", part) for part in (catalog, catalog, None, letters, LetterLimits(clock))))
    call = cast("Call", SimpleNamespace(principal="anna"))
    opening = [one.open(Stream(call, f"s_{number}")) for number in range(100)]
    refused = [error for error in await asyncio.gather(*opening, return_exceptions=True) if error]
    assert len(refused) == 100 - streams.MAX_STREAMS_OF_ONE_PRINCIPAL
    assert {type(error) for error in refused} == {RpcError}


async def test_a_session_that_opened_a_second_stream_goes_on_with_that(clock: FakeClock) -> None:
    """2025-11-25, transports: each message goes on one stream; the one before may be a connection that died unnoticed."""
    catalog, letters = _Catalog(), _Letters()
    letters.shared = False
    one = Streams(*(cast("Any", part) for part in (catalog, catalog, None, letters, LetterLimits(clock))))
    call = cast("Call", SimpleNamespace(principal="anna"))
    for _ in range(streams.MAX_STREAMS_OF_ONE_PRINCIPAL):
        newest = Stream(call, "s_1")
        await one.open(newest)
        assert one.of_session("s_1") is newest
    one.leave(newest)
    assert one.of_session("s_1") not in (newest, None)


async def test_what_was_heard_for_long_is_heard_again_soon(clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> None:
    """Contract §7: later and later is for an upstream that cannot be reached, not for one whose streams break at times."""
    catalog, letters, pauses, sleep = _Catalog(), _Letters(), list[float](), asyncio.sleep

    async def pause(seconds: float) -> None:
        pauses.append(seconds)
        await sleep(0)

    async def listen(_peer: Peer) -> None:
        lasted = asyncio.Event()
        if len(pauses) >= 3:
            asyncio.get_running_loop().call_later(0.03, lasted.set)
            await lasted.wait()
        if len(pauses) < 6:
            raise UpstreamUnavailable("It broke.")

    async def now(_streams: Streams, one: Peer) -> Peer:
        return one

    monkeypatch.setattr(streams, "LAST_PAUSE_SECONDS", 0.02)
    monkeypatch.setattr(streams, "FIRST_PAUSE_SECONDS", 0.005)
    monkeypatch.setattr(Streams, "_now", now)
    monkeypatch.setattr(asyncio, "sleep", pause)
    one = Streams(*(cast("Any", part) for part in (catalog, catalog, None, letters, LetterLimits(clock))))
    await one._persistently(peer(), listen)
    assert pauses == [0.005, 0.01, 0.02, 0.005, 0.005, 0.005]


@pytest.mark.parametrize("fault", [ConnectionRequired("up_1", "notes", "oauth"), KeyError("a fault of ours")])
async def test_what_a_session_is_subscribed_to_is_heard_again_after_whatever_ended_it(
    clock: FakeClock, monkeypatch: pytest.MonkeyPatch, fault: Exception
) -> None:
    """2025-11-25, resources: an account that was lost and connected again is no reason to hear nothing any more."""
    faults, heard = [fault], list[str]()

    async def listen(one: Peer) -> None:
        if faults:
            raise faults.pop()
        heard.append(one.upstream.name)

    monkeypatch.setattr(streams, "FIRST_PAUSE_SECONDS", 0.001)
    monkeypatch.setattr(Streams, "_now", lambda _streams, one: asyncio.sleep(0, one))
    one = Streams(*(cast("Any", part) for part in (None, None, None, _Letters(), LetterLimits(clock))))
    await one._persistently(peer(), listen)
    assert heard == ["notes"]


async def test_an_account_that_is_connected_later_is_watched_from_then_on(
    clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Contract §7, lazy authorization: whoever opened a stream before hears of the lists as everybody else does."""
    theirs, letters, asked = replace(peer().upstream, auth_type="per_user_oauth"), _Letters(), list[str]()
    letters.shared = False

    class Unconnected(_Catalog):
        async def enabled(self) -> list[Upstream]:
            return [theirs]

        def peer(self, _upstream: Upstream, _identity: object, **_more: object) -> Peer:
            return peer()

        async def listen(self, one: Peer, _uris: object, _requester: object) -> None:
            asked.append(one.owner)
            if len(asked) == 1:
                raise ConnectionRequired("up_1", "notes", "oauth")
            await asyncio.Event().wait()

    catalog = Unconnected()
    monkeypatch.setattr(Streams, "_now", lambda _streams, one: asyncio.sleep(0, one))
    monkeypatch.setattr(streams, "opens", lambda _call, _upstream: True)
    one = Streams(*(cast("Any", part) for part in (catalog, catalog, None, letters, LetterLimits(clock))))
    caller = SimpleNamespace(identity=peer().identity)
    stream = Stream(cast("Call", SimpleNamespace(principal="anna", caller=caller)), "s_1")
    await one.open(stream)
    await sleeping()
    assert asked == ["vk:k"]
    one.changed("up_1", TOOLS, "vk:k")
    await sleeping()
    assert asked == ["vk:k", "vk:k"]
    assert b"tools/list_changed" in (await stream.next() or b"")
    one.close()


async def sleeping() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_what_is_said_in_the_middle_of_a_call_is_told_on_one_stream_by_the_name_that_its_session_knows(
    clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """2025-11-25, transports: no message goes on two streams; here another upstream may have the URI that came."""
    catalog, letters, requester = _Catalog(), _Letters(), Keeps()
    letters.shared = False
    one = Streams(*(cast("Any", part) for part in (catalog, catalog, None, letters, LetterLimits(clock))))
    one.shown = lambda _session, upstream_id, uri: f"bifrost://{upstream_id}/{uri}"
    monkeypatch.setattr(Streams, "may_hear", lambda *_what: True)
    calling = _Overhearing(requester, peer(session="s_1"), nullcontext(), one.overheard)
    await calling.notify(mcp.RESOURCE_UPDATED, {"uri": Raw(b'"a"')})
    assert requester.heard == [(mcp.RESOURCE_UPDATED, {"uri": "bifrost://up_1/a"})]
    stream = Stream(cast("Call", SimpleNamespace(principal="anna")), "s_1")
    await one.open(stream)
    await calling.notify(mcp.RESOURCE_UPDATED, {"uri": Raw(b'"b"')})
    await calling.notify(mcp.PROGRESS, {})
    assert [method for method, _ in requester.heard[1:]] == [mcp.PROGRESS]
    assert b'"bifrost://up_1/b"' in (await stream.next() or b"")
