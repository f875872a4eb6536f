"""Requests byte by byte, as no HTTP client would send them, to the server as a process."""

import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import httpx2
import pytest

from tests.support.servers import process
from tests.wire._bifrost import (
    AUTHORIZE,
    CONSENT,
    KEY,
    REGISTER,
    REVOKE,
    TOKEN,
    Installation,
    Person,
    environment,
    until,
)

pytestmark = pytest.mark.wire

GRACE_SECONDS = 10
FORM = "application/x-www-form-urlencoded"
JSON = "application/json"
MEGABYTE = 1024 * 1024
PING = b'{"jsonrpc":"2.0","id":1,"method":"ping"}'
FEW_MEGABYTES = 40
SLOW_CLIENTS = 300


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Installation, "subprocess.Popen[bytes]"]]:
    """One for all of them: nothing here may stop it."""
    directory = tmp_path_factory.mktemp("hostile")
    installation = Installation(directory, f"sqlite:///{directory / 'bifrost.db'}")
    with installation.running() as running:
        yield installation, running
        log = installation.log.read_text()
        assert "unexpected_error" not in log
        assert "Traceback" not in log


Server = tuple[Installation, "subprocess.Popen[bytes]"]


def _sent(port: int, request: bytes) -> bytes:
    """Everything that comes back until the server closes, or says no more."""
    with socket.create_connection(("127.0.0.1", port), timeout=GRACE_SECONDS) as connection:
        with suppress(ConnectionError):
            connection.sendall(request)
        answer = b""
        with suppress(ConnectionError, TimeoutError):
            while part := connection.recv(65_536):
                answer += part
        return answer


def _status(answer: bytes) -> int:
    found = re.match(rb"HTTP/1\.[01] ([0-9]{3}) ", answer)
    assert found, answer[:200]
    return int(found[1])


def _request(line: str, *fields: str, body: bytes = b"") -> bytes:
    head = "\r\n".join([line, *fields, "Connection: close", "", ""])
    return head.encode("latin-1") + body


HOSTS: dict[str, tuple[str, ...]] = {
    "none": (),
    "two": ("Host: {own}", "Host: {own}"),
    "two that differ": ("Host: {own}", "Host: evil.test"),
    "with a path": ("Host: {own}/x?",),
    "with a fragment": ("Host: {own}#",),
    "with a user": ("Host: {own}@evil.test",),
    "a user before it": ("Host: evil.test@{own}",),
    "an impossible port": ("Host: 127.0.0.1:99999",),
    "no port": ("Host: 127.0.0.1",),
    "empty": ("Host: ",),
    "a foreign one": ("Host: evil.test",),
    "a comma": ("Host: {own}, evil.test",),
    "a blank in it": ("Host: 127.0.0.1 :80",),
    "folded": ("Host: {own}", " evil.test"),
    "a foreign one with a forged header": ("Host: evil.test", "X-Forwarded-Host: {own}"),
}


@pytest.mark.parametrize("path", ["/mcp", "/.well-known/oauth-authorization-server", "/api/governance/virtual-keys"])
@pytest.mark.parametrize("fields", HOSTS.values(), ids=HOSTS)
def test_a_host_that_is_not_exactly_ours_decides_nothing(server: Server, path: str, fields: tuple[str, ...]) -> None:
    """TC-153, TC-154, CVE-2026-48710: refused before anything is looked at, whatever credentials come along."""
    installation, _ = server
    own = [field.format(own=f"127.0.0.1:{installation.port}") for field in fields]
    answer = _sent(installation.port, _request(f"GET {path} HTTP/1.1", *own, f"x-bf-vk: {KEY}"))
    assert _status(answer) in (400, 421)
    assert b"evil" not in answer
    assert b"\r\nwww-authenticate:" not in answer.lower()


