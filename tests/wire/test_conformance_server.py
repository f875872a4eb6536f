"""The official conformance suite's scenarios for servers, through the gateway to a server behind it.

The same scenarios must pass as without the gateway, in both requirement sets, whatever the way to the server: over
Streamable HTTP where it speaks both eras or only one of them, as a program on this machine, or over HTTP with
server-sent events, which belongs to the older era. `make conformance` shows the totals.
"""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest

from bifrost.protocol import mcp
from tests.support.servers import free_port, process

pytestmark = [pytest.mark.wire, pytest.mark.clients]

ROOT = Path(__file__).resolve().parents[2]
CLIENTS = Path(os.environ.get("CLIENTS_DIR", ROOT / ".cache" / "clients"))
KEY = "sk-bf-" + "0123456789abcdefghijklmnopqrstuvwxyzABCDEFG"
REVISIONS = ("2025-11-25", "2026-07-28")
MINUTES = 5


_NO_NAMES = "it wants the question to be called user_name; a question of the older era has no name, and the gateway gives it one"
OUT_OF_REACH: dict[tuple[str, str], dict[str, str]] = {
    (way, "2026-07-28"): {"input-required-result-basic-elicitation": _NO_NAMES} for way in ("legacy", "sse")
}
"""Scenarios that no gateway can pass for an upstream of the other era, by way and revision, and why."""

SERVER = str(ROOT / "tests" / "support" / "conformance_upstream.py")


def upstream(way: str, port: int) -> dict[str, Any]:
    if way == "sse":
        return {"connection_type": "sse", "connection_string": f"http://127.0.0.1:{port}/sse"}
    if way == "stdio":
        return {"connection_type": "stdio", "stdio_config": {"command": sys.executable, "args": [SERVER, "stdio"]}}
    return {"connection_string": f"http://127.0.0.1:{port}/mcp"}


@dataclass(frozen=True)
class Way:
    name: str
    endpoint: str
    server_url: str
    """Where the server itself is, without the gateway."""


@pytest.fixture(scope="module", params=["http", "legacy", "modern", "stdio", "sse"])
def way(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Way]:
    """`/mcp/{slug}` of a running gateway, through a proxy that adds the key: the suite has no option for one."""
    directory = tmp_path_factory.mktemp("gateway")
    port, upstream_port, proxy_port = free_port(), free_port(), free_port()
    usual = {"name": "conformance", "tools_to_execute": ["*"], "allow_on_all_virtual_keys": True}
    config = directory / "config.json"
    sections = {
        "server": {"port": port},
        "mcp": {
            "client_configs": [{**usual, **upstream(request.param, upstream_port)}],
            "stdio_allowed_commands": [sys.executable],
        },
        "governance": {"virtual_keys": [{"id": "vk-test", "name": "test", "value": KEY}]},
    }
    config.write_text(json.dumps(sections))
    env = {"PATH": os.environ["PATH"], "HOME": str(directory), "BIFROST_DATA_DIR": str(directory / "data")}
    gateway = [str(Path(sys.executable).with_name("bifrost")), "serve", "--config", str(config)]
    behind = [sys.executable, SERVER, str(upstream_port), request.param]
    proxy = [sys.executable, str(ROOT / "tests" / "clients" / "bearer_proxy.py"), f"http://localhost:{port}"]
    with (
        subprocess.Popen(behind, env=env, cwd=directory) as server,
        process(gateway, ready_url=f"http://localhost:{port}/health", env=env, log=directory / "gateway.log"),
        process(
            [*proxy, "--port", str(proxy_port), "--token", KEY],
            ready_url=f"http://localhost:{proxy_port}/health",
            env=env,
            log=directory / "proxy.log",
        ),
    ):
        endpoint = f"http://localhost:{proxy_port}/mcp/conformance"
        yield Way(request.param, endpoint, f"http://127.0.0.1:{upstream_port}/mcp")
        server.kill()


def required(revision: str) -> set[str]:
    """The scenarios for servers that the suite itself says the revision requires."""
    folder = CLIENTS / "node_modules" / "@modelcontextprotocol" / "conformance" / "requirements"
    sections = dict(
        re.findall(r"^(\w+):\n(.*?)(?=^\w|\Z)", (folder / f"{revision}.yaml").read_text(), re.MULTILINE | re.DOTALL)
    )
    return set(re.findall(r"^  - ([\w.-]+)$", sections["server"], re.MULTILINE))


@pytest.mark.parametrize("revision", REVISIONS)
def test_every_required_scenario_for_servers_passes_through_the_gateway(
    way: Way, revision: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Contract §7, §11: the official suite, every scenario that the revision requires, in any era of the upstream.

    T20.
    """
    suite = CLIENTS / "node_modules" / ".bin" / "conformance"
    command = [str(suite), "server", "--url", way.endpoint, "--requirements", revision, "-o", str(tmp_path)]
    env = {"PATH": f"{CLIENTS}/bin:{os.environ['PATH']}", "HOME": str(tmp_path)}
    ended = subprocess.run(
        command, env=env, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=MINUTES * 60
    )
    counts = re.findall(r"^[✓✗] ([\w.-]+): (\d+) passed, (\d+) failed", ended.stdout, re.MULTILINE)
    found = {name: (int(passed), int(failed)) for name, passed, failed in counts if name in required(revision)}
    checks, failures = sum(one[0] for one in found.values()), sum(one[1] for one in found.values())
    with capsys.disabled():
        print(f"\nserver {revision} over {way.name}: {len(found)} scenarios, {checks} passed, {failures} failed")
    assert found.keys() == required(revision), ended.stdout[-2_000:] + ended.stderr[-2_000:]
    out_of_reach = OUT_OF_REACH.get((way.name, revision), {})
    assert {name for name, (_, failed) in found.items() if failed} == out_of_reach.keys(), ended.stdout
    assert ended.returncode == (1 if out_of_reach else 0), ended.stderr


@pytest.mark.parametrize("way", ["legacy", "modern"], indirect=True)
def test_an_upstream_of_one_era_refuses_the_other(way: Way) -> None:
    """That what passes above is the gateway's bridging: asked directly, the server knows one era only."""
    meta = {mcp.META_VERSION: mcp.MODERN, mcp.META_CAPABILITIES: {}}
    greeting = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}}
    modern = {mcp.VERSION_HEADER: mcp.MODERN, mcp.METHOD_HEADER: mcp.DISCOVER}
    status = {
        "legacy": _status(way.server_url, mcp.INITIALIZE, greeting, {}),
        "modern": _status(way.server_url, mcp.DISCOVER, {"_meta": meta}, modern),
    }
    assert status.pop(way.name) == 200
    assert [*status.values()] == [400]


def _status(url: str, method: str, params: Mapping[str, Any], headers: Mapping[str, str]) -> int:
    body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
    accept = {"Accept": "application/json, text/event-stream"}
    return httpx2.post(url, json=body, headers={**accept, **headers}).status_code
