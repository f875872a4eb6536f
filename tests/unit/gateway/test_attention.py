"""Hearing one upstream for one session without a gap and without an echo (2026-07-28, subscriptions)."""

import asyncio

import pytest
from msgspec import Raw

from bifrost.gateway import attention as attention_module
from bifrost.gateway.attention import Attention, Listener
from bifrost.protocol import mcp
from tests.support.servers import until

pytestmark = pytest.mark.anyio

UPDATED = "notifications/resources/updated"


class Heard:
    """An attention whose listeners do nothing but last, and what it told."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.attention = Attention(lambda _method, params: self.told.append(bytes(params["uri"]).decode()), self.ask)
        self.ended: list[int] = []

    async def ask(self, _method: str, _params: dict[str, Raw]) -> Raw:
        return Raw(b"{}")

    def start(self, *, acknowledged: bool = True) -> Listener:
        number = len(self.ended) + len(self.attention.listeners)

        async def lasts(_listener: Listener) -> None:
            try:
                await asyncio.Event().wait()
            finally:
                self.ended.append(number)

        listener = self.attention.start(lasts)
        if acknowledged:
            self.acknowledge(listener)
        return listener

    def acknowledge(self, listener: Listener) -> None:
        self.attention.heard(listener, mcp.ACKNOWLEDGED, {"uri": Raw(b"never told")})

    async def says(self, listener: Listener, uri: str, subscription: int = 1) -> None:
        await listener.notify(UPDATED, {"uri": Raw(uri.encode()), "_meta": Raw(b'{"subscription":%d}' % subscription)})


@pytest.fixture
async def heard(monkeypatch: pytest.MonkeyPatch) -> Heard:
    monkeypatch.setattr(attention_module, "HANDOVER_SECONDS", 0.05)
    monkeypatch.setattr(attention_module, "NOTICE_SECONDS", 0.05)
    return Heard()


async def handed_over(heard: Heard) -> None:
    await until(lambda: len(heard.attention.listeners) <= 1)


async def test_what_the_one_listener_hears_is_told_at_once_and_every_time(heard: Heard) -> None:
    listener = heard.start()
    for _ in range(2):
        await heard.says(listener, "a")
    assert heard.told == ["a", "a"]
    heard.attention.end()


async def test_what_only_the_listener_before_hears_is_told_though_later(heard: Heard) -> None:
    """It was said before the upstream had taken note of the new one."""
    before = heard.start()
    heard.start(acknowledged=False)
    await heard.says(before, "a")
    assert heard.told == []
    await until(lambda: heard.told)
    assert heard.told == ["a"]
    heard.attention.end()


@pytest.mark.parametrize("first", [0, 1])
async def test_what_both_hear_is_told_once_whoever_hears_it_first(heard: Heard, first: int) -> None:
    pair = [heard.start(), heard.start()]
    await heard.says(pair[first], "a", subscription=1)
    await heard.says(pair[1 - first], "a", subscription=2)
    assert heard.told == ["a"]
    await handed_over(heard)
    assert heard.told == ["a"]
    heard.attention.end()


async def test_a_change_after_the_one_that_was_told_is_told_too(heard: Heard) -> None:
    """Whoever was told may have read the resource meanwhile; to say it once too little would leave them behind."""
    before, after = heard.start(), heard.start()
    await heard.says(before, "a")
    await heard.says(after, "a")
    await heard.says(before, "a")
    await heard.says(after, "a")
    assert heard.told == ["a", "a"]
    heard.attention.end()


async def test_what_is_held_when_the_listener_before_ends_is_told_then(heard: Heard) -> None:
    before, _after = heard.start(), heard.start()
    await heard.says(before, "a")
    await handed_over(heard)
    assert heard.told == ["a"]
    assert heard.ended == [0]
    heard.attention.end()


async def test_until_it_is_acknowledged_the_listener_before_stays(heard: Heard) -> None:
    before, after = heard.start(), heard.start(acknowledged=False)
    await asyncio.sleep(0.1)
    assert heard.attention.listeners == [before, after]
    heard.acknowledge(after)
    await handed_over(heard)
    assert heard.attention.listeners == [after]
    heard.attention.end()


async def test_a_successor_that_ends_unheard_leaves_everything_as_it_was(heard: Heard) -> None:
    before, after = heard.start(), heard.start(acknowledged=False)
    await asyncio.sleep(0)
    after.end()
    await asyncio.sleep(0.01)
    await heard.says(before, "a")
    assert heard.told == ["a"]
    heard.attention.end()


async def test_of_successors_that_nobody_acknowledged_only_the_last_is_kept(heard: Heard) -> None:
    """However often a session changes its mind, an upstream that hangs is not listened to as often."""
    before = heard.start()
    for _ in range(20):
        last = heard.start(acknowledged=False)
    assert heard.attention.listeners == [before, last]
    heard.attention.end()


async def test_whoever_waits_for_notice_waits_for_a_while(heard: Heard) -> None:
    heard.start()
    last = heard.start(acknowledged=False)
    await heard.attention.noticed()
    assert not last.ready.is_set()
    heard.attention.end()


async def test_whoever_waits_for_notice_is_let_go_with_it(heard: Heard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attention_module, "NOTICE_SECONDS", 300.0)
    last = heard.start(acknowledged=False)
    waiting = asyncio.create_task(heard.attention.noticed())
    await asyncio.sleep(0)
    assert not waiting.done()
    heard.acknowledge(last)
    await waiting
    heard.attention.end()


async def test_nobody_waits_again_for_what_was_waited_for_in_vain(
    heard: Heard, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard.start(acknowledged=False)
    await heard.attention.noticed()
    monkeypatch.setattr(attention_module, "NOTICE_SECONDS", 300.0)
    await heard.attention.noticed()
    successor = heard.start(acknowledged=False)
    waiting = asyncio.create_task(heard.attention.noticed())
    await asyncio.sleep(0)
    assert not waiting.done()
    heard.acknowledge(successor)
    await waiting
    heard.attention.end()


async def test_when_it_ends_nothing_listens_and_nothing_more_is_told(heard: Heard) -> None:
    before, _after = heard.start(), heard.start()
    await asyncio.sleep(0)
    await heard.says(before, "a")
    heard.attention.end()
    await asyncio.sleep(0.1)
    assert heard.attention.listeners == []
    assert heard.told == []