@pytest.mark.parametrize(
    "target", ["http://evil.test/mcp", "http://{own}/mcp", "https://evil.test:1/mcp", "evil.test:80"]
)
def test_an_absolute_target_changes_neither_host_nor_path(server: Server, target: str) -> None:
    """TC-117, TC-154: an answer of ours speaks of our own name alone."""
    installation, _ = server
    own = f"127.0.0.1:{installation.port}"
    answer = _sent(installation.port, _request(f"GET {target.format(own=own)} HTTP/1.1", f"Host: {own}"))
    assert 400 <= _status(answer) < 500
    assert b"evil" not in answer
    if b"resource_metadata" in answer:
        assert f'resource_metadata="http://{own}/'.encode() in answer


PATHS = [
    "//mcp",
    "/./mcp",
    "/mcp/../api/governance/virtual-keys",
    "/mcp/..;/api/governance/virtual-keys",
    "/mcp%2f..%2fapi",
    "/%2e%2e/api/governance/virtual-keys",
    "/api//governance/virtual-keys",
    "/api/governance/virtual-keys/",
    "/API/governance/virtual-keys",
    "/api/governance/virtual-keys%00",
    "/api/governance/virtual-keys;x=1",
    "/api/governance/virtual-keys%0a",
    "/health/../api/governance/virtual-keys",
    "/%6dcp/../api/audit",
    "\\api\\audit",
    "/api/audit#x",
]


@pytest.mark.parametrize("path", PATHS)
def test_no_spelling_of_an_address_leads_past_its_guard(server: Server, path: str) -> None:
    """TC-155: nothing is shown, and no redirect drops or carries on what was sent."""
    installation, _ = server
    host = f"Host: 127.0.0.1:{installation.port}"
    for more in ((), (f"x-bf-vk: {KEY}",), (f"Authorization: Bearer {KEY}",)):
        answer = _sent(installation.port, _request(f"GET {path} HTTP/1.1", host, *more))
        assert _status(answer) in (400, 401, 404, 405), answer[:300]
        assert b"\r\nlocation:" not in answer.lower()


@pytest.mark.parametrize(
    "method", ["TRACE", "CONNECT", "PUT", "PATCH", "PROPFIND", "get", "GET\tX", "G\x00T", "M" * 5_000]
)
@pytest.mark.parametrize("path", ["/mcp", TOKEN, AUTHORIZE, f"{CONSENT}/submit", "/api/audit"])
def test_another_method_does_nothing_and_is_echoed_nowhere(server: Server, method: str, path: str) -> None:
    """TC-159, TC-064: 405 with what is allowed, or 400 where it is no method at all."""
    installation, _ = server
    fields = (f"Host: 127.0.0.1:{installation.port}", "X-Echo: canary", f"Authorization: Bearer {KEY}")
    answer = _sent(installation.port, _request(f"{method} {path} HTTP/1.1", *fields))
    assert _status(answer) in (400, 401, 405, 431, 501), answer[:300]
    if _status(answer) == 405:
        assert b"\r\nallow:" in answer.lower()
    assert b"canary" not in answer


LENGTHS: dict[str, tuple[tuple[str, ...], bytes]] = {
    "negative": (("Content-Length: -1",), PING),
    "a plus": (("Content-Length: +40",), PING),
    "two that differ": ((f"Content-Length: {len(PING)}", "Content-Length: 0"), PING),
    "hexadecimal": (("Content-Length: 0x28",), PING),
    "length and chunked": ((f"Content-Length: {len(PING)}", "Transfer-Encoding: chunked"), b"0\r\n\r\n"),
    "chunked twice": (("Transfer-Encoding: chunked, chunked",), b"0\r\n\r\n"),
    "chunked, but not last": (("Transfer-Encoding: chunked, identity",), b"0\r\n\r\n"),
    "an unknown coding": (("Transfer-Encoding: xchunked",), b"0\r\n\r\n"),
    "a chunk without measure": (("Transfer-Encoding: chunked",), b"FFFFFFFFFFFFFFFFFF\r\n" + PING),
    "a negative chunk": (("Transfer-Encoding: chunked",), b"-1\r\n" + PING),
}


