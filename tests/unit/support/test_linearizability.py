"""The search itself, and what it says of histories that are known to be good or bad."""

from collections.abc import Iterator, Sequence

import pytest

from tests.support.linearizability import Call, judge
from tests.wire._one_after_the_other import DONE, REFUSED, Consent, Operation, Result, World, steps

FIRST, SECOND, THIRD = ("pair", "a1", "r1"), ("pair", "a2", "r2"), ("pair", "a3", "r3")
CODE: Result = ("code", "c")
FRESH = World()
GIVEN = World(consents=(Consent(is_open=False, grant="living", redeemed=True, pairs=(("a1", "r1"),)), Consent()))


def _call(name: str, result: Result, invoked: int, returned: int, token: str = "") -> Call[Operation, Result]:
    return Call(Operation(name, 0, token), result, invoked, returned)


def _explained(history: Sequence[Call[Operation, Result]], world: World = FRESH) -> bool:
    return judge(history, world, steps).explained


def _register(value: int, operation: str, result: int) -> Iterator[int]:
    """A number that is written and read."""
    if operation == "write":
        yield result
    elif result == value:
        yield value


@pytest.mark.parametrize(
    ("reads", "good"),
    [([(1, 3, 4)], True), ([(0, 3, 4)], False), ([(0, 0, 4)], True), ([(1, 0, 2), (0, 3, 4)], False)],
    ids=["after the write", "old after the write", "old beside the write", "new, then old"],
)
def test_a_read_sees_what_was_written_before_it(reads: list[tuple[int, int, int]], good: bool) -> None:
    """TC-220, Herlihy and Wing §2: one value for everybody, in the order of real time."""
    written = Call("write", 1, 0, 2)
    history = [written, *(Call("read", value, invoked, returned) for value, invoked, returned in reads)]
    assert judge(history, 0, _register).explained is good


def test_the_longest_beginning_is_told_of_a_history_that_has_no_order() -> None:
    """Ours: who reads a failure sees how far it goes."""
    first, wrong = Call("write", 1, 0, 1), Call("read", 5, 2, 3)
    verdict = judge([wrong, first], 0, _register)
    assert (verdict.explained, verdict.order) == (False, (first,))


def test_nothing_at_all_is_a_good_history() -> None:
    """Ours."""
    assert judge([], 0, _register).explained


def test_a_code_that_two_got_tokens_for_is_found() -> None:
    """TC-220, contract §6: one code gives one pair; the second who asks hears no, and the grant ends."""
    submitted = _call("submit", CODE, 0, 1)
    assert not _explained([submitted, _call("redeem", FIRST, 2, 4), _call("redeem", SECOND, 2, 4)])
    refused = [submitted, _call("redeem", FIRST, 2, 4), _call("redeem", REFUSED, 2, 4)]
    assert _explained([*refused, _call("refresh", REFUSED, 5, 6, "r1")])
    assert not _explained([*refused, _call("refresh", SECOND, 5, 6, "r1")])


def test_a_consent_that_gave_two_codes_is_found() -> None:
    """TC-220, contract §5: of submits and denials at once one is taken."""
    assert not _explained([_call("submit", CODE, 0, 2), _call("submit", ("code", "d"), 0, 2)])
    assert not _explained([_call("submit", CODE, 0, 2), _call("deny", ("denied",), 0, 2)])
    assert not _explained([_call("submit", REFUSED, 0, 2), _call("deny", REFUSED, 0, 2)])
    assert _explained([_call("submit", CODE, 0, 2), _call("deny", REFUSED, 0, 2)])


def test_a_token_with_two_successors_is_found() -> None:
    """TC-220, contract §6: everybody who presents it in the window gets one pair."""
    assert _explained([_call("refresh", SECOND, 0, 2, "r1"), _call("refresh", SECOND, 0, 2, "r1")], GIVEN)
    assert not _explained([_call("refresh", SECOND, 0, 2, "r1"), _call("refresh", THIRD, 0, 2, "r1")], GIVEN)


@pytest.mark.parametrize("end", ["give_back", "end_grant", "delete_key"])
def test_a_token_that_is_given_after_the_end_is_found(end: str) -> None:
    """TC-220, contract §6: before the end was answered it may have come first; afterwards nothing is given."""
    ended = _call(end, DONE, 0, 2, "r1")
    assert _explained([ended, _call("refresh", SECOND, 1, 4, "r1")], GIVEN)
    assert not _explained([ended, _call("refresh", SECOND, 3, 4, "r1")], GIVEN)


def test_a_used_token_of_another_client_that_goes_on_is_found() -> None:
    """TC-220, contract §6: a stolen token that was used ends the grant, one that was not harms nobody."""
    used = [_call("refresh", SECOND, 0, 1, "r1"), _call("steal", REFUSED, 2, 3, "r1")]
    assert not _explained([*used, _call("refresh", THIRD, 4, 5, "r2")], GIVEN)
    assert _explained([_call("steal", REFUSED, 0, 1, "r1"), _call("refresh", SECOND, 2, 3, "r1")], GIVEN)


def test_an_account_that_is_lost_on_the_way_is_found() -> None:
    """TC-220, contract §5: what was connected before a consent was finished is the key's then, and nobody's if not."""
    connected, submitted = _call("connect", ("connected",), 0, 2), _call("submit", CODE, 0, 2)
    assert not _explained([connected, submitted, _call("accounts", ("held", "0"), 3, 4)])
    assert _explained([connected, submitted, _call("accounts", ("held", "1"), 3, 4)])
    assert not _explained([submitted, _call("connect", ("connected",), 3, 4)])


def test_a_late_replay_may_end_the_grant_and_an_early_one_may_not() -> None:
    """Contract §6: 30 seconds."""
    used = [_call("refresh", SECOND, 0, 1, "r1"), _call("refresh", REFUSED, 2, 3, "r1")]
    assert not _explained(used, GIVEN)
    assert _explained(used, World(consents=GIVEN.consents, late=True))
