"""kill -9 of a program in the middle of a call: one clear error, nobody else notices, and it is started again (TC-214)."""

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.support.programs import HOSTILE, is_alive
from tests.wire._bifrost import KEY, PATIENCE_SECONDS, Installation, until

pytestmark = pytest.mark.wire

OTHER_KEY = "sk-bf-other-0123456789abcdefghijklmnopqrstuvwx"
HEADERS = {"Accept": "application/json, text/event-stream"}


@contextmanager
def gateway(tmp_path: Path, url: str) -> Iterator[str]:
    """With a program of which each key has a process of its own. The origin."""
    program = {
        "name": "program",
        "connection_type": "stdio",
        "stdio_config": {"command": sys.executable, "args": [HOSTILE, "server"]},
        "tools_to_execute": ["*"],
        "allow_on_all_virtual_keys": True,
    }
    keys = [{"id": "one", "name": "one", "value": KEY}, {"id": "other", "name": "other", "value": OTHER_KEY}]
    sections = {
        "mcp": {"client_configs": [program], "stdio_allowed_commands": [sys.executable]},
        "governance": {"virtual_keys": keys},
    }
    installation = Installation(tmp_path, url, sections)
    with installation.running():
        yield installation.origin
    assert "Traceback" not in installation.log.read_text()


def call(origin: str, tool: str, key: str = KEY, *, begun: threading.Event | None = None) -> list[dict[str, Any]]:
    """Everything that is said in answer to a call. `begun` is set when the program has said something about it."""
    message = {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "tools/call",
        "params": {"name": f"program-{tool}", "arguments": {}},
    }
    heard = list[dict[str, Any]]()
    with (
        httpx2.Client(base_url=origin, timeout=3 * PATIENCE_SECONDS, headers=HEADERS) as http,
        http.stream("POST", "/mcp", json=message, headers={"x-bf-vk": key}) as answer,
    ):
        if answer.headers["content-type"].startswith("application/json"):
            return [json.loads(answer.read())]
        for line in answer.iter_lines():
            if line.startswith("data:") and line[5:].strip():
                heard.append(json.loads(line[5:]))
                if begun:
                    begun.set()
    return heard


def process(origin: str, key: str) -> int:
    (said,) = call(origin, "process", key)
    return int(said["result"]["content"][0]["text"])


def supervisor(program: int) -> int:
    """The process that the gateway started, of which the program is the child."""
    return int(Path(f"/proc/{program}/stat").read_text().rpartition(")")[2].split()[1])


@pytest.mark.parametrize(("victim", "status"), [("program", 128 + signal.SIGKILL), ("supervisor", -signal.SIGKILL)])
def test_a_program_that_is_killed_during_a_call(tmp_path: Path, sqlite_url: str, victim: str, status: int) -> None:
    """TC-214: its call gets one error that says so, another person's program goes on, and the next one is a new one."""
    with gateway(tmp_path, sqlite_url) as origin, ThreadPoolExecutor(1) as pool:
        mine, others = process(origin, KEY), process(origin, OTHER_KEY)
        begun, began_at = threading.Event(), time.monotonic()
        calling = pool.submit(call, origin, "nap", begun=begun)
        assert begun.wait(PATIENCE_SECONDS)
        os.kill(mine if victim == "program" else supervisor(mine), signal.SIGKILL)
        answers = [said for said in calling.result(PATIENCE_SECONDS) if "id" in said]
        (error,) = [said["error"] for said in answers]
        assert error["data"]["code"] == "upstream_unavailable"
        assert error["message"] == f"program ended with exit status {status}."
        assert time.monotonic() - began_at < PATIENCE_SECONDS, "long before its time limit"
        until(lambda: not is_alive(mine), "the end of the program")
        assert process(origin, OTHER_KEY) == others
        assert _when_it_runs(origin) != mine
        assert process(origin, OTHER_KEY) == others


def _when_it_runs(origin: str) -> int:
    """Its process, as soon as it may be started again."""
    deadline = time.monotonic() + 2 * PATIENCE_SECONDS
    while "error" in (said := call(origin, "process")[-1]):
        assert "is started again" in said["error"]["message"]
        assert time.monotonic() < deadline
        time.sleep(0.1)
    return int(said["result"]["content"][0]["text"])
