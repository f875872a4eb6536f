"""A program to be started as an upstream, which does on demand what none should: `hostile_program.py MODE`.

It reads one JSON message a line. `echo` answers each with its own `params`; the other modes misbehave.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any


def echo() -> None:
    for line in sys.stdin:
        message: dict[str, Any] = json.loads(line)
        if "id" in message:
            say({"jsonrpc": "2.0", "id": message["id"], "result": answer(message)})


def answer(message: dict[str, Any]) -> dict[str, Any]:
    if message["method"] == "environment":
        return dict(os.environ)
    return {"params": message.get("params"), "process": os.getpid(), "children": CHILDREN}


def server() -> None:
    """An MCP server of the older era whose tools tell of its process, or end it."""
    for line in sys.stdin:
        message: dict[str, Any] = json.loads(line)
        if "id" in message:
            say({"jsonrpc": "2.0", "id": message["id"], "result": served(message["method"], message.get("params", {}))})


def served(method: str, params: dict[str, Any]) -> dict[str, Any]:
    if method == "initialize":
        info = {"name": "hostile", "version": "1"}
        return {"protocolVersion": params["protocolVersion"], "capabilities": {"tools": {}}, "serverInfo": info}
    if method == "tools/list":
        return {"tools": [{"name": name, "inputSchema": {"type": "object"}} for name in TOOLS]}
    return {"content": [{"type": "text", "text": TOOLS[params["name"]]()}]}


def nap() -> str:
    """Works on it for a long time, and says so once."""
    say({"jsonrpc": "2.0", "method": "notifications/message", "params": {"level": "info", "data": os.getpid()}})
    time.sleep(600)
    return "never seen"


def leave() -> str:
    sys.exit(7)


def multiply() -> str:
    breed()
    return json.dumps([os.getpid(), *CHILDREN])


def flood() -> str:
    """A gigabyte in one line, in place of the answer."""
    for _ in range(16_384):
        os.write(1, b"x" * 65_536)
    return "never seen"


def wrong() -> str:
    """Answers to nobody, and then this one never."""
    for number in range(1_000_000, 1_050_000):
        say({"jsonrpc": "2.0", "id": number, "result": {}})
    time.sleep(600)
    return "never seen"


def shout() -> str:
    """A quarter of a gigabyte of standard error before the answer."""
    for _ in range(4_096):
        os.write(2, b"error error error error error 12\n" * 2_048)
    return "done"


def say(message: object) -> None:
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


def exits() -> None:
    sys.stderr.write("no licence found, password=hunter2hunter2\n")
    sys.exit(3)


def garbage() -> None:
    for number in range(1_000):
        sys.stdout.write(f"line {number} of a log\n")
    sys.stdout.flush()
    echo()


def banner() -> None:
    sys.stdout.write("Welcome!\n\n  Listening on stdio\n")
    sys.stdout.flush()
    echo()


def half() -> None:
    """Half a message, the other half later, in one write with the next message."""
    sys.stdout.write('{"jsonrpc":"2.0","id":1,')
    sys.stdout.flush()
    time.sleep(0.05)
    sys.stdout.write('"result":{}}\n{"jsonrpc":"2.0","id":2,"result":{}}\n{"jsonrpc"')
    sys.stdout.flush()


def endless() -> None:
    """One line without end."""
    while True:
        os.write(1, b'{"x":"' + b"x" * 65_536)


def talkative() -> None:
    """A gigabyte on standard error before it answers anything."""
    block = b"error error error\n" * 58_254  # 1 MiB, nearly
    for _ in range(1_024):
        os.write(2, block)
    echo()


def deaf() -> None:
    """Reads nothing."""
    while True:
        time.sleep(60)


def stubborn() -> None:
    """Ignores SIGTERM and the end of its input."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    say({"jsonrpc": "2.0", "method": "notifications/ready", "params": {"process": os.getpid()}})
    deaf()


def forks() -> None:
    breed()
    echo()


def breed() -> None:
    """Three children: one plain, one in a session of its own, one whose parent ends at once."""
    nap = [sys.executable, "-c", "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"]
    quiet: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    CHILDREN.append(subprocess.Popen(nap, **quiet).pid)
    CHILDREN.append(subprocess.Popen(nap, start_new_session=True, **quiet).pid)
    detach = f"import subprocess, sys; print(subprocess.Popen({nap!r}, start_new_session=True, stdin=-3, stdout=-3, stderr=-3).pid)"
    CHILDREN.append(int(subprocess.check_output([sys.executable, "-W", "ignore", "-c", detach])))


CHILDREN: list[int] = []
TOOLS: dict[str, Callable[[], str]] = {
    "process": lambda: str(os.getpid()),
    "environment": lambda: json.dumps(dict(os.environ)),
    "exit": leave,
    "nap": nap,
    "fork": multiply,
    "flood": flood,
    "wrong": wrong,
    "shout": shout,
}
MODES = (echo, server, exits, garbage, banner, half, endless, talkative, deaf, stubborn, forks)

if __name__ == "__main__":
    {mode.__name__: mode for mode in MODES}[sys.argv[1]]()