@pytest.mark.parametrize(("fields", "body"), LENGTHS.values(), ids=LENGTHS)
@pytest.mark.parametrize(("path", "kind"), [("/mcp", JSON), (TOKEN, FORM), (REGISTER, JSON)])
def test_a_body_whose_end_can_be_read_in_two_ways_is_refused(
    server: Server, fields: tuple[str, ...], body: bytes, path: str, kind: str
) -> None:
    """TC-168, RFC 9112 §6.3: and what follows on the connection is never taken for another request."""
    installation, _ = server
    head = (f"Host: 127.0.0.1:{installation.port}", f"Content-Type: {kind}", f"x-bf-vk: {KEY}", *fields)
    hidden = f"GET /health HTTP/1.1\r\nHost: 127.0.0.1:{installation.port}\r\n\r\n".encode()
    answer = _sent(installation.port, _request(f"POST {path} HTTP/1.1", *head, body=body + hidden))
    assert _status(answer) in (400, 411, 413, 501), answer[:300]
    assert answer.count(b"HTTP/1.1 ") == 1


def _megabytes(running: "subprocess.Popen[bytes]") -> float:
    pages = int(Path(f"/proc/{running.pid}/statm").read_text().split()[1])
    return pages * 4096 / MEGABYTE


@pytest.mark.parametrize(
    ("path", "kind", "limit"),
    [("/mcp", JSON, 4), (TOKEN, FORM, 0.0625), (REGISTER, JSON, 0.0625), (f"{CONSENT}/vk", FORM, 0.0625)],
)
@pytest.mark.parametrize("how", ["declared", "chunked without an end", "expected first"])
def test_a_hundred_megabytes_cost_nothing(server: Server, path: str, kind: str, limit: float, how: str) -> None:
    """TC-168, TC-087: refused once the limit is reached, before the rest is sent; nobody is asked to go on."""
    installation, running = server
    before, began = _megabytes(running), time.monotonic()
    fields = [f"Host: 127.0.0.1:{installation.port}", f"Content-Type: {kind}", f"x-bf-vk: {KEY}"]
    fields += [f"Origin: {installation.origin}"]
    fields += ["Transfer-Encoding: chunked"] if "chunked" in how else [f"Content-Length: {100 * MEGABYTE}"]
    fields += ["Expect: 100-continue"] if how == "expected first" else []
    with socket.create_connection(("127.0.0.1", installation.port), timeout=GRACE_SECONDS) as connection:
        connection.sendall(_request(f"POST {path} HTTP/1.1", *fields))
        answer, sent = b"", 0
        if how == "chunked without an end":
            with suppress(ConnectionError, TimeoutError):
                while sent < 100 and not answer:
                    connection.sendall(b"100000\r\n" + b"x" * MEGABYTE + b"\r\n")
                    sent += 1
                    connection.settimeout(0.05)
                    with suppress(TimeoutError):
                        answer += connection.recv(65_536)
                    connection.settimeout(GRACE_SECONDS)
        else:
            answer = connection.recv(65_536)
    assert sent <= limit + FEW_MEGABYTES
    if answer:  # or the connection was closed before the answer could be read
        assert _status(answer) in (400, 413), answer[:200]
    assert time.monotonic() - began < GRACE_SECONDS
    assert _megabytes(running) - before < FEW_MEGABYTES
    assert httpx2.get(f"{installation.origin}/health").status_code == 200


FORMS: dict[str, tuple[str, bytes]] = {
    "a million fields": (FORM, b"&".join([b"a=1"] * 1_000_000)),
    "as many fields as fit": (FORM, b"&".join([b"a%d=1" % number for number in range(8_000)])[: 64 * 1024]),
    "one field of 50 MB": (FORM, b"a=" + b"x" * (50 * MEGABYTE)),
    "only separators": (FORM, b"&" * (64 * 1024)),
    "only escapes": (FORM, b"%41" * (21 * 1024)),
    "parts without end": (
        "multipart/form-data; boundary=x",
        b"--x\r\n" + b"".join(b"X-%d: y\r\n" % number for number in range(100_000)),
    ),
    "a pathological type": (f"{FORM}; a=" + '"\\' * 2_000, b"a=1"),
    "a type of many parameters": (FORM + "; a=b" * 2_000, b"a=1"),
}


