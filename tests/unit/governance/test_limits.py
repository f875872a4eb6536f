"""What a call takes of a virtual key's windows, and how a refusal says when to come back."""

from dataclasses import replace

import pytest

from bifrost.governance.errors import BudgetExceeded, InvalidLimit, RateLimited
from bifrost.governance.limits import Limits, check, takes_of
from bifrost.governance.models import Budget, RateLimit, VirtualKey
from bifrost.governance.usage import Take, Window, WindowFull
from tests.support.clock import START, FakeClock

pytestmark = pytest.mark.anyio

MINUTE, DAY = 60_000, 86_400_000
KEY = VirtualKey(
    id="vk",
    name="vk",
    description="",
    value_hint="",
    is_active=True,
    expires_at=None,
    mcp_configs=(),
    created_at=0,
    updated_at=0,
    rate_limit=RateLimit(request_max_limit=5, request_reset_duration="1m"),
    budgets=(Budget(max_limit=0.1, reset_duration="1d"), Budget(max_limit=2, reset_duration="1M")),
)


class _Full:
    """A store in which one window is full, and what was given back to it."""

    def __init__(self, full: Window | None = None) -> None:
        self.full = full
        self.asked: list[str] = []
        self.given: list[tuple[int, Window]] = []

    async def take(self, key_id: str, takes: tuple[Take, ...], now: int) -> tuple[Window, ...]:
        self.asked.append(key_id)
        if self.full:
            raise WindowFull(self.full)
        return tuple(Window(name=take.name, used=take.amount, resets_at=take.resets_at) for take in takes)

    async def give_back(self, key_id: str, amount: int, window: Window) -> None:
        self.given.append((amount, window))

    async def windows(self, key_id: str, now: int) -> list[Window]:
        raise NotImplementedError


def test_a_call_takes_one_of_the_calls_and_its_price_of_every_budget() -> None:
    """Contract §9: money in whole millionths, so that 0.1 is exactly 100 000 of them."""
    assert takes_of(KEY, 30_000, START) == (
        Take(name="budget:1M", amount=30_000, limit=2_000_000, resets_at=START + 30 * DAY),
        Take(name="budget:1d", amount=30_000, limit=100_000, resets_at=START + DAY),
        Take(name="requests:1m", amount=1, limit=5, resets_at=START + MINUTE),
    )


def test_a_call_without_a_price_leaves_the_budgets_alone() -> None:
    """Contract §9: a tool that costs nothing works with an empty budget."""
    assert [take.name for take in takes_of(KEY, 0, START)] == ["requests:1m"]


async def test_a_key_without_limits_asks_the_storage_nothing() -> None:
    """Ours: limits cost only those who have some."""
    store = _Full()
    await Limits(store, FakeClock()).admit(replace(KEY, rate_limit=None, budgets=()), 5)
    assert store.asked == []


@pytest.mark.parametrize(
    ("name", "kind"), [("requests:1m", RateLimited), ("budget:1d", BudgetExceeded), ("budget:1M", BudgetExceeded)]
)
async def test_a_full_window_says_when_it_begins_again(name: str, kind: type[RateLimited]) -> None:
    """RFC 6585 §4: Retry-After, rounded up so that whoever waits that long is let in."""
    store = _Full(Window(name=name, used=5, resets_at=START + 4_001))
    with pytest.raises(kind) as refused:
        await Limits(store, FakeClock()).admit(KEY, 1)
    assert refused.value.retry_after == 5


async def test_what_is_given_back_is_money_and_not_the_try() -> None:
    """Ours: a failing call costs nothing, but calling without end is still limited."""
    store = _Full()
    limits = Limits(store, FakeClock())
    await limits.give_back(await limits.admit(KEY, 30_000))
    assert [(amount, window.name) for amount, window in store.given] == [(30_000, "budget:1M"), (30_000, "budget:1d")]


@pytest.mark.parametrize(
    ("rate_limit", "budgets", "param"),
    [
        (RateLimit(request_max_limit=-1, request_reset_duration="1m"), (), "rate_limit.request_max_limit"),
        (RateLimit(request_max_limit=10**13, request_reset_duration="1m"), (), "rate_limit.request_max_limit"),
        (RateLimit(request_max_limit=1, request_reset_duration="soon"), (), "rate_limit.request_reset_duration"),
        (None, (Budget(max_limit=1, reset_duration="1d"), Budget(max_limit=2, reset_duration="1d")), "budgets"),
        (None, (Budget(max_limit=float("inf"), reset_duration="1d"),), "budgets[0].max_limit"),
        (None, (Budget(max_limit=float("nan"), reset_duration="1d"),), "budgets[0].max_limit"),
        (
            None,
            (Budget(max_limit=1, reset_duration="1d"), Budget(max_limit=-1, reset_duration="1h")),
            "budgets[1].max_limit",
        ),
        (None, (Budget(max_limit=1, reset_duration="1x"),), "budgets[0].reset_duration"),
        (None, tuple(Budget(max_limit=1, reset_duration=f"{n}d") for n in range(1, 12)), "budgets"),
    ],
)
def test_a_limit_that_cannot_be_is_refused(
    rate_limit: RateLimit | None, budgets: tuple[Budget, ...], param: str
) -> None:
    """Contract §2: `error.param` names the member."""
    with pytest.raises(InvalidLimit) as refused:
        check(rate_limit, budgets)
    assert refused.value.param == param


def test_a_limit_of_nothing_is_a_limit() -> None:
    """Ours: 0 lets nothing through; it does not mean that there is no limit."""
    check(RateLimit(request_max_limit=0, request_reset_duration="1m"), (Budget(max_limit=0, reset_duration="1d"),))
