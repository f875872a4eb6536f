"""Children of the quick start: real processes."""

import asyncio
import socket
from typing import Any

import pytest

from bifrost.quickstart import children
from bifrost.quickstart.children import Child, ChildFailed, free_port, plain_environment, port_is_free
from tests.support.servers import until

pytestmark = pytest.mark.wire

STAYS = "import signal; print('here', flush=True); signal.sigwait({signal.SIGUSR1})"
IGNORES_TERM = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('here', flush=True); signal.pause()"
SERVES = """
import http.server, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if self.path == '/health' else 404); self.end_headers()
    def log_message(self, *words): pass
http.server.HTTPServer(('127.0.0.1', int(sys.argv[1])), Handler).serve_forever()
"""


async def child(program: str, *arguments: str, show: bool = True) -> Child:
    return await Child.start("the sample", ["-c", program, *arguments], plain_environment(), show=show)


def run(story: Any) -> Any:
    async def bounded() -> Any:
        async with asyncio.timeout(20):
            return await story()

    return asyncio.run(bounded())


def test_a_child_that_ends_says_with_what_and_why(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    """Contract §11: refused with one sentence; the sentence is repeated."""

    async def story() -> str:
        return await (await child("import sys; print('First.'); sys.exit('No room for it.')")).epitaph()

    assert run(story) == "The sample ended with exit code 1: No room for it."


def test_a_killed_child_says_by_which_signal() -> None:
    """Ours: which child died, and why."""

    async def story() -> str:
        it = await child(STAYS, show=False)
        it.process.kill()
        return await it.epitaph()

    assert run(story).startswith("The sample was ended by SIGKILL")


def test_a_child_is_waited_for_until_it_answers_and_then_stopped() -> None:
    """Ours: the address is printed when it works, not before."""

    async def story() -> int | None:
        port = free_port()
        it = await child(SERVES, str(port))
        await it.answers(f"http://127.0.0.1:{port}/health", statuses=frozenset({200}), seconds=10)
        assert not port_is_free(port)
        await it.stop()
        return it.process.returncode

    assert run(story) == -15


def test_a_child_that_ends_before_it_answers_is_a_failure() -> None:
    """Ours: no waiting for a server that is gone."""

    async def story() -> None:
        it = await child("raise SystemExit('Port taken.')", show=False)
        await it.answers("http://127.0.0.1:1/health", statuses=frozenset({200}), seconds=10)

    with pytest.raises(ChildFailed, match=r"exit code 1: Port taken\."):
        run(story)


@pytest.mark.parametrize(
    ("program", "text", "why"),
    [
        (STAYS, "here", ""),
        (STAYS, "there", "did not start within 0 seconds"),
        ("import sys; sys.exit('the port is taken')", "here", "ended with exit code 1: the port is taken"),
    ],
)
def test_a_child_is_believed_when_it_says_so_itself(program: str, text: str, why: str) -> None:
    """Another program may answer at its port."""

    async def story() -> None:
        started = await child(program, show=False)
        try:
            await started.says(text, seconds=0.4 if why.startswith("did") else 15)
        finally:
            await started.stop()

    if not why:
        run(story)
        return
    with pytest.raises(ChildFailed, match=why):
        run(story)


def test_a_child_that_never_answers_is_a_failure() -> None:
    """Ours: start-up time is bounded."""

    async def story() -> None:
        it = await child(STAYS, show=False)
        try:
            await it.answers("http://127.0.0.1:1/health", statuses=frozenset({200}), seconds=0)
        finally:
            await it.stop()

    with pytest.raises(ChildFailed, match="did not answer"):
        run(story)


def test_a_child_that_will_not_stop_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ours: Ctrl-C always ends."""
    monkeypatch.setattr(children, "STOP_SECONDS", 0.2)

    async def story() -> int | None:
        it = await child(IGNORES_TERM, show=False)
        # it speaks only after it has begun to ignore the signal
        await until(lambda: it.said)
        await it.stop()
        return it.process.returncode

    assert run(story) == -9


def test_a_port_in_use_is_not_free() -> None:
    """Ours: a taken port is one sentence before anything starts."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert not port_is_free(taken.getsockname()[1])
    assert port_is_free(free_port())


def test_children_see_no_settings_of_another_gateway(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ours: trying things out must not touch the database that a variable points at."""
    monkeypatch.setenv("BIFROST_STORAGE_URL", "postgresql://elsewhere")
    assert "BIFROST_STORAGE_URL" not in plain_environment()
    assert "PATH" in plain_environment()
