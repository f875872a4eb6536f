"""`bifrost keys rotate-encryption`: what it does, what it says, and what it leaves to the operator."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from bifrost.base.sealing import encode, key_id
from tests.unit.cli._commands import Commands

OLD, NEW = b"o" * 32, b"n" * 32


def _keys(bifrost: Commands) -> list[str]:
    return list(json.loads((bifrost.directory / "data" / "keyring.json").read_text())["keys"])


def _check(bifrost: Commands) -> str:
    with closing(sqlite3.connect(bifrost.directory / "data" / "bifrost.db")) as database:
        (value,) = database.execute("SELECT value FROM installation WHERE name = 'key_check'").fetchone()
    return str(value)


def test_a_new_key_is_put_in_front_and_everything_sealed_with_it(bifrost: Commands) -> None:
    """TC-182: and the old key may be taken out, as the command says."""
    assert bifrost.run("keys", "create", "ann").code == 0
    (old,) = _keys(bifrost)
    ended = bifrost.run("keys", "rotate-encryption", "--new-key")
    assert (ended.code, ended.err) == (0, "")
    new, kept = _keys(bifrost)
    assert kept == old
    assert new not in ended.out
    assert old not in ended.out
    assert _check(bifrost).split(".")[1] not in (old, "")
    assert "Sealed anew: 1 values" in ended.out
    assert "client ids handed out under an old key end with it" in ended.out
    (bifrost.directory / "data" / "keyring.json").write_text(json.dumps({"keys": [new]}))
    assert "ann" in bifrost.run("keys", "list").out
    with closing(sqlite3.connect(bifrost.directory / "data" / "bifrost.db")) as database:
        told = database.execute("SELECT event, actor, target, result FROM audit_events ORDER BY number").fetchall()
    assert told[-1] == ("encryption_rotated", "command_line", _check(bifrost).split(".")[1], "success")


def test_without_a_new_key_there_is_nothing_to_do(bifrost: Commands) -> None:
    """Idempotent: nothing is sealed anew, no key is made."""
    assert bifrost.run("keys", "create", "ann").code == 0
    before = (_keys(bifrost), _check(bifrost))
    ended = bifrost.run("keys", "rotate-encryption")
    assert ended.code == 0
    assert "Sealed anew: 0 values" in ended.out
    assert "Warning" not in ended.out
    assert (_keys(bifrost), _check(bifrost)) == before


def test_configured_keys_are_never_written(bifrost: Commands, monkeypatch: pytest.MonkeyPatch) -> None:
    """The sentence says what to set; with the new key in front the command does the rest."""
    monkeypatch.setenv("BIFROST_ENCRYPTION_KEYS", json.dumps([encode(OLD)]))
    assert bifrost.run("keys", "create", "ann").code == 0
    assert "BIFROST_ENCRYPTION_KEYS" in bifrost.run("keys", "rotate-encryption", "--new-key").sentence
    assert not (bifrost.directory / "data" / "keyring.json").exists()
    monkeypatch.setenv("BIFROST_ENCRYPTION_KEYS", json.dumps([encode(NEW), encode(OLD)]))
    ended = bifrost.run("keys", "rotate-encryption")
    assert (ended.code, ended.err) == (0, "")
    assert f"needs {key_id(OLD)} any more" in ended.out
    assert _check(bifrost).split(".")[1] == key_id(NEW)


def test_keys_of_another_database_change_nothing(bifrost: Commands) -> None:
    """Contract §11: exit 1 with one sentence, and no key is added to a ring that is the wrong one."""
    assert bifrost.run("keys", "create", "ann").code == 0
    path = bifrost.directory / "data" / "keyring.json"
    path.unlink()
    assert "another encryption key" in bifrost.run("keys", "rotate-encryption", "--new-key").sentence
    assert len(_keys(bifrost)) == 1


def test_a_key_file_that_cannot_be_used_is_one_sentence(bifrost: Commands, tmp_path: Path) -> None:
    """Contract §11."""
    assert bifrost.run("keys", "create", "ann").code == 0
    (tmp_path / "data" / "keyring.json").chmod(0o644)
    assert "chmod 600" in bifrost.run("keys", "rotate-encryption", "--new-key").sentence
