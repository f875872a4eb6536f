"""One running gateway with an upstream, and the real clients of `tests/clients/peers.toml` pointed at it."""

import json
import os
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.support import published_documents
from tests.support.servers import NO_AUTHORITIES, free_port

TESTS = Path(__file__).resolve().parents[1]
PEERS = list(tomllib.loads((TESTS / "clients" / "peers.toml").read_text())["peers"])
KEY = "sk-bf-" + "0123456789abcdefghijklmnopqrstuvwxyzABCDEFG"
TOOL = "sample-whoami"
EVERYTHING = {"tools_to_execute": ["*"], "allow_on_all_virtual_keys": True}
"""What everybody with a key may use of an upstream: all of it."""
READY_SECONDS = 60
Section = dict[str, Any]


def sample(url: str) -> dict[str, Any]:
    """The section `mcp`, with the upstream at `url` as all there is."""
    return {"client_configs": [{"name": "sample", "connection_string": url, **EVERYTHING}]}


def _configuration(
    port: int, mcp: Section, more_keys: Sequence[Section], *, key_required: bool, **client: bool
) -> Section:
    return {
        "server": {"host": "127.0.0.1", "port": port, "public_urls": [f"http://127.0.0.1:{port}"]},
        "client": {"enforce_auth_on_inference": key_required, "mcp_server_auth_mode": "both", **client},
        "mcp": mcp,
        "governance": {"virtual_keys": [{"id": "vk-test", "name": "test", "value": KEY}, *more_keys]},
    }


@contextmanager
def _process(command: list[str], log: Path, env: dict[str, str], ready_url: str) -> Iterator[None]:
    """A server that runs from the moment `ready_url` answers with anything but an error of the server's."""
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, env=env, cwd=log.parent)
    try:
        deadline = time.monotonic() + READY_SECONDS
        with httpx2.Client(trust_env=False, verify=NO_AUTHORITIES) as http:
            while True:
                try:
                    if http.get(ready_url).status_code < 500:
                        break
                except httpx2.TransportError:
                    pass
                if process.poll() is not None or time.monotonic() > deadline:
                    pytest.fail(f"{command} does not answer at {ready_url}:\n{log.read_text()}")
                time.sleep(0.05)
        yield
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


class Gateway:
    """A running gateway, and the real clients pointed at it."""

    def __init__(self, url: str, log: Path) -> None:
        self.url, self._log = url, log

    def run(
        self, peer: str, engine: str, *, path: str = "/mcp", tool: str = TOOL, **person: str
    ) -> subprocess.CompletedProcess[str]:
        """Start one client; `person` is what the person at the browser has and does (autobrowser.py)."""
        script = TESTS / "clients" / "run_all.sh"
        env = {name: value for name, value in os.environ.items() if not name.startswith("AUTOBROWSER_")}
        env |= {
            "AUTOBROWSER_ENGINE": engine,
            **{f"AUTOBROWSER_{name.upper()}": value for name, value in person.items()},
        }
        return subprocess.run(
            [script, f"{self.url}{path}", tool, peer], env=env, check=False, capture_output=True, text=True, timeout=150
        )

    def explain(self, ended: subprocess.CompletedProcess[str]) -> str:
        log = "\n".join(self._log.read_text(errors="replace").splitlines()[-40:])
        return f"\n{ended.stdout}{ended.stderr}\ngateway:\n{log}"


@contextmanager
def running_gateway(
    directory: Path,
    *,
    key_required: bool,
    mcp: Callable[[str], Section] = sample,
    more_keys: Sequence[Section] = (),
    **client: bool,
) -> Iterator[Gateway]:
    """`mcp` makes that section of the configuration from the URL of the sample upstream."""
    port, upstream_port = free_port(), free_port()
    section = mcp(f"http://127.0.0.1:{upstream_port}/mcp")
    config = directory / "config.json"
    config.write_text(json.dumps(_configuration(port, section, more_keys, key_required=key_required, **client)))
    env = {"PATH": os.environ["PATH"], "HOME": str(directory), "BIFROST_DATA_DIR": str(directory / "data")}
    url, log = f"http://127.0.0.1:{port}", directory / "gateway.log"
    upstream = [sys.executable, str(TESTS / "support" / "sdk_upstream.py"), str(upstream_port)]
    gateway = [str(Path(sys.executable).with_name("bifrost")), "serve", "--config", str(config), "--port", str(port)]
    with (
        _process(upstream, directory / "upstream.log", env, f"http://127.0.0.1:{upstream_port}/"),
        _process(gateway, log, env, f"{url}/health"),
    ):
        # Claude Code names its published document instead of registering, and these tests reach no network
        published_documents.keep(directory / "data" / "bifrost.db", published_documents.CLAUDE_CODE)
        yield Gateway(url, log)
    complaints = [line for line in log.read_text().splitlines() if '"level": "error"' in line or "Traceback" in line]
    assert not complaints, complaints
