"""What stays behind when the gateway is killed without a word: nothing (TC-214)."""

import json
import os
import signal
import subprocess
import sys
from typing import Any

import pytest

from tests.support.programs import HOSTILE, until_gone

pytestmark = pytest.mark.anyio

GATEWAY = """
import asyncio, sys
from bifrost.base.clock import SystemClock
from bifrost.upstreams.transports.stdio.command import Program
from bifrost.upstreams.transports.stdio.process import StdioPipe

async def main():
    pipe = await StdioPipe.start("notes", Program(sys.executable, tuple(sys.argv[1:]), {}), SystemClock())
    await pipe.send(b'{"jsonrpc":"2.0","id":1,"method":"echo"}')
    print(pipe.process_id, (await pipe.receive()).decode(), flush=True)
    await asyncio.sleep(600)

LOOP
"""
LOOPS = {"asyncio": "asyncio.run(main())", "uvloop": "import uvloop; uvloop.run(main())"}


@pytest.mark.parametrize("loop", LOOPS)
async def test_a_gateway_that_is_killed_leaves_no_program_and_none_of_its_children(loop: str) -> None:
    """TC-214: kill -9 of the gateway."""
    with _gateway(loop, "forks") as gateway:
        assert gateway.stdout is not None
        supervisor, _, answer = gateway.stdout.readline().decode().partition(" ")
        result: dict[str, Any] = json.loads(answer)["result"]
        os.kill(gateway.pid, signal.SIGKILL)
        await until_gone(int(supervisor), result["process"], *result["children"])


async def test_a_supervisor_that_is_killed_takes_the_program_with_it() -> None:
    """Ours: the program must not go on without the one who ends it."""
    with _gateway("asyncio", "echo") as gateway:
        assert gateway.stdout is not None
        supervisor, _, answer = gateway.stdout.readline().decode().partition(" ")
        os.kill(int(supervisor), signal.SIGKILL)
        await until_gone(json.loads(answer)["result"]["process"])
        gateway.kill()


def _gateway(loop: str, mode: str) -> "subprocess.Popen[bytes]":
    code = GATEWAY.replace("LOOP", LOOPS[loop])
    return subprocess.Popen([sys.executable, "-c", code, HOSTILE, mode], stdout=subprocess.PIPE)
