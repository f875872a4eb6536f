"""The server as a process: killed, stopped, and doubled, while people sign in."""

import json
import os
import signal
import socket
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from urllib.parse import urlencode

import httpx2
import pytest

from bifrost.cli.serve import GRACE_SECONDS
from tests.wire._bifrost import TOKEN, Installation, Person, until

pytestmark = pytest.mark.wire


def _killed(process: "subprocess.Popen[bytes]") -> None:
    process.kill()
    assert process.wait() == -signal.SIGKILL


def test_a_flow_outlives_a_server_that_is_killed_at_every_step(database_url: str, tmp_path: Path) -> None:
    """Contract §§5, 6, 10, TC-050, TC-192, TC-196, TC-197, TC-215, R6: what was answered is written, what was used is used."""
    installation = Installation(tmp_path, database_url)
    person = Person(installation.origin)
    with installation.running() as server:
        person.begin()
        _killed(server)
    with installation.running() as server:
        code = person.approve()
        _killed(server)
    with installation.running() as server:
        tokens = person.redeem(code)
        assert tokens.status_code == 200, tokens.text
        refreshed = person.refresh(tokens.json()["refresh_token"])
        assert refreshed.status_code == 200, refreshed.text
        _killed(server)
    with installation.running():
        assert person.call(refreshed.json()["access_token"]) == 200
        replayed = person.redeem(code)
        assert (replayed.status_code, replayed.json()["error"]) == (400, "invalid_grant")
        assert person.call(refreshed.json()["access_token"]) == 401, "a valid replay revokes the grant"


@pytest.mark.parametrize(
    ("number", "workers"),
    [(signal.SIGTERM, 1), (signal.SIGINT, 1), (signal.SIGTERM, 2)],
    ids=["SIGTERM", "SIGINT", "SIGTERM-2-workers"],
)
def test_a_stopping_server_finishes_the_request_in_flight_and_exits_with_0(
    sqlite_url: str, tmp_path: Path, number: signal.Signals, workers: int
) -> None:
    """TC-216, contract §11: stop accepting, finish token requests, exit 0; an idle connection does not hold it up."""
    installation = Installation(tmp_path, sqlite_url, {"server": {"workers": workers}})
    person = Person(installation.origin)
    with installation.running() as server, ExitStack() as connections:
        person.begin()
        code = person.approve()
        idle = connections.enter_context(httpx2.Client(base_url=installation.origin))
        assert idle.get("/health").status_code == 200
        form = {
            "grant_type": "authorization_code",
            "client_id": person.client_id,
            "code": code,
            "code_verifier": person.verifier,
        }
        body = urlencode(form).encode()
        in_flight = connections.enter_context(_head_of_a_token_request(installation.port, len(body)))

        server.send_signal(number)
        until(lambda: not _accepts(installation.origin), "closing the port")
        assert server.poll() is None
        in_flight.sendall(body)
        answer = _answer(in_flight)
        assert answer.startswith(b"HTTP/1.1 200 "), answer
        assert json.loads(answer.partition(b"\r\n\r\n")[2])["access_token"].startswith("bfat_")
        assert server.wait(GRACE_SECONDS - 2) == 0
    assert "Traceback" not in installation.log.read_text()


def _head_of_a_token_request(port: int, length: int) -> socket.socket:
    """Sent, and read by the application: it has asked for the body (RFC 9110 §10.1.1)."""
    connection = socket.create_connection(("127.0.0.1", port), timeout=GRACE_SECONDS)
    head = (
        f"POST {TOKEN} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/x-www-form-urlencoded\r\n"
        f"Content-Length: {length}\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n"
    )
    connection.sendall(head.encode())
    assert connection.recv(1_000).startswith(b"HTTP/1.1 100 ")
    return connection


def _answer(connection: socket.socket) -> bytes:
    answer = b""
    while part := connection.recv(65_536):
        answer += part
    return answer


def _accepts(origin: str) -> bool:
    try:
        return bool(httpx2.get(f"{origin}/health", timeout=0.5).status_code == 200)
    except httpx2.TransportError:
        return False


def _workers(server: "subprocess.Popen[bytes]") -> list[int]:
    children = Path(f"/proc/{server.pid}/task/{server.pid}/children").read_text().split()
    return [int(pid) for pid in children if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()]


def test_two_workers_serve_one_flow(database_url: str, tmp_path: Path) -> None:
    """TC-050, TC-215, contract §10: every step may be answered by another process than the step before."""
    installation = Installation(tmp_path, database_url, {"server": {"workers": 2}})
    person = Person(installation.origin)
    with installation.running() as server:
        until(lambda: len(_workers(server)) == 2, "starting two workers")
        one, other = _workers(server)
        # each is stopped in turn, so that the rest of them must answer; both have started once they have
        for paused in (one, other):
            with _paused(paused, database_url):
                assert person.request("GET", "/ready").status_code == 200
        with _paused(one, database_url):
            person.begin()
        with _paused(other, database_url):
            assert person.choose_key().startswith("/oauth/consent/mcps")
        with _paused(one, database_url):
            code = person.submit()
        with _paused(other, database_url):
            tokens = person.redeem(code)
            assert tokens.status_code == 200, tokens.text
        with _paused(one, database_url):
            access_token = tokens.json()["access_token"]
            assert person.call(access_token) == 200
            assert person.redeem(code).status_code == 400
        with _paused(other, database_url):
            assert person.call(access_token) == 401
        server.terminate()
        assert server.wait(GRACE_SECONDS) == 0


def test_workers_end_with_a_supervisor_that_is_killed(database_url: str, tmp_path: Path) -> None:
    """Contract §§10, 11: what nobody supervises holds neither the port, so that a new start works, nor the database."""
    installation = Installation(tmp_path, database_url, {"server": {"workers": 2}})
    with installation.running() as server:
        until(lambda: len(_workers(server)) == 2, "starting two workers")
        workers = _workers(server)
        _killed(server)
        until(lambda: not any(_lives(pid) for pid in workers), "ending the workers")
    with installation.running():
        assert _accepts(installation.origin)


def _lives(pid: int) -> bool:
    """Not so for one that has ended and that its new parent has not looked at yet."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


@contextmanager
def _paused(pid: int, database_url: str) -> Iterator[None]:
    """Shorter than the supervisor's patience of 5 seconds; on a busy machine it may replace the process, which is fine.

    Not in the middle of a write of its own accord: that would hold up every other process, and is not what is asked here.
    """
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGSTOP)
        while not _writable(database_url):
            os.kill(pid, signal.SIGCONT)
            time.sleep(0.01)
            os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)


def _writable(database_url: str) -> bool:
    scheme, _, path = database_url.partition(":///")
    if scheme != "sqlite":
        return True  # one that is stopped there holds no more than its rows
    with closing(sqlite3.connect(path, timeout=0.05, isolation_level=None)) as database:
        try:
            database.execute("BEGIN IMMEDIATE").connection.rollback()
        except sqlite3.OperationalError:
            return False
    return True
