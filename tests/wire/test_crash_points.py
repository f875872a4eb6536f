"""Killed at every statement of a sign-in, one after the other: what follows is a success or a clear answer.

The process kills itself when SQLite begins the statement, so before a COMMIT as well as after one. Each next one is a
copy of a process that has imported the program and done nothing: importing is most of what a start costs.
"""

import sqlite3
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.support.servers import NO_AUTHORITIES, process
from tests.wire._bifrost import CONSENT, KEY, Installation, Person, environment, until

pytestmark = pytest.mark.wire

CRASHING = """
import ctypes, os, signal, sys
from pathlib import Path
from bifrost.cli import main
from bifrost.storage.sqlite import SqliteDatabase

PR_SET_PDEATHSIG = 1
armed, left, connect = Path(sys.argv.pop(1)), [], SqliteDatabase._connect

def statement(database, sql):
    if not database._writer.in_transaction and not sql.startswith("BEGIN"):
        return  # a death between two transactions is the same wherever it comes
    if armed.exists():
        left[:] = [int(armed.read_text())]
        armed.unlink()
    if left:
        left[0] -= 1
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)

async def traced(database):
    await connect(database)
    database._writer.set_trace_callback(lambda sql: statement(database, sql))

SqliteDatabase._connect = traced
killed = -signal.SIGKILL
while killed == -signal.SIGKILL:
    started = os.fork()
    if not started:
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        raise SystemExit(main.main())
    killed = os.waitstatus_to_exitcode(os.waitpid(started, 0)[1])
raise SystemExit(killed)
"""
FEWEST, MOST = 12, 120


@dataclass
class Crashing:
    """A server that can be told at which statement from now on it dies, and that comes back."""

    installation: Installation
    crashes: int = 0

    @property
    def armed(self) -> Path:
        return self.installation.directory / "armed"

    @contextmanager
    def running(self) -> Iterator[None]:
        command = [sys.executable, "-c", CRASHING, str(self.armed), "serve", "--config", str(self.installation.config)]
        with process(command, ready_url=self._ready, env=environment(), log=self.installation.log):
            yield

    @property
    def _ready(self) -> str:
        return f"{self.installation.origin}/ready"

    def _is_back(self) -> bool:
        try:
            return httpx2.get(self._ready, verify=NO_AUTHORITIES).status_code == 200
        except httpx2.TransportError:
            return False

    def step(self, action: Callable[[], httpx2.Response]) -> httpx2.Response:
        """Once, and once more if the server died over it."""
        try:
            return action()
        except httpx2.TransportError:
            self.crashes += 1
            until(self._is_back, "the start of the next one")
            return action()


@contextmanager
def _crashing(directory: Path, url: str) -> Iterator[Crashing]:
    server = Crashing(Installation(directory, url, {"server": {"log_level": "error"}}))
    with server.running():
        yield server


def _signed_in(server: Crashing) -> None:
    """As a client and a browser do it: what is refused clearly is begun anew."""
    person = Person(server.installation.origin)
    person.register()
    for _ in range(3):
        server.step(lambda: _done(person.authorize))
        csrf = person.csrf()
        assert server.step(partial(_press, person, "vk", csrf)).status_code == 303
        submitted = server.step(partial(_press, person, "submit", csrf))
        if submitted.status_code == 409:
            continue  # it was finished, and its answer is lost
        assert submitted.status_code == 303, submitted.text
        code = httpx2.URL(submitted.headers["location"]).params["code"]
        redeemed = server.step(partial(person.redeem, code))
        if redeemed.status_code == 400:
            assert redeemed.json()["error"] == "invalid_grant"
            continue  # it was redeemed, and its answer is lost
        assert redeemed.status_code == 200, redeemed.text
        token = redeemed.json()["refresh_token"]
        refreshed = server.step(partial(person.refresh, token))
        assert refreshed.status_code == 200, "a lost answer to a refresh is given again"
        assert person.call(refreshed.json()["access_token"]) == 200
        return
    raise AssertionError("one crash cost more than one attempt")


def _done(action: Callable[[], None]) -> httpx2.Response:
    action()
    return httpx2.Response(200)


def _press(person: Person, action: str, csrf: str) -> httpx2.Response:
    form = {"flow_id": person.flow_id, "csrf": csrf, "virtual_key": KEY}
    return person.request("POST", f"{CONSENT}/{action}", data=form, headers={"Origin": person.origin})


def _ask(path: Path, statement: str) -> list[Any]:
    with closing(sqlite3.connect(path)) as file:
        return file.execute(statement).fetchall()


def _nothing_is_half_done(path: Path) -> None:
    half = {
        "a finished flow without a grant, or a grant without its flow": (
            "SELECT (SELECT count(*) FROM pending_flows WHERE finished_at IS NOT NULL) - (SELECT count(*) FROM grants)"
        ),
        "a grant without its code": "SELECT count(*) FROM grants WHERE id NOT IN (SELECT grant_id FROM authorization_codes)",
        "a code redeemed without tokens, or tokens without it": (
            "SELECT count(*) FROM authorization_codes c WHERE (c.used_at IS NOT NULL) != "
            "EXISTS (SELECT 1 FROM access_tokens t WHERE t.grant_id = c.grant_id)"
        ),
        "a second family": (
            "SELECT count(*) FROM (SELECT grant_id FROM refresh_tokens WHERE used_at IS NULL "
            "GROUP BY grant_id HAVING count(*) > 1)"
        ),
        "an access token without its refresh token": (
            "SELECT (SELECT count(*) FROM access_tokens) - (SELECT count(*) FROM refresh_tokens)"
        ),
    }
    for what, statement in half.items():
        assert _ask(path, statement) == [(0,)], what


def test_killed_at_every_statement_of_a_sign_in(tmp_path: Path, sqlite_url: str) -> None:
    """TC-198, TC-196, TC-197, TC-122: whole or not at all, nothing twice, and the person gets in in the end."""
    path = Path(sqlite_url.removeprefix("sqlite:///"))
    with _crashing(tmp_path, sqlite_url) as server:
        for number in range(1, MOST):
            crashed = server.crashes
            server.armed.write_text(str(number))
            _signed_in(server)
            _nothing_is_half_done(path)
            if server.crashes == crashed:
                break
        assert FEWEST < number < MOST - 1
        assert server.crashes == number - 1
