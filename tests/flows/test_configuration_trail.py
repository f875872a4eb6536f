"""What the configuration file changes at a start is in the audit trail: once, and only what really changed."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from bifrost.app import build
from bifrost.governance.errors import WeakVirtualKey
from bifrost.settings import load
from tests.support.clock import FakeClock
from tests.support.gateway import KEY_ID, RING, TestGateway, configuration, running_gateway, upstream

pytestmark = pytest.mark.anyio

CLIENT = {"client_id": "desk", "client_name": "Desk", "redirect_uris": ["https://desk.example/cb"]}
SECOND = {"id": "vk-two", "name": "two", "value": "sk-bf-two-0123456789abcdefghijklmnopqrstuvwxyz"}


def _file(**changes: Any) -> dict[str, Any]:
    """One of everything that a file can create."""
    bundle = {"name": "bundle", "endpoint_slug": "bundle", "mcp_configs": [{"mcp_client_name": "notes"}], **changes}
    return {
        "mcp": {
            "client_configs": [upstream("notes", "http://127.0.0.1:9/mcp", tool_execution_timeout=9)],
            "virtual_mcps": [bundle],
        },
        "client": {"registered_clients": [CLIENT]},
    }


async def _told(running: TestGateway) -> list[tuple[str, str]]:
    rows = [row for row in await running.rows("audit_events") if row["actor"] == "configuration"]
    assert {(row["result"], row["client_address"], row["event_id"]) for row in rows} <= {("success", "", "")}
    return [(row["event"], row["target"]) for row in sorted(rows, key=lambda row: row["number"])]


async def _ids(running: TestGateway, table: str) -> str:
    (row,) = await running.rows(table)
    return str(row["id"])


async def test_what_a_file_creates_is_told_once(database_url: str, tmp_path: Path, clock: FakeClock) -> None:
    """TC-178, contract §10: with the ids by which everything else about it is found; a second start says nothing."""
    for _ in range(2):
        async with running_gateway(database_url, tmp_path, clock=clock, **_file()) as running:
            assert await _told(running) == [
                ("mcp_client_add", await _ids(running, "upstreams")),
                ("virtual_mcp_create", await _ids(running, "virtual_mcps")),
                ("virtual_key_create", KEY_ID),
                ("oauth_client_create", await _ids(running, "oauth_clients")),
            ]


async def test_what_a_changed_file_changes_is_told_and_nothing_else(
    database_url: str, tmp_path: Path, clock: FakeClock
) -> None:
    """TC-178, contract §10: of each entry that says something else than before."""
    async with running_gateway(database_url, tmp_path, clock=clock, **_file()) as running:
        before = await _told(running)
    changed = _file(description="for notes")
    changed["mcp"]["client_configs"][0]["tool_execution_timeout"] = 10
    changed["client"]["registered_clients"][0] = CLIENT | {"client_name": "The desk"}
    async with running_gateway(database_url, tmp_path, clock=clock, **changed) as running:
        assert (await _told(running))[len(before) :] == [
            ("mcp_client_change", await _ids(running, "upstreams")),
            ("virtual_mcp_change", await _ids(running, "virtual_mcps")),
            ("oauth_client_change", await _ids(running, "oauth_clients")),
        ]


async def test_a_changed_key_is_told_by_its_id_and_never_by_its_value(
    database_url: str, tmp_path: Path, clock: FakeClock
) -> None:
    """TC-178, contract §10: the id that it got when it was made."""
    entry = {"name": "two", "value": SECOND["value"]}
    for more in ({}, {"description": "for two"}):
        keys = {"virtual_keys": [entry | more]}
        async with running_gateway(database_url, tmp_path, clock=clock, governance=keys) as running:
            key_id = await _ids(running, "virtual_keys")
            told = await _told(running)
            assert SECOND["value"] not in str(await running.rows("audit_events"))
    assert told == [("virtual_key_create", key_id), ("virtual_key_change", key_id)]


async def test_of_processes_that_start_at_once_one_tells(database_url: str, tmp_path: Path, clock: FakeClock) -> None:
    """Contract §10: several workers, or replicas, read the same file."""
    settings = load(None, {}, configuration(database_url, tmp_path, **_file()))

    async def started() -> None:
        async with build(settings, clock=clock, ring=RING).lifespan():
            pass

    await asyncio.gather(*(started() for _ in range(4)))
    async with running_gateway(database_url, tmp_path, clock=clock, **_file()) as running:
        told = await _told(running)
    assert sorted(event for event, _ in told) == [
        "mcp_client_add",
        "oauth_client_create",
        "virtual_key_create",
        "virtual_mcp_create",
    ]


async def test_what_was_created_before_a_refusal_is_told_too(sqlite_url: str, tmp_path: Path, clock: FakeClock) -> None:
    """TC-178: a start that is refused in the middle has made what stands before."""
    keys = {"virtual_keys": [SECOND, {"name": "weak", "value": "sk-bf-short"}]}
    with pytest.raises(WeakVirtualKey):
        async with running_gateway(sqlite_url, tmp_path, clock=clock, governance=keys):
            pass
    keys = {"virtual_keys": [SECOND]}
    async with running_gateway(sqlite_url, tmp_path, clock=clock, governance=keys) as running:
        assert await _told(running) == [("virtual_key_create", "vk-two")]
