"""Upstreams that are programs (contract §8, stdio) in the hands of an administrator (contract §9)."""

import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from bifrost.upstreams.transports.stdio import process
from tests.flows._administration import api, change, clients
from tests.flows._mcp import call, names, result_of
from tests.support.clock import FakeClock
from tests.support.gateway import TestGateway, running_gateway
from tests.support.programs import HOSTILE, children

pytestmark = pytest.mark.anyio


@pytest.fixture(autouse=True)
async def nothing_is_left(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[None]:
    monkeypatch.setattr(process, "END_OF_INPUT_SECONDS", 0.2)
    before = set(children())
    yield
    assert set(children()) <= before, "a process is left, or was not waited for"


@pytest.fixture
async def running(
    sqlite_url: str, tmp_path: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[TestGateway]:
    monkeypatch.setenv("NOTES_KEY", "hunter2hunter2")
    allowed = {"stdio_allowed_commands": [sys.executable]}
    async with running_gateway(sqlite_url, tmp_path, clock=clock, mcp=allowed) as started:
        yield started


def program(name: str, mode: str, **more: Any) -> dict[str, Any]:
    config = {"command": sys.executable, "args": [HOSTILE, mode], **more}
    return {
        "name": name,
        "connection_type": "stdio",
        "stdio_config": config,
        "tools_to_execute": ["*"],
        "allow_on_all_virtual_keys": True,
    }


async def add(running: TestGateway, wanted: dict[str, Any]) -> dict[str, Any]:
    answer = await api(running, "POST", "/api/mcp/client", wanted)
    assert answer.status_code == 200, answer.text
    return dict(answer.json()["client"])


async def test_a_program_is_added_used_and_ended_with_its_upstream(running: TestGateway) -> None:
    """Contract §9: every process of an upstream that is disabled ends."""
    added = await add(running, program("notes", "server"))
    assert added["state"] == "connected"
    assert added["stderr"] == []
    assert "process" in [tool["name"] for tool in added["tools"]]
    assert result_of(await call(running.http, "notes-process"))["content"]
    assert (await change(running, added["config"]["client_id"], disabled=True)).status_code == 200
    await running.gateway.stdio.end_all_but(_enabled(running))
    assert children() == []
    assert await names(running.http) == []


async def test_an_administrator_sees_what_a_program_said_when_it_failed(running: TestGateway) -> None:
    """Contract §9: its standard error, bounded and without secrets; callers do not see it."""
    added = await add(running, program("notes", "exits", envs=["NOTES_KEY"]))
    assert added["state"] == "disconnected"
    assert "exit status 3" in added["state_reason"]
    [shown] = await clients(running)
    assert shown["stderr"][-1] == "no licence found, password=…"
    assert "no licence" not in shown["state_reason"]
    assert "hunter2" not in str(shown)
    error = (await call(running.http, "notes-process")).text
    assert "licence" not in error


@pytest.mark.parametrize(
    ("config", "member"),
    [
        ({"command": "/bin/sh", "args": ["-c", "id"]}, "stdio_config.command"),
        ({"command": "sh"}, "stdio_config.command"),
        ({"command": sys.executable, "envs": ["LD_PRELOAD"]}, "stdio_config.envs"),
        ({"command": sys.executable, "envs": ["BIFROST_ADMIN_TOKEN"]}, "stdio_config.envs"),
        ({"command": sys.executable, "args": ["env.NOTES_KEY"]}, "stdio_config.args"),
    ],
)
async def test_nobody_starts_what_the_settings_do_not_list(
    running: TestGateway, config: dict[str, Any], member: str
) -> None:
    """TC-131: neither by adding an upstream nor by changing one; the administrator of the API is not enough."""
    refused = await api(running, "POST", "/api/mcp/client", {**program("notes", "server"), "stdio_config": config})
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, member)
    added = await add(running, program("notes", "server"))
    refused = await change(running, added["config"]["client_id"], stdio_config=config)
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, member)


async def test_a_program_that_is_not_on_the_list_any_more_can_still_be_disabled(
    sqlite_url: str, tmp_path: Path, clock: FakeClock
) -> None:
    """Ours: a list that has become shorter leaves nothing that cannot be put away."""
    async with running_gateway(
        sqlite_url, tmp_path, clock=clock, mcp={"stdio_allowed_commands": [sys.executable]}
    ) as started:
        added = await add(started, program("notes", "server"))
        assert (await change(started, added["config"]["client_id"], tool_execution_timeout=20)).status_code == 200
    async with running_gateway(sqlite_url, tmp_path, clock=clock) as started:
        refused = await change(started, added["config"]["client_id"], tool_execution_timeout=10)
        assert refused.json()["error"]["param"] == "stdio_config.command"
        assert (await change(started, added["config"]["client_id"], disabled=True)).status_code == 200


def _enabled(running: TestGateway) -> Callable[[], Awaitable[frozenset[str]]]:
    async def enabled() -> frozenset[str]:
        return frozenset(upstream.id for upstream in await running.gateway.upstreams.enabled())

    return enabled
