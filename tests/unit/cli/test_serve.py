"""`bifrost serve` up to the moment it listens: what it refuses, and what it hands to the server."""

import gc
import json
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from bifrost.settings import environment
from tests.support.servers import free_port
from tests.unit.cli._commands import KEY, Commands

Started = dict[str, Any]


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Started]]:
    """What uvicorn was started with, instead of starting it."""
    calls: list[Started] = []
    before = gc.get_threshold()

    def run(app: Any, **options: Any) -> None:
        calls.append({"app": app, "lasting_objects": gc.get_freeze_count(), **options})

    monkeypatch.setattr(uvicorn, "run", run)
    yield calls
    gc.unfreeze()
    gc.set_threshold(*before)


def _serve(bifrost: Commands, *arguments: str, **values: Any) -> Any:
    server = {"port": free_port(), **values.pop("server", {})}
    return bifrost.run("serve", "--config", bifrost.config(server=server, **values), *arguments)


def test_a_single_process_serves_the_application_itself(bifrost: Commands, started: list[Started]) -> None:
    """Contract §11: a grace time for what is in flight; who asked is not guessed from headers (contract §1)."""
    assert _serve(bifrost).code == 0
    (call,) = started
    assert callable(call["app"])
    assert call["host"] == "127.0.0.1"
    assert (call["proxy_headers"], call["server_header"], call["access_log"]) == (False, False, False)
    assert call["timeout_graceful_shutdown"] > 0


def test_no_request_waits_while_the_gateway_itself_is_looked_through_for_garbage(
    bifrost: Commands, started: list[Started]
) -> None:
    """What lasts as long as the process is set apart before the first request comes."""
    before = gc.get_freeze_count()
    assert _serve(bifrost).code == 0
    assert started[0]["lasting_objects"] > before + 10_000


def test_the_command_line_goes_before_the_file(bifrost: Commands, started: list[Started]) -> None:
    """Contract §11: `--host` and `--port`."""
    port = free_port()
    assert _serve(bifrost, "--port", str(port), "--host", "localhost").code == 0
    assert (started[0]["host"], started[0]["port"]) == ("localhost", port)


def test_workers_find_what_the_command_line_said(
    bifrost: Commands, started: list[Started], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Contract §10: several worker processes read the same configuration."""
    for name in ("BIFROST_CONFIG", "BIFROST_SERVER__HOST", "BIFROST_SERVER__PORT"):
        monkeypatch.setenv(name, "")  # so that what the command leaves there is taken away again
        monkeypatch.delenv(name)
    port = free_port()
    assert _serve(bifrost, "--port", str(port), server={"workers": 2}).code == 0
    assert (started[0]["workers"], started[0]["factory"]) == (2, True)
    assert environment()["BIFROST_SERVER__PORT"] == str(port)
    assert environment()["BIFROST_CONFIG"] == str(bifrost.directory / "config.json")


def test_what_is_made_is_for_its_owner_alone(bifrost: Commands, started: list[Started]) -> None:
    """TC-185, contract §11: the data directory with database and key ring, 0600."""
    assert _serve(bifrost).code == 0
    data = bifrost.directory / "data"
    modes = {path.name: path.stat().st_mode & 0o777 for path in (data, *data.iterdir())}
    assert modes == {"data": 0o700, "keyring.json": 0o600, "bifrost.db": 0o600}


def _key_file(content: object, mode: int = 0o600) -> Callable[[Path], None]:
    def write(directory: Path) -> None:
        (directory / "data").mkdir()
        path = directory / "data" / "keyring.json"
        path.write_text(json.dumps(content))
        path.chmod(mode)

    return write


GOOD = {"keys": ["A" * 43]}


@pytest.mark.parametrize(
    ("prepare", "words"),
    [
        (_key_file(GOOD, 0o604), ("keyring.json", "chmod 600")),
        (_key_file(GOOD, 0o620), ("keyring.json", "chmod 600")),
        (_key_file([]), ("keyring.json", "backup")),
        (_key_file({}), ("keyring.json", "backup")),
        (_key_file({"keys": []}), ("key",)),
        (_key_file({"keys": ["AAAA"]}), ("32 bytes",)),
        (_key_file({"keys": [1]}), ("key",)),
        (_key_file({"keys": None}), ("key",)),
        (lambda directory: (directory / "data").write_text(""), ("data",)),
        (lambda directory: (directory / "data" / "keyring.json").mkdir(parents=True), ("keyring.json",)),
    ],
    ids=["others", "group", "list", "no-keys", "empty", "short", "number", "null", "data-is-a-file", "is-a-directory"],
)
def test_a_key_ring_that_cannot_be_trusted_is_refused(
    bifrost: Commands, started: list[Started], prepare: Callable[[Path], None], words: tuple[str, ...]
) -> None:
    """Contract §11: one sentence, and never a new key in the place of one that cannot be read."""
    prepare(bifrost.directory)
    sentence = _serve(bifrost).sentence
    assert all(word in sentence for word in words), sentence
    assert started == []


def test_a_good_key_file_is_used_as_it_is(bifrost: Commands, started: list[Started]) -> None:
    """Contract §11: the file is made once and never rewritten."""
    _key_file(GOOD)(bifrost.directory)
    assert _serve(bifrost).code == 0
    assert json.loads((bifrost.directory / "data" / "keyring.json").read_text()) == GOOD


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"storage": {"url": "postgresql://127.0.0.1:1/nothing"}}, ("storage",)),
        ({"storage": {"url": "postgresql://host:port/name"}}, ("storage.url",)),
        ({"storage": {"url": "sqlite:near-miss.db"}}, ("storage.url", "sqlite:///")),
        ({"storage": {"url": "sqlite:////nowhere/at/all.db"}}, ("storage",)),
        ({"governance": {"virtual_keys": [{"name": "a", "value": "sk-bf-short"}]}}, ("sk-bf-", "27")),
    ],
)
def test_what_cannot_be_opened_or_made_is_refused_before_anything_listens(
    bifrost: Commands, started: list[Started], values: dict[str, Any], words: tuple[str, ...]
) -> None:
    """Contract §11: exit 1 with one sentence."""
    sentence = _serve(bifrost, **values).sentence
    assert all(word in sentence for word in words), sentence
    assert started == []


@pytest.mark.parametrize("port", ["0", "65536", "-1"])
def test_a_port_that_does_not_exist_is_refused(bifrost: Commands, started: list[Started], port: str) -> None:
    """Contract §11."""
    assert "port" in _serve(bifrost, f"--port={port}").sentence
    assert started == []


def test_a_port_or_address_that_cannot_be_used_is_refused(bifrost: Commands, started: list[Started]) -> None:
    """Contract §11: found before the database is opened."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert port in _serve(bifrost, "--port", port).sentence
    public = {"public_urls": ["https://mcp.example.com"]}
    for host in ("203.0.113.1", "no-such-host.invalid"):
        assert host in _serve(bifrost, "--host", host, server=public).sentence
    assert started == []
    assert not (bifrost.directory / "data").exists()


def test_a_key_of_the_file_is_made_and_its_value_kept_nowhere(bifrost: Commands, started: list[Started]) -> None:
    """Contract §§9, 10: the file creates what does not exist yet; only a hash is stored."""
    ended = _serve(bifrost, governance={"virtual_keys": [{"name": "ann", "value": KEY}]})
    assert ended.code == 0
    assert "ann" in bifrost.run("keys", "list").out
    kept = b"".join(path.read_bytes() for path in (bifrost.directory / "data").iterdir())
    assert b"ann" in kept
    assert KEY.encode() not in kept
    assert KEY not in ended.err
