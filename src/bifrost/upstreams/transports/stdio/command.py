"""What may be started, and with which environment. Nothing here goes through a shell or looks along a PATH.

Whoever may change the list of commands (it stands in the settings, out of reach of the management API) decides which
programs run on this machine; an administrator of the API chooses among them.
"""

import re
import stat
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bifrost.upstreams.errors import UpstreamInvalid
from bifrost.upstreams.models import StdioConfig

INHERITED = ("HOME", "LANG", "LC_ALL", "TMPDIR", "TZ")
"""All that a program sees of the gateway's own environment."""

SEARCH_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
MAX_ARGUMENTS, MAX_ENVS = 100, 100
MAX_CHARACTERS = 4_096
"""Of one argument."""

_ENV_REFUSED = re.compile(
    r"PATH|ENV|BASH_ENV|SHELLOPTS|IFS|(?:LD|DYLD|BIFROST)_.*|PYTHON(?:PATH|HOME|STARTUP|INSPECT|BREAKPOINT|USERBASE)"
    r"|NODE_(?:OPTIONS|PATH)|PERL5(?:OPT|LIB|DB)|RUBY(?:OPT|LIB)|_?JAVA_(?:TOOL_)?OPTIONS|JDK_JAVA_OPTIONS|GIT_.*"
)
"""With these a program runs code that nobody allowed."""


@dataclass(frozen=True, slots=True)
class Program:
    """`path` is absolute and allowed. `env` is its whole environment; what was asked for by name may be secret."""

    path: str
    arguments: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict, repr=False)
    secrets: tuple[str, ...] = field(default=(), repr=False)
    """Values that must not be shown when the program prints them."""


@dataclass(frozen=True, slots=True)
class AllowedCommands:
    """`paths` are absolute; of `environment`, the gateway's own, a program gets `INHERITED` and what `envs` names."""

    paths: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)

    def program(self, config: StdioConfig) -> Program:
        """The command is an allowed path, or the last part of exactly one. Raises UpstreamInvalid with its member."""
        path = self._path(config.command)
        check_arguments(config.args)
        check_envs(config.envs)
        missing = [name for name in config.envs if name not in self.environment]
        if missing:
            raise _invalid("envs", f"the environment of the gateway has no {missing[0]}")
        envs = {name: self.environment[name] for name in config.envs}
        inherited = {name: self.environment[name] for name in INHERITED if name in self.environment}
        env = {**inherited, "PATH": SEARCH_PATH, **envs}
        return Program(path, config.args, env, tuple(sorted(filter(None, envs.values()), key=len, reverse=True)))

    def _path(self, command: str) -> str:
        if not self.paths:
            raise _invalid("command", "starting programs is switched off: mcp.stdio_allowed_commands lists none")
        if sys.platform != "linux":
            raise _invalid("command", "programs are started on Linux only, where nothing of them can be left behind")
        named = [path for path in self.paths if command in (path, Path(path).name)]
        if len(named) != 1:
            raise _invalid("command", "it is not one of mcp.stdio_allowed_commands")
        try:
            mode = Path(named[0]).stat().st_mode
        except OSError as error:
            raise _invalid("command", "there is no such file on this machine") from error
        if not stat.S_ISREG(mode) or not mode & 0o111:
            raise _invalid("command", "it is not a program")
        if mode & stat.S_IWOTH:
            raise _invalid("command", "everybody on this machine may change that file")
        return named[0]


def is_command_path(path: str) -> bool:
    """Whether an entry of the list is an absolute path without detours."""
    return path.startswith("/") and path == str(Path(path)) and ".." not in Path(path).parts and path.isprintable()


def check_arguments(arguments: Sequence[str]) -> None:
    """Raises UpstreamInvalid."""
    if len(arguments) > MAX_ARGUMENTS or any(len(one) > MAX_CHARACTERS or "\0" in one for one in arguments):
        raise _invalid("args", f"at most {MAX_ARGUMENTS}, each at most {MAX_CHARACTERS} characters without NUL")
    if any(one.startswith("env.") for one in arguments):
        raise _invalid("args", "everybody on the machine can read arguments; secrets belong into envs")


def check_envs(names: Sequence[str]) -> None:
    """Raises UpstreamInvalid."""
    if len(names) > MAX_ENVS:
        raise _invalid("envs", f"at most {MAX_ENVS}")
    for name in names:
        if _ENV_REFUSED.fullmatch(name):
            raise _invalid("envs", f"{name} would change which code the program runs, or is the gateway's own")


def _invalid(member: str, rule: str) -> UpstreamInvalid:
    return UpstreamInvalid(f"stdio_config.{member}: {rule}.", param=f"stdio_config.{member}")
