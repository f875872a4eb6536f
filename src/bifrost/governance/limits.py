"""How much a virtual key may do: so many calls, and so much money, in so much time (contract §9).

A window begins with the first call in it. All of a key's windows are taken in one transaction, or none is: what is
refused counts nowhere, and no number of processes together can go beyond a limit.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import structlog

from bifrost.base.clock import SECOND, Clock
from bifrost.governance import durations
from bifrost.governance.errors import BudgetExceeded, InvalidLimit, RateLimited
from bifrost.governance.models import MICRO, Budget, RateLimit, VirtualKey
from bifrost.governance.usage import Admission, Take, UsageStore, Window, WindowFull

REQUESTS = "requests"
BUDGET = "budget"
MAX_BUDGETS = 10
MAX_REQUESTS = 10**12
MAX_MONEY = 10**12

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Limits:
    store: UsageStore
    clock: Clock

    async def admit(self, key: VirtualKey, price: int) -> Admission:
        """Count a call of this price (in millionths) before it is made. Raises RateLimited, BudgetExceeded."""
        now = self.clock.now()
        takes = takes_of(key, price, now)
        try:
            windows = await self.store.take(key.id, takes, now) if takes else ()
        except WindowFull as full:
            log.info("limit_reached", virtual_key_id=key.id, limit=full.window.name)
            raise _refusal(full.window, now) from full
        return Admission(key_id=key.id, takes=takes, windows=windows)

    async def give_back(self, admission: Admission) -> None:
        """The call never reached its upstream, so it costs nothing; that it was tried still counts."""
        for take, window in zip(admission.takes, admission.windows, strict=True):
            if take.name.startswith(BUDGET):
                await self.store.give_back(admission.key_id, take.amount, window)

    async def windows(self, key: VirtualKey) -> list[Window]:
        """What was used of the limits in the windows that are open."""
        return await self.store.windows(key.id, self.clock.now()) if key.rate_limit or key.budgets else []


def takes_of(key: VirtualKey, price: int, now: int) -> tuple[Take, ...]:
    """What a call takes of each window; a call without a price leaves the budgets alone."""
    takes = []
    if key.rate_limit:
        limit, duration = key.rate_limit.request_max_limit, key.rate_limit.request_reset_duration
        takes.append(_take(REQUESTS, 1, limit, duration, now))
    if price:
        takes += [_take(BUDGET, price, round(one.max_limit * MICRO), one.reset_duration, now) for one in key.budgets]
    # one order for everybody, so that two transactions cannot wait for each other
    return tuple(sorted(takes, key=lambda take: take.name))


def check(rate_limit: RateLimit | None, budgets: Sequence[Budget]) -> None:
    """Raises InvalidLimit."""
    if rate_limit:
        durations.milliseconds(rate_limit.request_reset_duration, param="rate_limit.request_reset_duration")
        if not 0 <= rate_limit.request_max_limit <= MAX_REQUESTS:
            raise InvalidLimit("request_max_limit is out of range.", param="rate_limit.request_max_limit")
    if len(budgets) > MAX_BUDGETS:
        raise InvalidLimit(f"A virtual key has at most {MAX_BUDGETS} budgets.", param="budgets")
    for index, budget in enumerate(budgets):
        durations.milliseconds(budget.reset_duration, param=f"budgets[{index}].reset_duration")
        if not 0 <= budget.max_limit <= MAX_MONEY:
            raise InvalidLimit("max_limit is out of range.", param=f"budgets[{index}].max_limit")
    if len({budget.reset_duration for budget in budgets}) < len(budgets):
        raise InvalidLimit("Two budgets have the same reset_duration.", param="budgets")


def _refusal(full: Window, now: int) -> RateLimited | BudgetExceeded:
    seconds = max(1, -(-(full.resets_at - now) // SECOND))
    if full.name.startswith(REQUESTS):
        return RateLimited("This virtual key has made all the calls that it may make for now.", retry_after=seconds)
    return BudgetExceeded("The budget of this virtual key does not cover this call for now.", retry_after=seconds)


def _take(kind: str, amount: int, limit: int, duration: str, now: int) -> Take:
    resets_at = now + durations.milliseconds(duration, param=kind)
    return Take(name=f"{kind}:{duration}", amount=amount, limit=limit, resets_at=resets_at)
