"""`bifrost db restored`."""

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
    assert bifrost.run("db", "restored", "--config", config).sentence
