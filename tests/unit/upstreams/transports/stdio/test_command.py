"""Which programs may be started, and what they see."""

import sys
from pathlib import Path

import pytest

from bifrost.upstreams.errors import UpstreamInvalid
from bifrost.upstreams.models import StdioConfig
from bifrost.upstreams.transports.stdio import command
from bifrost.upstreams.transports.stdio.command import AllowedCommands

SH = "/bin/sh"
KEY = {"API_KEY": "abcdefgh"}


def config(command: str, *args: str, envs: tuple[str, ...] = ()) -> StdioConfig:
    return StdioConfig(command=command, args=args, envs=envs)


def test_nothing_is_started_unless_a_list_says_so() -> None:
    """Contract §8: off by default."""
    with pytest.raises(UpstreamInvalid, match="switched off"):
        AllowedCommands(()).program(config(SH))


@pytest.mark.parametrize("named", [SH, "sh"])
def test_an_allowed_command_is_named_by_its_path_or_its_last_part(named: str) -> None:
    """Contract §8."""
    assert AllowedCommands((SH,)).program(config(named, "a", "b")).path == SH


@pytest.mark.parametrize(
    "named",
    [
        "/bin/bash",
        "bash",
        "/bin/../bin/sh",
        "//bin/sh",
        "./sh",
        "bin/sh",
        "sh -c id",
        "sh;id",
        "",
        "/bin",
        "SH",
        "sh\n",
    ],
)
def test_any_other_command_is_refused(named: str) -> None:
    """TC-131, R74, contract §8: no shell, and no looking along a PATH."""
    with pytest.raises(UpstreamInvalid) as refused:
        AllowedCommands((SH,)).program(config(named))
    assert refused.value.param == "stdio_config.command"


def test_a_last_part_that_two_entries_share_names_neither(tmp_path: Path) -> None:
    """Ours: whoever adds a second one must not change what the first meant."""
    with pytest.raises(UpstreamInvalid):
        AllowedCommands((SH, str(tmp_path / "sh"))).program(config("sh"))


def test_what_is_no_program_any_more_is_refused(tmp_path: Path) -> None:
    """Ours: said when it is configured, not at the first call."""
    plain = tmp_path / "plain"
    with pytest.raises(UpstreamInvalid, match="no such file"):
        AllowedCommands((str(plain),)).program(config("plain"))
    plain.write_text("x")
    with pytest.raises(UpstreamInvalid, match="not a program"):
        AllowedCommands((str(plain),)).program(config("plain"))
    plain.chmod(0o777)
    with pytest.raises(UpstreamInvalid, match="everybody"):
        AllowedCommands((str(plain),)).program(config("plain"))
    plain.chmod(0o755)
    assert AllowedCommands((str(plain),)).program(config("plain")).path == str(plain)


def test_other_systems_are_told_that_this_is_for_linux(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ours: elsewhere nothing would end what a program leaves behind."""
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(UpstreamInvalid, match="Linux"):
        AllowedCommands((SH,)).program(config(SH))


def test_a_program_sees_no_more_of_our_environment_than_it_needs() -> None:
    """Contract §8: scrubbed environment."""
    ours = {
        "HOME": "/home/x",
        "PATH": "/evil",
        "BIFROST_ADMIN_TOKEN": "t",
        "AWS_SECRET_ACCESS_KEY": "k",
        "LANG": "C",
    } | KEY
    program = AllowedCommands((SH,), ours).program(config(SH, envs=("API_KEY",)))
    assert program.env == {"HOME": "/home/x", "LANG": "C", "PATH": command.SEARCH_PATH, "API_KEY": "abcdefgh"}


def test_configured_values_are_not_in_what_a_log_could_show() -> None:
    """Ours: envs are secrets."""
    program = AllowedCommands((SH,), KEY).program(config(SH, envs=("API_KEY",)))
    assert program.secrets == ("abcdefgh",)
    assert "abcdefgh" not in repr(program)


@pytest.mark.parametrize(
    "name",
    ["LD_PRELOAD", "LD_LIBRARY_PATH", "PATH", "BASH_ENV", "ENV", "PYTHONPATH", "PYTHONSTARTUP", "NODE_OPTIONS"]
    + ["PERL5OPT", "RUBYOPT", "JAVA_TOOL_OPTIONS", "GIT_SSH_COMMAND", "BIFROST_ADMIN_TOKEN", "DYLD_INSERT_LIBRARIES"],
)
def test_variables_that_would_run_other_code_are_refused(name: str) -> None:
    """TC-131: the list of commands would mean nothing."""
    with pytest.raises(UpstreamInvalid) as refused:
        AllowedCommands((SH,), {name: "secret-value"}).program(config(SH, envs=(name,)))
    assert refused.value.param == "stdio_config.envs"
    assert "secret-value" not in refused.value.message


def test_a_variable_that_is_not_set_is_said() -> None:
    """Ours: when it is configured, not when the program misses it."""
    with pytest.raises(UpstreamInvalid, match="no API_KEY"):
        AllowedCommands((SH,)).program(config(SH, envs=("API_KEY",)))


def test_arguments_and_variables_have_limits() -> None:
    """Ours: what the system would refuse at the start is refused before."""
    for wanted in (
        config(SH, "a\0b"),
        config(SH, "x" * 4_097),
        config(SH, *("x",) * 101),
        config(SH, envs=("A",) * 101),
    ):
        with pytest.raises(UpstreamInvalid):
            AllowedCommands((SH,), {"A": "b"}).program(wanted)


def test_a_reference_to_the_environment_is_no_argument() -> None:
    """Contract §8, §10: everybody on the machine can read arguments, so no secret may stand there."""
    with pytest.raises(UpstreamInvalid, match="envs"):
        AllowedCommands((SH,)).program(config(SH, "--token", "env.API_KEY"))


@pytest.mark.parametrize(
    ("path", "holds"),
    [("/bin/sh", True), ("sh", False), ("bin/sh", False), ("/bin/../bin/sh", False), ("/bin//sh", False)]
    + [("/bin/./sh", False), ("/bin/sh/", False), ("", False), ("/a\nb", False)],
)
def test_an_entry_of_the_list_is_an_absolute_path_without_detours(path: str, holds: bool) -> None:
    """Contract §8."""
    assert command.is_command_path(path) is holds
