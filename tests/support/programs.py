"""Programs started as upstreams in tests, and a look at which processes there are."""

import asyncio
import os
import sys
import time
from pathlib import Path

from bifrost.upstreams.transports.stdio.command import Program

HOSTILE = str(Path(__file__).with_name("hostile_program.py"))
PATIENCE_SECONDS = 20.0


def program(mode: str, **env: str) -> Program:
    return Program(sys.executable, (HOSTILE, mode), {"PATH": os.defpath, **env}, tuple(env.values()))


def is_alive(process: int) -> bool:
    """Whether there is such a process; one that has ended and was not waited for counts."""
    return Path(f"/proc/{process}").exists()


def children() -> list[int]:
    """The processes of this one, those that ended and were not waited for included."""
    return [child for child in _processes() if _parent(child) == os.getpid()]


async def until_gone(*processes: int) -> None:
    """Raises AssertionError when one of them is still there after a while."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while left := [one for one in processes if is_alive(one)]:
        assert time.monotonic() < deadline, f"still there: {left}"
        await asyncio.sleep(0.02)


def _processes() -> list[int]:
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]


def _parent(process: int) -> int:
    try:
        return int(Path(f"/proc/{process}/stat").read_bytes().rpartition(b")")[2].split()[1])
    except OSError:
        return 0
