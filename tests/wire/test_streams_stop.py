"""SIGTERM with streams open (contract §11): they end in good order and at once, and the process with 0."""

import json
import signal
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx2
import pytest

from bifrost.cli.serve import GRACE_SECONDS
from tests.support.servers import process
from tests.support.talking_upstream import TalkingUpstream, talking
from tests.wire._bifrost import KEY, PATIENCE_SECONDS, Installation, environment, until

pytestmark = pytest.mark.wire

HEADERS = {"x-bf-vk": KEY, "Accept": "application/json, text/event-stream"}
META = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientCapabilities": {},
}


def _request(method: str, **params: object) -> dict[str, object]:
    return {"jsonrpc": "2.0", "id": "L", "method": method, "params": params}


def _said(lines: Iterator[str]) -> list[dict[str, object]]:
    return [json.loads(line[5:]) for line in lines if line.startswith("data:") and line[5:]]


def _installation(directory: Path, url: str, server: TalkingUpstream) -> Installation:
    entry = {
        "name": "up",
        "connection_string": server.url,
        "tools_to_execute": ["*"],
        "allow_on_all_virtual_keys": True,
    }
    return Installation(directory, url, {"mcp": {"client_configs": [entry]}})


def _session(http: httpx2.Client) -> dict[str, str]:
    greeting = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t"}}
    begun = http.post("/mcp", json=_request("initialize", **greeting), headers=HEADERS)
    return {"Mcp-Session-Id": begun.headers["mcp-session-id"]}


def test_open_streams_end_in_good_order(sqlite_url: str, tmp_path: Path) -> None:
    """T13, TC-216, 2026-07-28, subscriptions: an empty result, so that the client knows it was no accident; at once."""
    with talking("2025-11-25") as server:
        installation = _installation(tmp_path, sqlite_url, server)
        with (
            installation.running() as running,
            httpx2.Client(base_url=installation.origin, timeout=PATIENCE_SECONDS) as http,
        ):
            session = _session(http)
            modern = {"MCP-Protocol-Version": "2026-07-28", "Mcp-Method": "subscriptions/listen"}
            listen = _request("subscriptions/listen", notifications={"toolsListChanged": True}, _meta=META)
            with (
                http.stream("GET", "/mcp", headers={**HEADERS, **session}) as older,
                http.stream("POST", "/mcp", json=listen, headers={**HEADERS, **modern}) as stateless,
            ):
                lines = stateless.iter_lines()
                next(line for line in lines if line.startswith("data:"))  # the acknowledgement
                running.send_signal(signal.SIGTERM)
                began = time.monotonic()
                assert _said(older.iter_lines()) == []
                (last,) = _said(lines)
                assert last["id"] == "L"
                assert "result" in last
            assert running.wait(PATIENCE_SECONDS) == 0
            assert time.monotonic() - began < GRACE_SECONDS


IMPATIENT = "from bifrost.cli import main, serve; serve.GRACE_SECONDS = 1; raise SystemExit(main.main())"
"""The product with less time to stop."""

SLOW = {"name": "up-slow", "arguments": {}}


def test_calls_that_outlive_a_stopping_gateway_are_told_so(sqlite_url: str, tmp_path: Path) -> None:
    """Contract §11: one that streams gets an error as its answer and the end of its stream, one that does not a 503; the
    upstream's stream beside them ends, the process ends with 0, and there is no traceback in its log."""
    with talking("2025-11-25") as server, ThreadPoolExecutor(1) as pool:
        installation = _installation(tmp_path, sqlite_url, server)
        command = [sys.executable, "-c", IMPATIENT, "serve", "--config", str(installation.config)]
        ready = f"{installation.origin}/ready"
        with (
            process(command, ready_url=ready, env=environment(), log=installation.log) as running,
            httpx2.Client(base_url=installation.origin, timeout=PATIENCE_SECONDS) as http,
            httpx2.Client(base_url=installation.origin, timeout=PATIENCE_SECONDS) as other,
        ):
            session = _session(http)
            modern = {"MCP-Protocol-Version": "2026-07-28", "Mcp-Method": "tools/call", "Mcp-Name": "up-slow"}
            asked = _request("tools/call", **SLOW, _meta=META)
            waiting = pool.submit(lambda: other.post("/mcp", json=asked, headers={**HEADERS, **modern}))
            with (
                http.stream("GET", "/mcp", headers={**HEADERS, **session}) as news,
                http.stream(
                    "POST", "/mcp", json=_request("tools/call", **SLOW), headers={**HEADERS, **session}
                ) as call,
            ):
                until(lambda: len(server.requests("tools/call")) == 2, "both calls")
                running.send_signal(signal.SIGTERM)
                assert _said(news.iter_lines()) == []
                heard = _said(call.iter_lines())
            assert [said.get("method") for said in heard] == ["notifications/message", None]
            _is_stopped(heard[-1])
            refused = waiting.result(PATIENCE_SECONDS)
            assert refused.status_code == 503
            _is_stopped(refused.json())
            assert running.wait(PATIENCE_SECONDS) == 0
    assert "Traceback" not in installation.log.read_text()


def _is_stopped(answer: dict[str, object]) -> None:
    error = answer["error"]
    assert isinstance(error, dict)
    assert answer["id"] == "L"
    assert (error["code"], error["data"]["code"]) == (-32000, "stopped")
