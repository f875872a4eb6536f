"""Counting requests: by what they are about, over all processes, and writing only near a limit."""

import pytest

from bifrost.authserver import limits
from bifrost.authserver.limits import Limit, Limits
from bifrost.base.errors import TooMany
from bifrost.base.sealing import KeyRing
from bifrost.storage.database import StorageUnavailable
from tests.support.clock import FakeClock
from tests.support.gateway import RING

pytestmark = pytest.mark.anyio

LIMIT = Limit(name="things", per_minute=20)


class Counters:
    """The shared counters, and how often they were written."""

    def __init__(self, *, down: bool = False) -> None:
        self.values: dict[str, int] = {}
        self.writes = 0
        self.down = down

    async def count(self, bucket: str, add: int, expires_at: int) -> int:
        assert expires_at
        if self.down:
            raise StorageUnavailable
        self.writes += 1
        self.values[bucket] = self.values.get(bucket, 0) + add
        return self.values[bucket]


@pytest.fixture
def counters() -> Counters:
    return Counters()


async def admitted(
    process: Limits, times: int, subject: str = "one", limit: Limit = LIMIT, *, known: bool = False
) -> int:
    count = 0
    for _ in range(times):
        try:
            await process.admit(limit, subject, known=known)
        except TooMany:
            continue
        count += 1
    return count


async def test_one_subject_has_its_limit_each_minute(clock: FakeClock, counters: Counters) -> None:
    """Contract §3."""
    process = Limits(counters, clock, RING)
    assert await admitted(process, 100) == 20
    assert await admitted(process, 100, "another") == 20
    clock.advance(seconds=60)
    assert await admitted(process, 100) == 20


async def test_a_normal_day_writes_nothing(clock: FakeClock, counters: Counters) -> None:
    """Ours: up to a quarter of a limit a process counts for itself."""
    process = Limits(counters, clock, RING)
    for _ in range(10):
        assert await admitted(process, 5) == 5
        clock.advance(seconds=60)
    assert counters.writes == 0
    await admitted(process, 100)
    assert counters.writes == 15, "and a subject that is refused writes nothing more"


async def test_processes_share_a_limit(clock: FakeClock, counters: Counters) -> None:
    """Contract §3: passed by at most a quarter for each process."""
    processes = [Limits(counters, clock, RING) for _ in range(4)]
    total = 0
    for _ in range(30):
        for process in processes:
            total += await admitted(process, 1)
    assert 20 <= total <= 20 + 4 * 5


async def test_all_together_have_a_limit_too(clock: FakeClock, counters: Counters) -> None:
    """Contract §3, TC-086: inventing names does not help for long; and what is counted does not grow without end."""
    process = Limits(counters, clock, RING)
    assert sum([await admitted(process, 1, f"name {number}") for number in range(500)]) == 100
    assert len(counters.values) == 1


async def test_one_that_is_refused_does_not_use_up_what_is_there_for_all(clock: FakeClock, counters: Counters) -> None:
    """Ours: a client in a loop is alone with its trouble."""
    process = Limits(counters, clock, RING)
    assert await admitted(process, 10_000, "a loop") == 20
    assert await admitted(process, 20, "somebody") == 20


async def test_known_hosts_have_a_wider_limit_of_their_own(clock: FakeClock, counters: Counters) -> None:
    """R17: a flood of invented clients does not lock them out."""
    process = Limits(counters, clock, RING)
    for number in range(500):
        await admitted(process, 1, f"name {number}")
    assert await admitted(process, 500, "claude claude.ai", known=True) == 100


async def test_a_flood_of_subjects_does_not_push_out_the_counter_of_all(
    clock: FakeClock, counters: Counters, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Contract §3: what is forgotten first is what nobody has asked for lately."""
    monkeypatch.setattr(limits, "MAX_COUNTERS", 10)
    process, wrong = Limits(counters, clock, RING), Limit(name="failures", per_minute=30, in_all=False)
    taken = 0
    for number in range(300):
        taken += await admitted(process, 1, f"name {number}")
        await admitted(process, 5, f"nobody {number}", wrong)
        await admitted(process, 5, f"nobody {number}'s friend", wrong)
    assert taken == 100


async def test_inventing_names_on_a_known_host_does_not_help_for_long_either(
    clock: FakeClock, counters: Counters
) -> None:
    """Contract §3, TC-086: everything has a bucket for all; what is written for them does not grow without end."""
    process = Limits(counters, clock, RING)
    assert sum([await admitted(process, 1, f"name {number} claude.ai", known=True) for number in range(600)]) == 500
    assert await admitted(process, 20, "somebody else") == 20


async def test_without_the_database_each_process_goes_on_by_itself(clock: FakeClock) -> None:
    """Ours: registering needs no database, and its limit needs none either."""
    assert await admitted(Limits(Counters(down=True), clock, RING), 100) == 20


async def test_no_limit_is_no_limit(clock: FakeClock, counters: Counters) -> None:
    """Contract §10: 0 switches one off."""
    assert await admitted(Limits(counters, clock, RING), 1_000, limit=Limit(name="things", per_minute=0)) == 1_000
    assert counters.writes == 0


async def test_a_full_counter_is_seen_without_counting(clock: FakeClock, counters: Counters) -> None:
    """A54: a guess is not answered any more once a limit is reached."""
    process = Limits(counters, clock, RING)
    process.refuse_if_full(LIMIT, "one")
    await admitted(process, 20)
    with pytest.raises(TooMany):
        process.refuse_if_full(LIMIT, "one")
    process.refuse_if_full(LIMIT, "other")


@pytest.mark.parametrize("subject", ["", "x" * 100_000, "client 203.0.113.7", "客户端"])
async def test_what_is_counted_is_named_by_a_keyed_hash_of_one_length(
    clock: FakeClock, counters: Counters, subject: str
) -> None:
    """TC-086: a stranger's words take no room in memory or in the database, and an address cannot be read from either."""
    process = Limits(counters, clock, RING)
    await admitted(process, 100, subject)
    names = {*counters.values, *process._counters}
    assert len(names) == 2, "the subject's own, and that of all together"
    assert {len(name) for name in names} == {32}
    elsewhere = Limits(counters, clock, KeyRing([b"other".ljust(32)]))
    await admitted(elsewhere, 1, subject)
    assert names.isdisjoint(elsewhere._counters), "without the key nobody can try which address it is"


async def test_a_subject_without_a_name_is_not_everybody(clock: FakeClock, counters: Counters) -> None:
    """Ours: the counter of all together is nobody's own."""
    process = Limits(counters, clock, RING)
    assert await admitted(process, 100, "") == 20
    assert await admitted(process, 100, "somebody") == 20


@pytest.mark.parametrize(
    ("software", "uris", "expected"),
    [
        ("Claude  Code", ["http://localhost:1/cb"], ("claude code loopback", False)),
        ("claude code", ["http://127.0.0.1:2/cb", "http://[::1]/x"], ("claude code loopback", False)),
        ("Claude", ["https://claude.ai/api/mcp/auth_callback"], ("claude claude.ai", True)),
        ("Evil", ["https://claude.ai/cb", "https://evil.example/"], ("evil claude.ai evil.example", False)),
        ("Cursor", ["cursor://x/y"], ("cursor cursor://", False)),
        ("x" * 200, ["https://a.example/"], ("x" * 64 + " a.example", False)),
    ],
)
def test_what_a_request_is_about(software: str, uris: list[str], expected: tuple[str, bool]) -> None:
    """Contract §3: (software, redirect host)."""
    assert limits.subject(software, *uris) == expected
