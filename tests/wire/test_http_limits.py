"""The edge of the server as a process: heads without end, bodies that stop, more clients than files."""

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import httpx2
import pytest

from bifrost.cli.serve import GRACE_SECONDS
from tests.support.servers import process
from tests.wire._bifrost import COMMAND, TOKEN, Installation, environment, until

pytestmark = pytest.mark.wire

MEGABYTES = 20
QUICKLY = 2.0
FILES = 128
FORM = "application/x-www-form-urlencoded"


@pytest.fixture(scope="module")
def serving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """One server for what does not stop it."""
    directory = tmp_path_factory.mktemp("limits")
    installation = Installation(directory, f"sqlite:///{directory / 'bifrost.db'}")
    with installation.running():
        yield installation


def _connected(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=GRACE_SECONDS)


def _everything(connection: socket.socket) -> bytes:
    """What is there until the server closes, in whatever way it does."""
    answer = b""
    with suppress(ConnectionError):
        while part := connection.recv(65_536):
            answer += part
    return answer


def _head(port: int, *fields: str) -> bytes:
    lines = [f"POST {TOKEN} HTTP/1.1", f"Host: 127.0.0.1:{port}", f"Content-Type: {FORM}", *fields, "", ""]
    return "\r\n".join(lines).encode()


@pytest.mark.parametrize(
    ("start", "more"),
    [
        (b"GET /health?", b"a" * 65_536),
        (b"GET /health HTTP/1.1\r\nX: ", b"a" * 65_536),
        (b"GET /health HTTP/1.1\r\n", b"x:\r\n" * 16_384),
    ],
    ids=["target", "field", "fields"],
)
def test_a_head_without_end_is_refused_at_once_and_keeps_nobody_waiting(
    serving: Installation, start: bytes, more: bytes
) -> None:
    """RFC 6585 §5: one client must not stop the process for the others."""
    began = time.monotonic()
    with _connected(serving.port) as connection:
        with suppress(ConnectionError):
            connection.sendall(start)
            for _ in range(MEGABYTES * 16):
                connection.sendall(more)
        assert httpx2.get(f"{serving.origin}/health").status_code == 200
        assert time.monotonic() - began < QUICKLY
        assert _everything(connection).startswith(b"HTTP/1.1 431 ")


@pytest.mark.parametrize("length", ["0" * 5_000 + "3", "0" * 21])
def test_a_length_of_thousands_of_digits_is_the_clients_fault(serving: Installation, length: str) -> None:
    """RFC 9110 §8.6: a refusal in OAuth's form, and not a fault of ours."""
    with _connected(serving.port) as connection:
        connection.sendall(_head(serving.port, f"Content-Length: {length}", "Connection: close") + b"a=b")
        answer = _everything(connection)
    assert answer.startswith(b"HTTP/1.1 400 "), answer
    assert b'"invalid_request"' in answer


def test_more_clients_than_files_are_told_to_come_back(sqlite_url: str, tmp_path: Path) -> None:
    """TC-209, RFC 9110 §15.6.4: 503 for those who are too many, and the others are served."""
    installation = Installation(tmp_path, sqlite_url)
    limited = ["sh", "-c", f"ulimit -n {FILES} && exec {COMMAND} serve --config {installation.config}"]
    ready = f"{installation.origin}/ready"
    with ExitStack() as stack:
        server = stack.enter_context(process(limited, ready_url=ready, env=environment(), log=installation.log))
        first = stack.enter_context(httpx2.Client(base_url=installation.origin))
        assert first.get("/ready").status_code == 200
        crowd = [stack.enter_context(_connected(installation.port)) for _ in range(FILES * 2)]
        assert _everything(crowd[-1]).startswith(b"HTTP/1.1 503 ")
        assert first.get("/ready").status_code == 200
        open_files = len(list(Path(f"/proc/{server.pid}/fd").iterdir()))
        assert open_files < FILES * 3 // 4
        for connection in crowd:
            connection.close()
        until(lambda: _status(ready) == 200, "serving after the crowd")
        server.terminate()
        assert server.wait(GRACE_SECONDS) == 0


def _status(url: str) -> int:
    try:
        return int(httpx2.get(url).status_code)
    except httpx2.TransportError:
        return 0


@pytest.mark.parametrize(("soft", "hard", "connections"), [(100, 1_000, 500), (200, 200, 100)])
def test_the_number_of_connections_follows_the_number_of_files(soft: int, hard: int, connections: int) -> None:
    """Ours: the soft limit is raised as far as the system allows, and half of it is for clients."""
    asked = f"{sys.executable} -c 'from bifrost.cli.serve import max_connections; print(max_connections())'"
    command = ["sh", "-c", f"ulimit -Sn {soft} && ulimit -Hn {hard} && {asked}"]
    told = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=30, check=True)
    assert int(told.stdout) == connections


def test_a_server_that_stops_during_half_a_body_says_so_without_a_traceback(sqlite_url: str, tmp_path: Path) -> None:
    """Contract §11: exit 0; what outlives the grace time is no fault of ours."""
    installation = Installation(tmp_path, sqlite_url)
    hasty = "from bifrost.cli import main, serve; serve.GRACE_SECONDS = 1; raise SystemExit(main.main())"
    command = [sys.executable, "-c", hasty, "serve", "--config", str(installation.config)]
    ready = f"{installation.origin}/ready"
    with (
        process(command, ready_url=ready, env=environment(), log=installation.log) as server,
        _connected(installation.port) as connection,
    ):
        connection.sendall(_head(installation.port, "Content-Length: 10", "Expect: 100-continue"))
        assert connection.recv(1_000).startswith(b"HTTP/1.1 100 ")
        connection.sendall(b"a")
        server.terminate()
        assert _everything(connection).startswith(b"HTTP/1.1 503 ")
        assert server.wait(GRACE_SECONDS) == 0
    log = installation.log.read_text()
    assert "Traceback" not in log
    assert "Exception in ASGI" not in log
