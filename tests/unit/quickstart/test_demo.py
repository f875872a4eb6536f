"""`python -m bifrost.quickstart.demo`: what it walks through, and with which key."""

import contextlib
import json
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from bifrost.quickstart import demo, stack
from bifrost.quickstart.children import ChildFailed
from bifrost.quickstart.walk import Walk


@pytest.fixture
def walked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[tuple[str, str]]:
    """The (URL, key) of every walk; the working directory is an empty one."""
    walks: list[tuple[str, str]] = []

    def show(walk: Walk) -> int:
        walks.append((walk.mcp_url, walk.key))
        return 0

    monkeypatch.setattr(demo, "show", show)
    monkeypatch.chdir(tmp_path)
    return walks


def temporary_gateway(monkeypatch: pytest.MonkeyPatch, failure: Exception | None = None) -> None:
    @contextlib.asynccontextmanager
    async def running(directory: Path, port: int, *, show: bool) -> AsyncIterator[Any]:
        assert not show
        if failure:
            raise failure
        yield SimpleNamespace(url=f"http://localhost:{port}/mcp", key="sk-bf-own", second_key="")

    monkeypatch.setattr(stack, "running", running)


def test_a_running_gateway_is_asked_with_the_key_of_make_run(walked: list[tuple[str, str]], tmp_path: Path) -> None:
    """Contract §11, `make demo` beside `make run`."""
    (tmp_path / "dev").mkdir()
    key = {"governance": {"virtual_keys": [{"id": "vk-demo", "value": "sk-bf-dev"}]}}
    (tmp_path / "dev/config.json").write_text(json.dumps(key))
    with socket.create_server(("127.0.0.1", 0)) as gateway:
        url = f"http://127.0.0.1:{gateway.getsockname()[1]}/mcp"
        assert demo.main(["--url", url]) == 0
        assert demo.main(["--url", url, "--key", "sk-bf-mine"]) == 0
    assert walked == [(url, "sk-bf-dev"), (url, "sk-bf-mine")]


def test_with_nobody_there_it_starts_a_gateway_of_its_own_and_says_so(
    walked: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Contract §11, `make demo` alone."""
    temporary_gateway(monkeypatch)
    assert demo.main(["--url", "http://localhost:1/mcp"]) == 0
    assert [key for _, key in walked] == ["sk-bf-own"]
    assert "Nothing runs at http://localhost:1/mcp" in capsys.readouterr().out


def test_a_gateway_of_its_own_that_does_not_start_is_a_sentence(
    walked: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Contract §11: refused with one sentence on stderr."""
    temporary_gateway(monkeypatch, ChildFailed("The gateway ended."))
    assert demo.main(["--url", "http://localhost:1/mcp"]) == 1
    assert walked == []
    assert capsys.readouterr().err == "The gateway ended.\n"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--url", "ftp://localhost/mcp"], "not an http or https URL"),
        (["--url", "http://localhost:x/mcp"], "not an http or https URL"),
        (["--url", "https://gateway.example/mcp"], "--key"),
    ],
)
def test_what_cannot_be_walked_is_a_sentence(
    arguments: list[str], says: str, walked: list[tuple[str, str]], capsys: pytest.CaptureFixture[str]
) -> None:
    """Contract §11: exit 1 with one sentence; a gateway elsewhere is never replaced by one here."""
    assert demo.main(arguments) == 1
    assert walked == []
    assert says in capsys.readouterr().err


def test_with_a_second_key_two_people_follow_and_a_failure_ends_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Contract §11: one sign-in first; nobody is shown connecting accounts where that did not work."""
    shown: list[Any] = []

    def show(walk: Any) -> int:
        shown.append(walk)
        return int(walk.key == "sk-bf-wrong") if isinstance(walk, Walk) else 0

    monkeypatch.setattr(demo, "show", show)
    assert demo.both("http://localhost/mcp", "sk-bf-one", "sk-bf-two") == 0
    assert [member.key for member in shown[1].members] == ["sk-bf-one", "sk-bf-two"]
    assert "Two people" in capsys.readouterr().out
    assert demo.both("http://localhost/mcp", "sk-bf-wrong", "sk-bf-two") == 1
    assert demo.both("http://localhost/mcp", "sk-bf-one", "") == 0
    assert len(shown) == 4
