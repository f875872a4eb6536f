"""Upstreams that do their worst, at a gateway that is a process: one clear error to whoever asked, nobody else notices,
and the memory stays where it was (contract §7; TC-210 to TC-214).
"""

import json
import os
import signal
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.support.programs import HOSTILE, is_alive
from tests.support.servers import NO_AUTHORITIES
from tests.wire._bifrost import KEY, Installation, until
from tests.wire._hostile_http import BEHAVIOURS, DONE, ENDLESS, HANGING, WRONG, hostile_server

pytestmark = pytest.mark.wire

TIMEOUT_SECONDS = 2
MAX_GROWTH_BYTES = 72 * 1024 * 1024
"""One answer may be of 16 MiB, and is copied a few times on the way."""

PATIENCE_SECONDS = 20
PROGRAMS = ("server", "exits", "garbage", "endless")


def mounted(origin: str) -> list[dict[str, Any]]:
    usual = {"tools_to_execute": ["*"], "allow_on_all_virtual_keys": True, "tool_execution_timeout": TIMEOUT_SECONDS}
    over_http = [{"name": name, "connection_string": f"{origin}/{name}", **usual} for name in BEHAVIOURS]
    over_http[0]["tool_execution_timeout"] = (
        PATIENCE_SECONDS  # the good one; the tests say themselves how long it may take
    )
    programs = [
        {
            "name": f"program_{mode}",
            "connection_type": "stdio",
            "stdio_config": {"command": sys.executable, "args": [HOSTILE, mode]},
            **usual,
        }
        for mode in PROGRAMS
    ]
    return [*over_http, *programs]


@dataclass
class Running:
    """A gateway in front of all of them."""

    origin: str
    process_id: int

    def call(self, tool: str, path: str = "/mcp") -> dict[str, Any]:
        """The whole answer of one call, on a connection of its own."""
        message = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": tool, "arguments": {}}}
        headers = {"x-bf-vk": KEY, "Accept": "application/json, text/event-stream"}
        said: dict[str, Any] = {}
        with (
            httpx2.Client(timeout=PATIENCE_SECONDS, verify=NO_AUTHORITIES) as http,
            http.stream("POST", f"{self.origin}{path}", json=message, headers=headers) as answer,
        ):
            if answer.headers["content-type"].startswith("application/json"):
                return dict(json.loads(answer.read()))
            for line in answer.iter_lines():
                if line.startswith("data:") and '"id":1' in line:
                    said = json.loads(line[5:])
        return said

    def good_calls(self) -> float:
        """How long the slowest of some took, in seconds; all of them are right."""
        slowest = 0.0
        for _ in range(5):
            begun = time.monotonic()
            said = self.call("good-do")
            assert said.get("result") == DONE, said
            slowest = max(slowest, time.monotonic() - begun)
        return slowest

    def peak(self) -> int:
        """The most memory that the process has had, in bytes."""
        status = Path(f"/proc/{self.process_id}/status").read_text()
        return int(status.partition("VmHWM:")[2].split()[0]) * 1024


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    directory = tmp_path_factory.mktemp("gateway")
    with hostile_server() as origin:
        sections = {"mcp": {"client_configs": mounted(origin), "stdio_allowed_commands": [sys.executable]}}
        installation = Installation(directory, f"sqlite:///{directory}/bifrost.db", sections)
        with installation.running() as started:
            gateway = Running(installation.origin, started.pid)
            gateway.good_calls()
            yield gateway


def refused(said: dict[str, Any], name: str) -> str:
    """The words of the one error that names the upstream and nothing of its insides."""
    error = said["error"]
    assert error["data"]["code"] == "upstream_unavailable", said
    assert name in error["message"]
    assert "10.11.12.13" not in str(error)
    return str(error["message"])


def while_others_are_served(running: Running, tool: str) -> dict[str, Any]:
    """One call, and what others do at the same time goes on as if nothing was."""
    with ThreadPoolExecutor(1) as pool:
        calling = pool.submit(running.call, tool)
        assert running.good_calls() < PATIENCE_SECONDS / 4
        return calling.result()


@pytest.mark.parametrize("name", [one.__name__ for one in ENDLESS])
def test_an_answer_without_measure_is_cut_off_and_never_held(running: Running, name: str) -> None:
    """TC-211: a gigabyte however it comes: in chunks, announced, byte by byte, packed, as events, as a head."""
    before = running.peak()
    refused(while_others_are_served(running, f"{name}-do"), name)
    assert running.peak() - before < MAX_GROWTH_BYTES


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("bomb", "a content coding that was not asked for"),
        ("two_framings", "not HTTP"),
        ("garbage", "not HTTP"),
        ("heads", "a head"),
        ("early", "too many informational answers"),
    ],
)
def test_the_error_says_what_is_wrong_in_words_of_our_own(running: Running, name: str, reason: str) -> None:
    """Contract §2: whoever has to put it right learns what it is, and nothing that the upstream wants them to read."""
    assert reason in refused(running.call(f"{name}-do"), name)


