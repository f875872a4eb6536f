"""The command line as such: help, usage, exit codes."""

import re

import pytest

from bifrost import __version__
from tests.unit.cli._commands import Commands

COMMANDS = ["serve", "check-config", "keys", "keys create", "keys list", "keys revoke", "admin", "version"]
COMMANDS += [f"admin {action}" for action in ("create-token", "list", "revoke", "setup-link")]


@pytest.mark.parametrize("command", ["", *COMMANDS])
@pytest.mark.parametrize("option", ["--help", "-h"])
def test_every_command_helps(bifrost: Commands, command: str, option: str) -> None:
    """Contract §11: the commands on the machine; help is asked for, so it is no error."""
    ended = bifrost.run(*command.split(), option)
    assert ended.code == 0
    assert ended.out.startswith(f"usage: bifrost {command}".rstrip())
    assert ended.err == ""


def test_the_help_names_every_command_and_variable(bifrost: Commands) -> None:
    """Contract §11: commands and environment."""
    shown = bifrost.run("--help").out
    for name in ("serve", "check-config", "keys", "admin", "version"):
        assert re.search(rf"^    {name}\b", shown, re.MULTILINE), f"the help does not name {name}"
    for name in ("ADMIN_TOKEN", "CONFIG", "DATA_DIR", "PUBLIC_URLS", "STORAGE_URL", "<SECTION>__<KEY>"):
        assert f"BIFROST_{name}" in shown


@pytest.mark.parametrize(
    "arguments",
    [(), ("keys",), ("nonsense",), ("serve", "--nonsense"), ("serve", "--port", "eighty"), ("keys", "create")],
    ids=" ".join,
)
def test_wrong_usage_is_2_and_shows_the_right_one(bifrost: Commands, arguments: tuple[str, ...]) -> None:
    """Contract §11: exit codes."""
    ended = bifrost.run(*arguments)
    assert ended.code == 2
    assert "usage: bifrost" in ended.out + ended.err
    assert list(bifrost.directory.iterdir()) == []


def test_the_version_is_one_line(bifrost: Commands) -> None:
    """Contract §11, and the option that most programs have."""
    assert bifrost.run("version") == (0, f"bifrost {__version__}\n", "")
    assert bifrost.run("--version") == (0, f"bifrost {__version__}\n", "")
