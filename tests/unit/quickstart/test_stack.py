"""The quick start for real: the gateway and the sample upstream as processes."""

import asyncio
import json
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from bifrost.quickstart import demo, dev_directory, stack
from bifrost.quickstart.children import ChildFailed, free_port, plain_environment, port_is_free
from bifrost.quickstart.upstream import create_app
from bifrost.quickstart.walk import Walk
from tests.support.servers import serving

pytestmark = pytest.mark.wire


def test_a_client_that_knows_only_the_url_signs_in_and_calls_a_tool(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Contract §11 `make demo`; §4 to §7 on real sockets."""
    assert asyncio.run(demo.with_temporary_gateway()) == 0
    assert "All 10 legs ok" in capsys.readouterr().out


def test_a_second_run_has_the_same_key_and_another_port(
    tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    """`make run` twice is one set-up, also with another PORT."""

    async def once() -> tuple[str, int]:
        async with stack.running(tmp_path, free_port()) as running:
            return running.key, await asyncio.to_thread(demo.show, Walk(mcp_url=running.url, key=running.key))

    first, second = asyncio.run(once()), asyncio.run(once())
    assert first == second
    assert first[1] == 0


def test_a_key_that_the_gateway_does_not_know_is_named_at_the_consent(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Contract §5: the page names the failure by a known code."""

    async def once() -> int:
        async with stack.running(tmp_path, free_port(), show=False) as running:
            return await asyncio.to_thread(demo.show, Walk(mcp_url=running.url, key=f"sk-bf-{'x' * 40}"))

    assert asyncio.run(once()) == 1
    assert re.search(r"consent .* FAIL .*is the key one of this gateway\?", capsys.readouterr().out)


def test_a_gateway_that_refuses_its_configuration_says_why_and_leaves_nothing_running(tmp_path: Path) -> None:
    """Contract §10: an unknown key is an error that names the nearest known one."""
    prepared = dev_directory.prepare(tmp_path)
    config = json.loads(prepared.config.read_text())
    prepared.config.write_text(json.dumps({**config, "servr": {}}))

    async def once() -> None:
        async with stack.running(tmp_path, free_port(), show=False):
            pass

    with pytest.raises(ChildFailed, match=r"The gateway ended with exit code 1: .*servr.*server"):
        asyncio.run(once())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_stops_everything_and_ends_with_0(number: signal.Signals, tmp_path: Path) -> None:
    """Contract §11: SIGTERM ends with 0; nothing but words is printed."""
    command = [sys.executable, "-m", "bifrost.quickstart", "--port", str(free_port()), "--dir", str(tmp_path / "dev")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as run:
        assert run.stdout is not None
        said = next(line for line in run.stdout if "make demo" in line)
        run.send_signal(number)
        rest, errors = run.communicate(timeout=30)
    assert run.returncode == 0
    assert said
    assert rest.endswith("Stopped.\n")
    assert errors == ""
    assert not [process for process in Path("/proc").glob("[0-9]*") if str(tmp_path) in command_line(process)]


def command_line(process: Path) -> str:
    try:
        return (process / "cmdline").read_text()
    except OSError:
        return ""


def test_a_gateway_that_is_killed_ends_the_run(tmp_path: Path) -> None:
    """Ours: says which child died, stops the other, exit 1."""

    async def once() -> tuple[str, int | None]:
        async with stack.running(tmp_path, free_port(), show=False) as running:
            running.gateway.process.kill()
            why, upstream = await running.first_end(), running.upstream
        return why, upstream.process.returncode

    why, upstream = asyncio.run(once())
    assert why.startswith("The gateway was ended by SIGKILL")
    assert upstream == 0


def test_the_sample_upstream_refuses_a_taken_port_and_serves_a_free_one() -> None:
    """Contract §11: exit 1 with one sentence; SIGTERM ends with 0."""
    port = free_port()
    command = [sys.executable, "-m", "bifrost.quickstart.upstream", "--port", str(port)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=plain_environment()) as first:
        assert first.stdout is not None
        assert first.stdout.readline() == f"Sample upstream: http://127.0.0.1:{port}/mcp\n"
        second = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
        first.terminate()
    assert (first.returncode, second.returncode) == (0, 1)
    assert second.stderr == f"Port {port} cannot be used on 127.0.0.1; choose another with --port.\n"


def test_an_upstream_of_somebody_else_at_our_port_is_not_taken_for_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two runs that look at the same free port at once: one gets it, and the other finds another."""
    looks = iter([True, True])
    looked = port_is_free
    monkeypatch.setattr(dev_directory, "port_is_free", lambda port: next(looks, False) or looked(port))

    async def once() -> str:
        async with stack.running(tmp_path, free_port(), show=False) as running:
            ended = await asyncio.to_thread(demo.show, Walk(mcp_url=running.url, key=running.key))
            assert ended == 0
            return (tmp_path / "config.json").read_text()

    with serving(create_app()) as origin:
        monkeypatch.setattr(dev_directory, "UPSTREAM_PORT", int(origin.rpartition(":")[2]))
        assert f"{origin}/mcp" not in asyncio.run(once())
