"""Clients that do not read what they asked for, at a gateway that is a process: memory stays where it was, nobody else
waits, and after a while they are left (TC-166, TC-211).
"""

import json
import socket
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.support.servers import process
from tests.support.talking_upstream import talking
from tests.wire._bifrost import KEY, PATIENCE_SECONDS, Installation, environment, until
from tests.wire._hostile_http import hostile_server
from tests.wire.test_hostile_upstreams import MAX_GROWTH_BYTES, Running

pytestmark = pytest.mark.wire

SLOW_READERS = 20
SMALL_BUFFER = 4_096
NEWS_BYTES = 256 * 1024
NEWS = 400
"""A hundred megabytes of them."""

LISTENS = "0A"
"""A state in the kernel's table of sockets."""

SOON = "from bifrost.http import server_protocol; from bifrost.cli import main; "
SOON += "server_protocol.LimitedProtocol.stalled_seconds = 3.0; raise SystemExit(main.main())"
"""The product with less patience."""


@contextmanager
def gateway(tmp_path: Path, url: str, **upstreams: str) -> Iterator[Running]:
    usual = {"tools_to_execute": ["*"], "allow_on_all_virtual_keys": True, "tool_execution_timeout": 2}
    entries = [{"name": name, "connection_string": address, **usual} for name, address in upstreams.items()]
    installation = Installation(tmp_path, url, {"mcp": {"client_configs": entries}})
    command = [sys.executable, "-c", SOON, "serve", "--config", str(installation.config)]
    ready = f"{installation.origin}/ready"
    with process(command, ready_url=ready, env=environment(), log=installation.log) as started:
        yield Running(installation.origin, started.pid)
    assert "Traceback" not in installation.log.read_text()


def clients(running: Running) -> int:
    """How many connections from clients the process holds."""
    port = int(running.origin.rpartition(":")[2])
    held = set[str]()
    for number in Path(f"/proc/{running.process_id}/fd").iterdir():
        with suppress(OSError):  # it was closed meanwhile
            held.add(str(number.readlink()))
    sockets = [line.split() for line in Path(f"/proc/{running.process_id}/net/tcp").read_text().splitlines()[1:]]
    ours = [one for one in sockets if one[1].endswith(f":{port:04X}") and one[3] != LISTENS]
    return sum(1 for one in ours if f"socket:[{one[9]}]" in held)


def asking(running: Running, head: str, fields: dict[str, str], body: bytes = b"") -> socket.socket:
    """A client that has sent this and reads nothing."""
    host, port = running.origin.removeprefix("http://").split(":")
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL_BUFFER)
    connection.settimeout(PATIENCE_SECONDS)
    connection.connect((host, int(port)))
    given = {
        "Host": f"{host}:{port}",
        "x-bf-vk": KEY,
        "Content-Length": str(len(body)),
        "Connection": "close",
        **fields,
    }
    lines = "".join(f"{name}: {value}\r\n" for name, value in given.items())
    connection.sendall(f"{head} HTTP/1.1\r\n{lines}\r\n".encode() + body)
    return connection


def test_answers_that_nobody_reads_are_held_back_at_their_upstream(tmp_path: Path, sqlite_url: str) -> None:
    """TC-166, TC-211: events without end, to clients that take none of them."""
    with hostile_server() as origin:
        upstreams = {name: f"{origin}/{name}" for name in ("good", "events")}
        with gateway(tmp_path, sqlite_url, **upstreams) as running, ExitStack() as stack:
            running.good_calls()
            peak = running.peak()
            call: dict[str, Any] = {"name": "events-do", "arguments": {}}
            body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": call}).encode()
            kinds = {"Accept": "application/json, text/event-stream", "Content-Type": "application/json"}
            slow = [stack.enter_context(asking(running, "POST /mcp", kinds, body)) for _ in range(SLOW_READERS)]
            for one in slow:
                assert one.recv(4, socket.MSG_PEEK) == b"HTTP", "its answer has begun"
            running.good_calls()
            until(lambda: clients(running) == 0, "the end of what the slow ones held")
            running.good_calls()
            assert running.peak() - peak < MAX_GROWTH_BYTES


def test_news_that_nobody_reads_are_kept_within_measure(tmp_path: Path, sqlite_url: str) -> None:
    """TC-211: on a GET stream; who reads theirs gets them meanwhile."""
    with talking("2025-11-25") as server, ExitStack() as stack:
        running = stack.enter_context(gateway(tmp_path, sqlite_url, up=server.url))
        with httpx2.Client(base_url=running.origin, headers={"x-bf-vk": KEY}) as http:
            session = {"Mcp-Session-Id": _session(http)}
            assert "result" in http.post("/mcp", json=_call("up-echo"), headers=session).json()
            peak = running.peak()
            with asking(running, "GET /mcp", {"Accept": "text/event-stream", **session}):
                until(lambda: server.listeners >= 2, "listening for the session")
                for number in range(NEWS):
                    server.says("notifications/message", {"level": "info", "data": f"{number} " + "x" * NEWS_BYTES})
                until(lambda: clients(running) == 1, "the end of the stream, beside the client that asks")
                assert "result" in http.post("/mcp", json=_call("up-echo"), headers=session).json()
            assert running.peak() - peak < MAX_GROWTH_BYTES


def _call(tool: str) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": {"name": tool, "arguments": {}}}


def _session(http: httpx2.Client) -> str:
    greeting = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t"}}
    message = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": greeting}
    return http.post("/mcp", json=message).headers["mcp-session-id"]