@pytest.mark.parametrize(("kind", "body"), FORMS.values(), ids=FORMS)
@pytest.mark.parametrize("path", [TOKEN, f"{CONSENT}/vk", REVOKE])
def test_a_form_that_is_made_to_exhaust_is_refused_and_nobody_waits(
    server: Server, path: str, kind: str, body: bytes
) -> None:
    """TC-167, TC-041, CVE-2026-54283: quickly, in little memory, and others are served meanwhile."""
    installation, running = server
    before, began = _megabytes(running), time.monotonic()
    head = (f"Host: 127.0.0.1:{installation.port}", f"Content-Type: {kind}", f"Content-Length: {len(body)}")
    request = _request(f"POST {path} HTTP/1.1", *head, f"Origin: {installation.origin}", body=body)
    with ExitStack() as stack:
        crowd = [
            stack.enter_context(socket.create_connection(("127.0.0.1", installation.port), timeout=GRACE_SECONDS))
            for _ in range(10)
        ]
        for connection in crowd:
            with suppress(ConnectionError):
                connection.sendall(request)
        asked = time.monotonic()
        assert httpx2.get(f"{installation.origin}/health").status_code == 200
        assert time.monotonic() - asked < 1
        for connection in crowd:
            with suppress(ConnectionError):  # closed before the answer could be read
                assert _status(connection.recv(65_536)) in (400, 403, 413, 415)
    assert time.monotonic() - began < GRACE_SECONDS
    assert _megabytes(running) - before < FEW_MEGABYTES


def test_clients_that_are_slow_on_purpose_keep_nobody_waiting(tmp_path: Path, sqlite_url: str) -> None:
    """TC-166: hundreds that begin a head or a body, or say nothing, and never end: they are sent away, others are served.

    The times are a tenth of the product's, whose own are tested where they are kept.
    """
    installation = Installation(tmp_path, sqlite_url)
    shorter = (
        "from bifrost.http import body, server_protocol; from bifrost.cli import main; body.SECONDS = 3.0; "
        "server_protocol.LimitedProtocol.head_seconds = 1.0; raise SystemExit(main.main())"
    )
    command = [sys.executable, "-c", shorter, "serve", "--config", str(installation.config)]
    ready = f"{installation.origin}/ready"
    with process(command, ready_url=ready, env=environment(), log=installation.log) as running, ExitStack() as stack:
        starts = [
            b"GET /health HTTP/1.1\r\nHost: x\r\nX: ",
            _request(
                f"POST {TOKEN} HTTP/1.1",
                f"Host: 127.0.0.1:{installation.port}",
                f"Content-Type: {FORM}",
                "Content-Length: 100",
            )
            + b"a=",
            b"",
        ]
        open_before = len(list(Path(f"/proc/{running.pid}/fd").iterdir()))
        slow = [
            stack.enter_context(socket.create_connection(("127.0.0.1", installation.port), timeout=GRACE_SECONDS))
            for _ in range(SLOW_CLIENTS)
        ]
        for number, connection in enumerate(slow):
            connection.sendall(starts[number % len(starts)])
        person = Person(installation.origin)
        slowest = 0.0
        deadline = time.monotonic() + 3.5
        while time.monotonic() < deadline:
            asked = time.monotonic()
            person.begin()
            assert person.redeem(person.approve()).status_code == 200
            slowest = max(slowest, (time.monotonic() - asked) / 6)
            for connection in slow:
                with suppress(OSError):
                    connection.send(b"x")
        assert slowest < 1, "a healthy request took too long"
        answers = [_rest(connection) for connection in slow]
        assert {_status(answer) for answer in answers if answer} <= {400, 408}
        files = Path(f"/proc/{running.pid}/fd")
        until(lambda: len(list(files.iterdir())) <= open_before + 5, "closing what the slow ones held")


def _rest(connection: socket.socket) -> bytes:
    answer = b""
    with suppress(ConnectionError):
        while part := connection.recv(65_536):
            answer += part
    return answer
