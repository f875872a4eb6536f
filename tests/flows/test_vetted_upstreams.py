"""Upstreams that came through the API: every address of theirs is judged at the moment of the connection."""

import socket
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import pytest

from bifrost.http import names
from bifrost.http.client import OutboundClient
from tests.flows._administration import ADMIN, KEY, OPEN_TO_ALL
from tests.support.gateway import TestGateway, running_gateway, upstream
from tests.support.mcp_upstream import McpUpstream, tool
from tests.support.servers import serving

pytestmark = pytest.mark.anyio

PUBLIC = {"public_urls": ["https://mcp.example.com"]}
API = "https://mcp.example.com/api/mcp/client"
HOST = "rebinding.example"


@dataclass(slots=True)
class Resolver:
    """A name server that answers as its owner likes."""

    address: str = "1.1.1.1"
    asked: list[str] = field(default_factory=list)

    def __call__(self, host: str, port: int, *_args: Any, flags: int = 0, **_named: Any) -> list[Any]:
        if flags:
            raise socket.gaierror  # it is no literal
        self.asked.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (self.address, port))]


@pytest.fixture
def resolver(monkeypatch: pytest.MonkeyPatch) -> Resolver:
    made, real = Resolver(), socket.getaddrinfo

    def answers(host: Any, *args: Any, **named: Any) -> Any:
        return made(host, *args, **named) if host == HOST else real(host, *args, **named)

    monkeypatch.setattr(names, "getaddrinfo", answers)
    return made


@pytest.fixture
def inside() -> Iterator[tuple[McpUpstream, str]]:
    """A server in our own network, and its address by a name that leads there only sometimes."""
    made = McpUpstream(tools=[tool("read")])
    with serving(made.app()) as origin:
        yield made, f"http://{HOST}:{httpx2.URL(origin).port}/mcp"


async def _add(running: TestGateway, url: str, **members: Any) -> httpx2.Response:
    body = {"name": "far", "connection_string": url, "client_id": "far-1", **OPEN_TO_ALL, **members}
    return await running.http.post(API, json=body, headers=ADMIN)


async def _tools(running: TestGateway) -> list[str]:
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {}}
    headers = {**KEY, "Accept": "application/json, text/event-stream", "MCP-Protocol-Version": "2025-06-18"}
    answer = await running.http.post("https://mcp.example.com/mcp", json=body, headers=headers)
    assert answer.status_code == 200, answer.text
    return [found["name"] for found in answer.json()["result"]["tools"]]


@pytest.fixture
def turning(resolver: Resolver, monkeypatch: pytest.MonkeyPatch) -> Resolver:
    """Public while it is judged, and internal from then on."""
    check = OutboundClient.check_place

    async def turns(client: OutboundClient, origin: str) -> None:
        await check(client, origin)
        assert resolver.asked
        resolver.address = "127.0.0.1"

    monkeypatch.setattr(OutboundClient, "check_place", turns)
    return resolver


@pytest.mark.usefixtures("turning")
@pytest.mark.parametrize("kind", ["http", "sse"])
async def test_a_name_that_turns_inwards_after_it_was_added_is_not_followed(
    database_url: str, tmp_path: Path, inside: tuple[McpUpstream, str], kind: str
) -> None:
    """TC-100, TC-131, DNS rebinding: what was judged when it was added is judged again when it is dialled."""
    server, url = inside
    async with running_gateway(database_url, tmp_path, server=PUBLIC) as running:
        added = await _add(running, url, connection_type=kind)
        assert added.status_code == 200, added.text
        assert added.json()["client"]["state"] != "connected"
        assert added.json()["client"]["state_reason"] == "far is at an address that this gateway must not contact."
        assert "read" not in str(await _tools(running))
        again = await running.http.post(f"{API}/far-1/reconnect", headers=ADMIN)
        assert "must not contact" in again.text
        assert server.methods == []


@pytest.mark.usefixtures("turning")
async def test_a_network_that_the_operator_opened_is_reached(
    sqlite_url: str, tmp_path: Path, inside: tuple[McpUpstream, str]
) -> None:
    """Contract §8: judged by the same rule as on the day that it was added."""
    opened = {"allowed_networks": ["127.0.0.0/8"]}
    async with running_gateway(sqlite_url, tmp_path, server=PUBLIC, client=opened) as running:
        assert (await _add(running, inside[1])).json()["client"]["state"] == "connected"
        assert await _tools(running) == ["far-read"]


async def test_what_the_configuration_file_names_may_be_anywhere_until_the_api_moves_it(
    sqlite_url: str, tmp_path: Path, resolver: Resolver, inside: tuple[McpUpstream, str]
) -> None:
    """Contract §10: the operator's own words; an edit that leaves the place alone changes nothing of that."""
    server, url = inside
    resolver.address = "127.0.0.1"
    entry = upstream("far", url)
    async with running_gateway(sqlite_url, tmp_path, server=PUBLIC, mcp={"client_configs": [entry]}) as running:
        assert await _tools(running) == ["far-read"]
        listed = (await running.http.get(f"{API}s", headers=ADMIN)).json()["clients"]
        path = f"{API}/{listed[0]['config']['client_id']}"
        edited = await running.http.put(path, json={"tool_execution_timeout": 7}, headers=ADMIN)
        assert edited.status_code == 200, edited.text
        assert await _tools(running) == ["far-read"]
        asked = len(server.methods)
        resolver.address = "1.1.1.1"
        moved = await running.http.put(path, json={"connection_string": url + "?moved"}, headers=ADMIN)
        assert moved.status_code == 200, moved.text
        resolver.address = "127.0.0.1"
        again = await running.http.post(f"{path}/reconnect", headers=ADMIN)
        assert "must not contact" in again.text
        assert len(server.methods) == asked
