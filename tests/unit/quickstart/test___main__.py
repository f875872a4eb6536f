"""`python -m bifrost.quickstart` around a stack that is played."""

import asyncio
import contextlib
import os
import signal
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from bifrost.quickstart import __main__ as quickstart
from bifrost.quickstart import stack
from bifrost.quickstart.children import ChildFailed, free_port


def play(monkeypatch: pytest.MonkeyPatch, first_end: Any) -> list[str]:
    """Stand in for the two children; the list says when they were stopped."""
    stopped: list[str] = []

    @contextlib.asynccontextmanager
    async def running(directory: Path, port: int) -> AsyncIterator[Any]:
        try:
            yield SimpleNamespace(url=f"http://localhost:{port}/mcp", key="sk-bf-demo", first_end=first_end)
        finally:
            stopped.append(str(directory))

    monkeypatch.setattr(stack, "running", running)
    return stopped


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_stops_everything_and_is_no_failure(
    number: signal.Signals, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Contract §11: SIGTERM ends with 0."""

    async def first_end() -> str:
        os.kill(os.getpid(), number)
        os.kill(os.getpid(), number)
        await asyncio.Event().wait()
        return "never"

    stopped = play(monkeypatch, first_end)
    assert quickstart.main(["--dir", "somewhere", "--port", str(free_port())]) == 0
    assert stopped == ["somewhere"]
    printed = capsys.readouterr()
    assert printed.out.endswith("Stopped.\n")
    assert printed.err == ""


def test_a_child_that_ends_by_itself_is_named_and_is_a_failure(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Contract §11: exit codes."""

    async def first_end() -> str:
        return "The gateway was ended by SIGKILL."

    stopped = play(monkeypatch, first_end)
    assert quickstart.main(["--port", str(free_port())]) == 1
    assert stopped == ["dev"]
    assert capsys.readouterr().err == "The gateway was ended by SIGKILL.\n"


def test_a_child_that_does_not_start_is_a_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Contract §11: refused with one sentence on stderr."""

    def running(*_: Any, **__: Any) -> Any:
        raise ChildFailed("The gateway ended with exit code 1: no.")

    monkeypatch.setattr(stack, "running", running)
    assert quickstart.main(["--port", str(free_port())]) == 1
    assert capsys.readouterr().err == "The gateway ended with exit code 1: no.\n"


def test_a_taken_port_says_how_to_choose_another(capsys: pytest.CaptureFixture[str]) -> None:
    """Ours: one clear sentence."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert quickstart.main(["--port", str(port)]) == 1
    assert capsys.readouterr().err == f"Port {port} is in use. Choose another: make run PORT=9090\n"


@pytest.mark.parametrize("port", ["0", "65536", "http", "-1"])
def test_what_is_no_port_is_wrong_usage(port: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Contract §11: exit code 2."""
    with pytest.raises(SystemExit) as caught:
        quickstart.main(["--port", port])
    assert caught.value.code == 2
    assert "port" in capsys.readouterr().err


def test_the_guide_names_every_client_with_the_url_and_the_key(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Ours: what to paste is on the screen."""

    async def first_end() -> str:
        return "over"

    play(monkeypatch, first_end)
    port = free_port()
    quickstart.main(["--port", str(port)])
    out = capsys.readouterr().out
    url = f"http://localhost:{port}/mcp"
    assert f"claude mcp add --transport http bifrost {url}\n" in out
    assert f'{{"mcpServers": {{"bifrost": {{"url": "{url}"}}}}}}' in out
    assert f"""code --add-mcp '{{"name":"bifrost","type":"http","url":"{url}"}}'""" in out
    assert f"npx @modelcontextprotocol/inspector --cli {url} --transport http --method tools/list" in out
    assert '--header "Authorization: Bearer sk-bf-demo"' in out
    assert "dev/config.json" in out
    assert f"make demo PORT={port}\n" in out
    assert f"BIFROST_SERVER__PORT={port} BIFROST_DATA_DIR=dev/data .venv/bin/bifrost keys list" in out
