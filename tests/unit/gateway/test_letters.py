"""What processes tell each other arrives, once, whatever happens to a single letter (contract §10)."""

import asyncio

import pytest
from msgspec import Raw

from bifrost.base.sealing import KeyRing
from bifrost.gateway import letters as letters_module
from bifrost.gateway.errors import LetterTooLarge
from bifrost.gateway.letters import Letters
from tests.support.clock import FakeClock
from tests.support.servers import until
from tests.unit.gateway._letters import PostBox, letters

pytestmark = pytest.mark.anyio


class Heard(list[bytes]):
    def __call__(self, _session: str, body: dict[str, Raw]) -> None:
        if bytes(body["n"]) == b"13":
            raise KeyError("a fault of whoever acts on letters")
        self.append(bytes(body["n"]))


def pair(clock: FakeClock) -> tuple[PostBox, Letters, Letters, Heard]:
    """A process that writes, and one that has read everything so far."""
    box, heard = PostBox(), Heard()
    writer, reader = letters(box, clock), letters(box, clock)
    reader.handlers["count"] = heard
    return box, writer, reader, heard


async def test_a_letter_is_opened_once_however_often_is_looked(clock: FakeClock) -> None:
    """R-performance: ten seconds of letters are looked at again five times a second, their bodies are not."""
    box, writer, reader, heard = pair(clock)
    await reader.catch_up()
    await writer.send("s", "count", {"n": 1})
    for _ in range(50):
        await reader.catch_up()
        clock.advance(seconds=0.2)
    assert heard == [b"1"]
    assert box.opened_ids == [box.kept[0].id]


async def test_a_letter_of_a_clock_that_is_ahead_is_acted_on_once(clock: FakeClock) -> None:
    """Contract §10: replicas have clocks of their own."""
    box, _, reader, heard = pair(clock)
    await reader.catch_up()
    ahead = FakeClock(now=clock.now() + 19_000)
    await letters(box, ahead).send("s", "count", {"n": 1})
    for _ in range(120):
        await reader.catch_up()
        clock.advance(seconds=0.5)
    assert heard == [b"1"]


async def test_a_letter_that_cannot_be_acted_on_does_not_keep_others_from_being_read(clock: FakeClock) -> None:
    """Fail closed for the one, go on with the others."""
    box, writer, reader, heard = pair(clock)
    await reader.catch_up()
    await Letters(box, KeyRing([b"x" * 32]), clock, shared=True).send("s", "count", {"n": 0})
    await writer.send("s", "unknown kind", {})
    for number in (12, 13, 14):
        await writer.send("s", "count", {"n": number})
    await reader.catch_up()
    assert heard == [b"12", b"14"]


@pytest.mark.parametrize("fault", ["away", "broken"])
async def test_the_reader_outlives_a_database_that_is_away_and_faults_of_ours(
    clock: FakeClock, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    """Contract §2: what cannot be read now is read when the storage answers again."""
    monkeypatch.setattr(letters_module, "POLL_SECONDS", 0.001)
    box, writer, reader, heard = pair(clock)
    running = asyncio.create_task(reader.run())
    await until(lambda: reader._since > 0)
    await writer.send("s", "count", {"n": 1})
    await until(lambda: heard == [b"1"])
    if fault == "away":
        box.away = True
    else:
        monkeypatch.setattr(box, "envelopes", None)
    clock.advance(seconds=30)
    await asyncio.sleep(0.02)
    monkeypatch.undo()
    monkeypatch.setattr(letters_module, "POLL_SECONDS", 0.001)
    box.away = False
    await writer.send("s", "count", {"n": 2})
    await until(lambda: heard == [b"1", b"2"])
    running.cancel()


async def test_only_whom_it_concerns_opens_a_letter(clock: FakeClock) -> None:
    """A result may be large, and there may be many processes."""
    box, writer, reader, heard = pair(clock)
    reader.concerns["count"] = lambda session: session == "mine"
    await reader.catch_up()
    await writer.send("theirs", "count", {"n": 1})
    await writer.send("mine", "count", {"n": 2})
    await reader.catch_up()
    assert heard == [b"2"]
    assert box.opened_ids == [box.kept[1].id]


async def test_what_is_too_large_is_refused_to_whoever_sends_it(
    clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is lost without a word."""
    monkeypatch.setattr(letters_module, "MAX_BODY_BYTES", 100)
    box, writer, _, _ = pair(clock)
    with pytest.raises(LetterTooLarge, match="too large"):
        await writer.send("s", "count", {"n": "x" * 100})
    writer.post("s", "count", {"n": "x" * 100})
    await asyncio.sleep(0)
    assert not box.kept


async def test_a_single_process_reads_what_outlived_its_restart_and_then_no_more(clock: FakeClock) -> None:
    """With one process nobody else writes."""
    box = PostBox()
    await letters(box, clock, shared=False).send("s", "count", {"n": 1}, expires_at=clock.now() + 1_000)
    await letters(box, clock, shared=False).send("s", "count", {"n": 2})
    reader, heard = letters(box, clock, shared=False), Heard()
    reader.handlers["count"] = heard
    async with asyncio.timeout(5):
        await reader.run()
    assert heard == [b"1"]
