"""Whether a history of operations at once could have been one after the other (Herlihy and Wing).

The search of Wing and Gong: of the operations that no other has ended before, try each as the first; what is left is
the same question again. A set of operations and a state that led nowhere is not tried twice.
"""

from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

State = TypeVar("State", bound=Hashable)
Operation = TypeVar("Operation")
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Call(Generic[Operation, Result]):
    """What was asked and answered, and when, by one clock: it took effect once in between, if at all."""

    operation: Operation
    result: Result
    invoked: int
    returned: int


Step = Callable[[State, Operation, Result], Iterable[State]]
"""The states that an operation with this result may lead to; none when it cannot have this result now."""


@dataclass(frozen=True, slots=True)
class Verdict(Generic[Operation, Result]):
    """`order` is one that explains the history; of one that has none, the longest beginning that was found."""

    explained: bool
    order: tuple[Call[Operation, Result], ...]


def judge(
    history: Sequence[Call[Operation, Result]], initial: State, step: Step[State, Operation, Result]
) -> Verdict[Operation, Result]:
    """Look for an order of all calls, in which whatever had returned before another began comes before it."""
    everything = (1 << len(history)) - 1
    seen: set[tuple[int, State]] = {(0, initial)}
    waiting: list[tuple[int, State, tuple[int, ...]]] = [(0, initial, ())]
    longest: tuple[int, ...] = ()
    while waiting:
        done, state, order = waiting.pop()
        longest = max(longest, order, key=len)
        if done == everything:
            break
        for number in _next(history, done):
            call = history[number]
            for after in step(state, call.operation, call.result):
                reached = (done | 1 << number, after)
                if reached not in seen:
                    seen.add(reached)
                    waiting.append((*reached, (*order, number)))
    return Verdict(len(longest) == len(history), tuple(history[number] for number in longest))


def _next(history: Sequence[Call[Operation, Result]], done: int) -> list[int]:
    """Those that began before any other that is left had returned."""
    left = [number for number in range(len(history)) if not done >> number & 1]
    first_returned = min(history[number].returned for number in left)
    return [number for number in left if history[number].invoked <= first_returned]
