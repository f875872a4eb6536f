"""The commands in this process: arguments in, exit code and words out."""

import json
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from bifrost.cli.main import main

KEY = "sk-bf-" + "0123456789abcdefghijklmnopqrstuvwxyz"


class Ended(NamedTuple):
    code: int
    out: str
    err: str

    @property
    def sentence(self) -> str:
        """What a refusal says: exit 1, nothing on stdout, one line."""
        assert self.code == 1, self
        assert self.out == ""
        (line,) = self.err.splitlines()
        assert line.startswith("bifrost: ")
        return line.removeprefix("bifrost: ")


class Commands:
    """`bifrost …` in a directory of its own with nothing in the environment."""

    def __init__(self, directory: Path, captured: pytest.CaptureFixture[str]) -> None:
        self.directory = directory
        self._captured = captured

    def run(self, *arguments: str) -> Ended:
        self._captured.readouterr()
        try:
            code = main(arguments)
        except SystemExit as end:  # argparse's way to say wrong usage, and that it has helped
            code = int(end.code or 0)
        out, err = self._captured.readouterr()
        return Ended(code, out, err)

    def config(self, **values: Any) -> str:
        path = self.directory / "config.json"
        path.write_text(json.dumps(values))
        return str(path)


@contextmanager
def signals_left_alone() -> Iterator[None]:
    """A command may set up signals, because its process is its own; here it is not."""
    numbers = (signal.SIGTERM, signal.SIGINT)
    handlers = [signal.getsignal(number) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, handlers, strict=True):
            signal.signal(number, handler)
