"""`bifrost db`: a backup, and what is to be done after one was put back."""

import sqlite3
import stat
from contextlib import closing
from pathlib import Path

from tests.unit.cli._commands import Commands


def test_what_a_backup_would_bring_to_life_ends(bifrost: Commands) -> None:
    """TC-184: and says what is left to do."""
    ended = bifrost.run("db", "restored")
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.startswith("Ended 0 sessions of clients")
    assert "virtual keys" in ended.out


def test_db_alone_is_wrong_usage(bifrost: Commands) -> None:
    """Contract §11: 2."""
    assert bifrost.run("db").code == 2


def test_a_database_that_does_not_answer_is_one_sentence(bifrost: Commands) -> None:
    """Contract §11: exit 1."""
    (bifrost.directory / "file").write_text("x")
    config = bifrost.config(storage={"url": f"sqlite:///{bifrost.directory}/file/x.db"})
    refused = bifrost.run("db", "restored", "--config", config).sentence
    assert refused.startswith("The database cannot be used: ")
    assert "storage.url" in refused


def test_a_backup_is_a_data_directory_that_is_as_good_as_the_first(bifrost: Commands) -> None:
    """Ours: what was written last, and is only in SQLite's log, is in it; the keys open it; it is its owner's alone."""
    data, copy = bifrost.directory / "data", bifrost.directory / "copy"
    bifrost.run("keys", "create", "Ann")
    with closing(sqlite3.connect(data / "bifrost.db")) as serving:
        serving.execute("PRAGMA wal_autocheckpoint = 0")
        bifrost.run("keys", "create", "Bob")
        made = bifrost.run("db", "backup", str(copy))
        assert (made.code, made.out) == (0, f"Copied bifrost.db and keyring.json to {copy}.\n")
    assert {entry.name: _mode(entry) for entry in copy.iterdir()} == {"bifrost.db": 0o600, "keyring.json": 0o600}
    assert _mode(copy) == 0o700
    listed = bifrost.run("keys", "list", "--config", bifrost.config(data_dir=str(copy)))
    assert "Ann" in listed.out
    assert "Bob" in listed.out


def test_a_backup_that_cannot_be_made_leaves_nothing_and_says_why(bifrost: Commands) -> None:
    """Contract §11: one sentence; what was there is never written over."""
    copy = bifrost.directory / "copy"
    assert "No such file" in bifrost.run("db", "backup", str(copy)).sentence
    (bifrost.directory / "data").mkdir()
    (bifrost.directory / "data" / "bifrost.db").write_bytes(b"not a database" * 100)
    assert "file is not a database" in bifrost.run("db", "backup", str(copy)).sentence
    assert not copy.exists()
    copy.mkdir()
    assert "File exists" in bifrost.run("db", "backup", str(copy)).sentence


def test_of_postgresql_the_refusal_names_the_tool_that_makes_the_copy(bifrost: Commands) -> None:
    """Contract §11: and where the keys are that belong to it, but not the password."""
    config = bifrost.config(storage={"url": "postgresql://ann:hunter2@127.0.0.1/bifrost"})
    refused = bifrost.run("db", "backup", "copy", "--config", config).sentence
    assert "pg_dump" in refused
    assert "keyring.json" in refused
    assert "hunter2" not in refused


def test_a_gateway_moves_from_sqlite_to_postgresql_once(bifrost: Commands, postgresql_url: str) -> None:
    """Ours: into an empty database, with the keys of before; the trail tells of it."""
    bifrost.run("keys", "create", "Ann")
    config = bifrost.config(storage={"url": postgresql_url})
    moved = bifrost.run("db", "import", "data/bifrost.db", "--config", config)
    assert (moved.code, moved.err) == (0, "")
    assert moved.out.startswith("Brought ")
    assert "Ann" in bifrost.run("keys", "list", "--config", config).out
    again = bifrost.run("db", "import", "data/bifrost.db", "--config", config).sentence
    assert again.startswith("The PostgreSQL database is not empty")
    (bifrost.directory / "data" / "keyring.json").unlink()
    assert "another encryption key" in bifrost.run("db", "import", "data/bifrost.db", "--config", config).sentence


def test_what_cannot_be_moved_is_said(bifrost: Commands) -> None:
    """Contract §11: one sentence."""
    assert "BIFROST_STORAGE_URL" in bifrost.run("db", "import", "data/bifrost.db").sentence
    config = bifrost.config(storage={"url": "postgresql://127.0.0.1/bifrost"})
    assert bifrost.run("db", "import", "nothing.db", "--config", config).sentence == "There is no file nothing.db."


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)
