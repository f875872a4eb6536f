"""Clients that nobody here wrote, each through sign-in and consent to a tool call, against one running gateway.

The clients are those of `tests/clients/peers.toml`; `tests/clients/install.sh` installs them. The person at the browser
is played once by a plain HTTP client and once in Chromium, because only a real browser applies its own rules to the
consent pages (Content-Security-Policy, Origin, cookies).
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import tomllib
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import httpx2
import pytest

from tests.support import published_documents

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.wire, pytest.mark.clients]

TESTS = Path(__file__).resolve().parents[1]
PEERS = list(tomllib.loads((TESTS / "clients" / "peers.toml").read_text())["peers"])
KEY = "sk-bf-" + "0123456789abcdefghijklmnopqrstuvwxyzABCDEFG"
TOOL = "sample-whoami"
READY_SECONDS = 60


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def _configuration(port: int, upstream_port: int, *, key_required: bool, **client: bool) -> dict[str, object]:
    upstream = {
        "name": "sample",
        "connection_type": "http",
        "connection_string": f"http://127.0.0.1:{upstream_port}/mcp",
        "auth_type": "none",
        "tools_to_execute": ["*"],
        "allow_on_all_virtual_keys": True,
    }
    return {
        "server": {"host": "127.0.0.1", "port": port, "public_urls": [f"http://127.0.0.1:{port}"]},
        "client": {"enforce_auth_on_inference": key_required, "mcp_server_auth_mode": "both", **client},
        "mcp": {"client_configs": [upstream]},
        "governance": {"virtual_keys": [{"id": "vk-test", "name": "test", "value": KEY}]},
    }


@contextmanager
def _process(command: list[str], log: Path, env: dict[str, str], ready_url: str) -> Iterator[None]:
    """A server that runs from the moment `ready_url` answers with anything but an error of the server's."""
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, env=env, cwd=log.parent)
    try:
        deadline = time.monotonic() + READY_SECONDS
        with httpx2.Client(trust_env=False) as http:
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
        self._url, self._log = url, log

    def run(self, peer: str, engine: str, **person: str) -> subprocess.CompletedProcess[str]:
        """Start one client; `person` is what the person at the browser has and does (autobrowser.py)."""
        script = TESTS / "clients" / "run_all.sh"
        env = {name: value for name, value in os.environ.items() if not name.startswith("AUTOBROWSER_")}
        env |= {
            "AUTOBROWSER_ENGINE": engine,
            **{f"AUTOBROWSER_{name.upper()}": value for name, value in person.items()},
        }
        return subprocess.run(
            [script, f"{self._url}/mcp", TOOL, peer], env=env, check=False, capture_output=True, text=True, timeout=150
        )

    def explain(self, ended: subprocess.CompletedProcess[str]) -> str:
        log = "\n".join(self._log.read_text(errors="replace").splitlines()[-40:])
        return f"\n{ended.stdout}{ended.stderr}\ngateway:\n{log}"


@contextmanager
def _running_gateway(directory: Path, *, key_required: bool, **client: bool) -> Iterator[Gateway]:
    port, upstream_port = _free_port(), _free_port()
    config = directory / "config.json"
    config.write_text(json.dumps(_configuration(port, upstream_port, key_required=key_required, **client)))
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


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with _running_gateway(tmp_path_factory.mktemp("gateway"), key_required=True) as running:
        yield running


@pytest.fixture(scope="module")
def open_gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with _running_gateway(tmp_path_factory.mktemp("open-gateway"), key_required=False) as running:
        yield running


@pytest.mark.parametrize("engine", ["http", "chromium"])
@pytest.mark.parametrize("peer", PEERS)
def test_a_real_client_gets_through_consent_with_a_virtual_key(gateway: Gateway, peer: str, engine: str) -> None:
    """Contract §§3 to 7; MCP authorization, every revision the client speaks.

    R71: one of them has no listener that its browser reaches, and is given the address to paste. R45, R72: all of them
    know nothing but the URL.
    """
    ended = gateway.run(peer, engine, key=KEY)
    assert ended.returncode == 0, gateway.explain(ended)


@pytest.mark.parametrize("engine", ["http", "chromium"])
def test_a_real_client_hears_that_the_person_denied(gateway: Gateway, engine: str) -> None:
    """Contract §5, Deny: the flow ends with `access_denied` at the client's own redirect URI (RFC 6749 §4.1.2.1)."""
    ended = gateway.run("python-sdk-auto", engine, key=KEY, decision="deny")
    assert ended.returncode == 1, gateway.explain(ended)
    assert "authorization refused: {'error': 'access_denied'" in ended.stdout, gateway.explain(ended)


@pytest.mark.parametrize("engine", ["http", "chromium"])
def test_a_real_client_gets_through_consent_without_a_key_where_none_is_asked_for(
    open_gateway: Gateway, engine: str
) -> None:
    """Contract §5, skip: an anonymous session, on offer only when `enforce_auth_on_inference` is false."""
    ended = open_gateway.run("ts-sdk-v2-auto", engine)
    assert ended.returncode == 0, open_gateway.explain(ended)


def test_without_the_key_that_is_asked_for_nobody_gets_on(gateway: Gateway) -> None:
    """Contract §5: the identity page offers no way on without a key when `enforce_auth_on_inference` is true."""
    ended = gateway.run("python-sdk-auto", "http")
    assert ended.returncode == 1, gateway.explain(ended)
    assert "asks for a virtual key" in ended.stdout, gateway.explain(ended)


def test_a_real_client_answers_when_it_is_asked_for_a_nonce(tmp_path: Path) -> None:
    """RFC 9449 §§8, 9: at PAR, at the token endpoint and at /mcp, each time with the same request once more."""
    with _running_gateway(tmp_path, key_required=True, dpop_nonces=True) as gateway:
        ended = gateway.run("oauth4webapi-dpop", "http", key=KEY)
        assert ended.returncode == 0, gateway.explain(ended)
