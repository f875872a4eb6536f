"""One refresh in flight for each credential, over three gateway processes, as real authorization servers count it.

The certified server ends the whole grant when a refresh token comes twice, so a second refresh would also fail calls.
"""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest

from bifrost.base.ids import new_secret
from tests.support.servers import free_port
from tests.wire import _accounts as accounts
from tests.wire._accounts import Call, Guarded, Member
from tests.wire._bifrost import KEY, Installation, until

pytestmark = [pytest.mark.wire, pytest.mark.clients]

CALLS = int(os.environ.get("BIFROST_TEST_REFRESH_CALLS", "50"))
PROCESSES = 3
SHORT_SECONDS = 12
"""Long enough to sign in on a busy machine before the token expires."""


def _several(database_url: str, directory: Path, upstream: Guarded, ports: list[int]) -> list[Installation]:
    """Gateways behind one public address each, with one database and one key ring."""
    origins = [f"http://127.0.0.1:{port}" for port in ports]
    key = "A" * 43
    found = []
    for number, port in enumerate(ports):
        own = directory / f"gateway-{number}"
        own.mkdir()
        sections = {"server": {"public_urls": origins}, "mcp": {"client_configs": [upstream.entry]}}
        found.append(Installation(own, database_url, sections, port, {"BIFROST_ENCRYPTION_KEYS": key}))
    return found


@contextmanager
def _signed_in(
    database_url: str, directory: Path, upstream: Guarded, ports: list[int]
) -> Iterator[tuple[list[Installation], str]]:
    """Three running gateways, and the token of a client whose person is `ann` at the upstream."""
    gateways = _several(database_url, directory, upstream, ports)
    with accounts.all_of(*(gateway.running() for gateway in gateways)):
        yield gateways, Member(gateways[0].origin).signed_in(KEY, {upstream.issuer: "ann"})


def _burst(gateways: list[Installation], token: str, tool: str) -> None:
    calls = [Call(gateways[n % PROCESSES].origin, token, tool, f"{n}-{new_secret()}") for n in range(CALLS)]
    said = accounts.made(calls)
    assert said == {call.tag: f"ann {call.tag}" for call in calls}


def test_fifty_calls_at_the_moment_of_expiry_are_one_refresh(database_url: str, tmp_path: Path) -> None:
    """R12, TC-118: three processes on one database; no call fails, and the upstream counts one refresh."""
    ports = [free_port() for _ in range(PROCESSES)]
    with accounts.certified("notes", tmp_path) as notes:
        httpx2.post(f"{notes.issuer}/ttl", params={"seconds": SHORT_SECONDS})
        with _signed_in(database_url, tmp_path, notes, ports) as (gateways, token):
            expires = time.monotonic() + SHORT_SECONDS
            httpx2.post(f"{notes.issuer}/ttl", params={"seconds": 3_600})
            for gateway in gateways:
                accounts.made([Call(gateway.origin, token, "notes-whoami", new_secret())])
            until(lambda: time.monotonic() >= expires, "the expiry of the token")
            for _ in range(2):
                _burst(gateways, token, "notes-whoami")
                assert notes.refreshes() == 1


def test_fifty_calls_with_a_token_that_died_unannounced_are_one_refresh(database_url: str, tmp_path: Path) -> None:
    """R12: a server that gives no lifetime and keeps refresh tokens; everybody hears 401, and nobody's call fails."""
    ports = [free_port() for _ in range(PROCESSES)]
    with (
        accounts.static("wiki", tmp_path, f"http://127.0.0.1:{ports[0]}") as wiki,
        _signed_in(database_url, tmp_path, wiki, ports) as (gateways, token),
    ):
        for gateway in gateways:
            accounts.made([Call(gateway.origin, token, "wiki-whoami", new_secret())])
        for number in (1, 2):
            httpx2.post(f"{wiki.issuer}/counts")
            _burst(gateways, token, "wiki-whoami")
            assert wiki.refreshes() == number
