"""A revocation is felt by every worker process within a second, however busy they are with the token (contract §6)."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.wire._bifrost import REVOKE, Installation, Person

pytestmark = pytest.mark.wire

CALLERS = 6
FELT_SECONDS = 1.0
WARM_SECONDS = 0.5
"""Long enough for both processes to have the token's rows in memory."""


def _token_given_back(installation: Installation, person: Person, tokens: dict[str, str]) -> None:
    form = {"client_id": person.client_id, "token": tokens["access_token"]}
    assert person.request("POST", REVOKE, data=form).status_code == 200


def _grant_given_back(installation: Installation, person: Person, tokens: dict[str, str]) -> None:
    form = {"client_id": person.client_id, "token": tokens["refresh_token"]}
    assert person.request("POST", REVOKE, data=form).status_code == 200


def _key_revoked(installation: Installation, person: Person, tokens: dict[str, str]) -> None:
    """By a command, which is a third process."""
    assert installation.run("keys", "revoke", "vk-test").returncode == 0


@pytest.mark.parametrize("end", [_token_given_back, _grant_given_back, _key_revoked])
def test_no_call_gets_in_a_second_after_the_end(
    database_url: str, tmp_path: Path, end: Callable[[Installation, Person, dict[str, str]], None]
) -> None:
    """TC-147, ASVS 7.4.1: calls that go on all the time, over two worker processes, before, during and after."""
    installation = Installation(tmp_path, database_url, {"server": {"workers": 2, "log_level": "error"}})
    with installation.running():
        person = Person(installation.origin)
        person.begin()
        tokens = person.redeem(person.approve()).json()
        stop, began = threading.Event(), time.monotonic()

        def call_all_the_time() -> list[tuple[float, int]]:
            calls = []
            caller = Person(installation.origin)
            while not stop.is_set():
                sent = time.monotonic()
                calls.append((sent, caller.call(tokens["access_token"])))
            return calls

        with ThreadPoolExecutor(CALLERS) as pool:
            callers = [pool.submit(call_all_the_time) for _ in range(CALLERS)]
            try:
                time.sleep(max(0.0, began + WARM_SECONDS - time.monotonic()))
                end(installation, person, tokens)
                ended = time.monotonic()
                time.sleep(2 * FELT_SECONDS)
            finally:
                stop.set()  # or the pool waits for callers that never stop
            calls = [call for caller in callers for call in caller.result()]
        assert {status for _, status in calls} <= {200, 401}
        assert 200 in {status for sent, status in calls if sent < ended}
        late = [status for sent, status in calls if sent > ended + FELT_SECONDS]
        assert late
        assert set(late) == {401}
