"""SIGTERM with streams open (contract §11): they end in good order and at once, and the process with 0."""

import json
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from bifrost.cli.serve import GRACE_SECONDS
from tests.support.talking_upstream import talking
from tests.wire._bifrost import KEY, PATIENCE_SECONDS, Installation

pytestmark = pytest.mark.wire

HEADERS = {"x-bf-vk": KEY, "Accept": "application/json, text/event-stream"}
META = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientCapabilities": {},
}


def _request(method: str, **params: object) -> dict[str, object]:
    return {"jsonrpc": "2.0", "id": "L", "method": method, "params": params}


def _said(lines: Iterator[str]) -> list[dict[str, object]]:
    return [json.loads(line[5:]) for line in lines if line.startswith("data:")]


def test_open_streams_end_in_good_order(sqlite_url: str, tmp_path: Path) -> None:
    """TC-216, 2026-07-28, subscriptions: an empty result, so that the client knows it was no accident; at once."""
    with talking("2025-11-25") as server:
        entry = {
            "name": "up",
            "connection_string": server.url,
            "tools_to_execute": ["*"],
            "allow_on_all_virtual_keys": True,
        }
        installation = Installation(tmp_path, sqlite_url, {"mcp": {"client_configs": [entry]}})
        with (
            installation.running() as running,
            httpx2.Client(base_url=installation.origin, timeout=PATIENCE_SECONDS) as http,
        ):
            greeting = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t"}}
            begun = http.post("/mcp", json=_request("initialize", **greeting), headers=HEADERS)
            session = {"Mcp-Session-Id": begun.headers["mcp-session-id"]}
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
