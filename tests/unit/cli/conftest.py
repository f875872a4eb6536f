"""Fixtures of the command line's tests."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from bifrost.settings import environment
from bifrost.telemetry import logging
from tests.unit.cli._commands import Commands, signals_left_alone


@pytest.fixture
def bifrost(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Commands]:
    monkeypatch.chdir(tmp_path)
    for name in [name for name in environment() if name.startswith("BIFROST")]:
        monkeypatch.delenv(name)
    # loggers remember where they write, and what a test captures is closed after it
    monkeypatch.setattr(logging, "configure", lambda _level: None)
    with signals_left_alone():
        yield Commands(tmp_path, capsys)
