"""Starts that are refused: exit 1 with one sentence that says what to do, before anything listens."""

import asyncio
import json
import socket
from pathlib import Path
from typing import Any

import pytest

from bifrost import bootstrap
from bifrost.base.sealing import KeyRing
from bifrost.settings import load
from tests.support.clock import FakeClock
from tests.wire._bifrost import KEY, Installation, refusal, run

pytestmark = pytest.mark.wire

UNREACHABLE = "postgresql://nobody:secret-of-nobody@127.0.0.1:1/nothing"


def _key_file(directory: Path, content: str, mode: int = 0o600) -> None:
    (directory / "data").mkdir(mode=0o700)
    path = directory / "data" / "keyring.json"
    path.write_text(content)
    path.chmod(mode)


GOOD_KEYS = json.dumps({"keys": ["A" * 43]})
REFUSED: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "unknown key": ({"server": {"prot": 9_090}}, ("server.prot", "Did you mean port?")),
    "every address": ({"server": {"host": "0.0.0.0"}}, ("0.0.0.0", "server.public_urls")),  # noqa: S104
    "weak key": ({"governance": {"virtual_keys": [{"name": "a", "value": "sk-bf-short"}]}}, ("sk-bf-", "27")),
    "upstream name": (
        {"mcp": {"client_configs": [{"name": "has-hyphen", "connection_string": "https://up.example/mcp"}]}},
        ("has-hyphen", "name", "no hyphen"),
    ),
    "database away": ({"storage": {"url": UNREACHABLE}}, ("storage",)),
}


@pytest.mark.parametrize("why", REFUSED)
def test_a_start_is_refused_with_one_sentence(tmp_path: Path, sqlite_url: str, why: str) -> None:
    """Contract §§10, 11: 1 is "refused with one sentence on stderr"; no secret and no traceback is in it."""
    sections, words = REFUSED[why]
    sentence = refusal(Installation(tmp_path, sqlite_url, sections).run("serve"))
    assert all(word in sentence for word in words), sentence
    assert KEY not in sentence
    assert "secret-of-nobody" not in sentence


@pytest.mark.parametrize(
    ("content", "mode", "words"),
    [(GOOD_KEYS, 0o640, ("keyring.json", "chmod 600")), ("no JSON", 0o600, ("keyring.json", "backup"))],
    ids=["open-to-others", "broken"],
)
def test_a_start_with_a_bad_key_file_is_refused(
    tmp_path: Path, sqlite_url: str, content: str, mode: int, words: tuple[str, ...]
) -> None:
    """Contract §11: the key ring is 0600, and a file that cannot be read is never replaced by a new one."""
    _key_file(tmp_path, content, mode)
    sentence = refusal(Installation(tmp_path, sqlite_url).run("serve"))
    assert all(word in sentence for word in words), sentence
    assert (tmp_path / "data" / "keyring.json").read_text() == content


def test_a_file_that_is_no_configuration_is_refused(tmp_path: Path) -> None:
    """Contract §10: the file is read as a whole before anything is made."""
    path = tmp_path / "config.json"
    path.write_text("{not json")
    sentence = refusal(run("serve", "--config", str(path), cwd=tmp_path))
    assert "config.json" in sentence
    assert "not valid JSON" in sentence
    assert list(tmp_path.iterdir()) == [path]


def test_a_port_in_use_is_refused(tmp_path: Path, sqlite_url: str) -> None:
    """Contract §11: the sentence names the port, and says how to choose another."""
    installation = Installation(tmp_path, sqlite_url)
    with socket.create_server(("127.0.0.1", installation.port)):
        sentence = refusal(installation.run("serve"))
    assert str(installation.port) in sentence
    assert "--port" in sentence


def test_a_database_of_another_key_ring_is_refused(tmp_path: Path, sqlite_url: str) -> None:
    """Contract §11: a key file that does not belong to the database is not used, and not replaced."""
    installation = Installation(tmp_path, sqlite_url)
    _key_file(tmp_path, GOOD_KEYS)
    asyncio.run(_prepared(sqlite_url, tmp_path))
    sentence = refusal(installation.run("serve"))
    assert "another encryption key" in sentence
    assert "keyring.json" in sentence
    assert (tmp_path / "data" / "keyring.json").read_text() == GOOD_KEYS


async def _prepared(database_url: str, directory: Path) -> None:
    """The database as a gateway with other keys has left it."""
    settings = load(None, {}, {"storage": {"url": database_url}, "data_dir": str(directory)})
    database = bootstrap.database(settings)
    await bootstrap.prepare(settings, database, FakeClock(), KeyRing([b"o" * 32]))
    await database.close()
