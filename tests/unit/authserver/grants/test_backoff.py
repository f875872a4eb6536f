"""Asking a client that hammers a dead token to wait."""

import pytest

from bifrost.authserver.grants import backoff
from bifrost.authserver.grants.backoff import MAX_REFUSALS, WAIT_SECONDS, Backoff
from tests.support.clock import FakeClock


def _hammered(clock: FakeClock, times: int = MAX_REFUSALS) -> Backoff:
    made = Backoff(clock)
    for _ in range(times):
        assert not made.wait("client", "token")
        made.refused("client", "token")
    return made


def test_the_last_refusal_that_is_allowed_is_still_a_refusal(clock: FakeClock) -> None:
    """R10: the client hears often enough that it has to authorize again."""
    assert _hammered(clock, MAX_REFUSALS - 1).wait("client", "token") == 0


def test_whoever_goes_on_is_told_how_long_to_wait(clock: FakeClock) -> None:
    """R10, RFC 9110 §10.2.3: in whole seconds, never less than what is left."""
    made = _hammered(clock)
    clock.advance(seconds=0.5)
    assert made.wait("client", "token") == WAIT_SECONDS


def test_after_the_wait_the_token_is_looked_at_again(clock: FakeClock) -> None:
    """R10: and counted from the beginning."""
    made = _hammered(clock)
    clock.advance(seconds=WAIT_SECONDS)
    assert made.wait("client", "token") == 0
    made.refused("client", "token")
    assert made.wait("client", "token") == 0


@pytest.mark.parametrize(("client", "token"), [("client", "other"), ("other", "token")])
def test_nobody_else_waits(clock: FakeClock, client: str, token: str) -> None:
    """R10: a client id is shared by everybody who uses the same program."""
    assert _hammered(clock).wait(client, token) == 0


def test_memory_is_bounded(clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> None:
    """Anybody may send tokens without end."""
    monkeypatch.setattr(backoff, "MAX_KEPT", 3)
    made = _hammered(clock)
    for number in range(3):
        made.refused("client", f"token {number}")
    assert made.wait("client", "token") == 0
    assert len(made._refused) == 3