@pytest.mark.parametrize("name", [one.__name__ for one in WRONG])
def test_an_answer_that_is_none_is_an_error_for_its_call(running: Running, name: str) -> None:
    """TC-210, TC-211: cut, garbage, somebody else's id, two framings."""
    for _ in range(3):
        refused(while_others_are_served(running, f"{name}-do"), name)


@pytest.mark.parametrize("name", [one.__name__ for one in HANGING])
def test_an_upstream_that_hangs_is_given_up_after_its_own_time_limit(running: Running, name: str) -> None:
    """TC-210: also by many callers at once, and the others do not wait for them."""
    with ThreadPoolExecutor(30) as pool:
        calls = [pool.submit(running.call, f"{name}-do") for _ in range(30)]
        assert running.good_calls() < PATIENCE_SECONDS / 4
        for call in calls:
            assert "within 2 seconds" in refused(call.result(), name)


def test_an_answer_that_nobody_asked_for_is_nobodys(running: Running) -> None:
    """RFC 9112 §11.1: response splitting; what follows an answer is not the next caller's answer."""
    for _ in range(20):
        assert running.call("second_answer-do")["result"] == DONE


def test_a_program_that_ends_in_the_middle_of_a_call_is_an_error_for_that_call(running: Running) -> None:
    """TC-214: and it is started again, later and later."""
    before = running.peak()
    assert "exit status 7" in refused(while_others_are_served(running, "program_server-exit"), "program_server")
    waiting = refused(running.call("program_server-exit"), "program_server")
    assert "is started again in" in waiting
    deadline = time.monotonic() + PATIENCE_SECONDS
    while "error" in (said := running.call("program_server-process")):
        assert "is started again in" in refused(said, "program_server")
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert int(said["result"]["content"][0]["text"]) > 0
    assert running.peak() - before < MAX_GROWTH_BYTES


@pytest.mark.parametrize("mode", PROGRAMS[1:])
def test_a_program_that_never_becomes_an_upstream_costs_nobody_but_its_callers(running: Running, mode: str) -> None:
    """TC-214: exits at once, prints what is no message, a line without end."""
    before = running.peak()
    said = while_others_are_served(running, f"program_{mode}-process")
    assert "error" in said
    assert running.peak() - before < MAX_GROWTH_BYTES


def when_it_runs(running: Running, tool: str) -> dict[str, Any]:
    """What comes of a call to the program, as soon as it may be started again."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while "is started again" in str(said := while_others_are_served(running, f"program_server-{tool}")):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    return said


def test_a_program_that_floods_its_pipe_is_cut_off(running: Running) -> None:
    """TC-211: a gigabyte in one line."""
    before = running.peak()
    refused(when_it_runs(running, "flood"), "program_server")
    assert running.peak() - before < MAX_GROWTH_BYTES


def test_a_program_that_floods_its_standard_error_costs_nobody_anything(running: Running) -> None:
    """TC-211: a quarter of a gigabyte; the last of it is kept for the administrator."""
    before = running.peak()
    when_it_runs(running, "shout")
    assert running.peak() - before < MAX_GROWTH_BYTES


def test_a_program_that_answers_to_nobody_is_given_up_and_a_new_one_takes_its_place(running: Running) -> None:
    """TC-211, TC-214: wrong ids, and then nothing more."""
    before = running.peak()
    assert "within 2 seconds" in refused(when_it_runs(running, "wrong"), "program_server")
    deadline = time.monotonic() + 2 * PATIENCE_SECONDS
    while "error" in running.call("program_server-process"):
        assert time.monotonic() < deadline
    assert running.peak() - before < MAX_GROWTH_BYTES


def test_a_gateway_that_is_killed_leaves_no_program_behind(tmp_path: Path) -> None:
    """TC-214: kill -9; the programs, and what they started themselves."""
    program = {
        "name": "program",
        "connection_type": "stdio",
        "stdio_config": {"command": sys.executable, "args": [HOSTILE, "server"]},
        "tools_to_execute": ["*"],
        "allow_on_all_virtual_keys": True,
    }
    sections = {"mcp": {"client_configs": [program], "stdio_allowed_commands": [sys.executable]}}
    installation = Installation(tmp_path, f"sqlite:///{tmp_path}/bifrost.db", sections)
    with installation.running() as started:
        said = Running(installation.origin, started.pid).call("program-fork")
        left = json.loads(said["result"]["content"][0]["text"])
        assert len(left) == 4
        assert all(map(is_alive, left))
        os.kill(started.pid, signal.SIGKILL)
        started.wait()
        until(lambda: not any(map(is_alive, left)), "the end of all programs")
