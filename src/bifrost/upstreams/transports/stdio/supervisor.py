"""Runs one program and leaves nothing of it behind: `python -I -S supervisor.py LIFELINE GRACE COMMAND [ARGUMENT…]`.

A script of its own, which imports nothing of the product. It stands between the gateway and the program because only a
parent can know all descendants: on Linux it is their subreaper, so that also what detaches itself (a second fork, a
session of its own) is found and ended. It ends them when it is told to (SIGTERM), when the program has ended, and when
the other end of LIFELINE closes: that is what a gateway leaves behind that was killed without a word.
"""

import contextlib
import ctypes
import os
import resource
import select
import signal
import sys
import time
from collections.abc import Sequence

PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER, PR_SET_NO_NEW_PRIVS = 1, 36, 38
EXIT_NOT_STARTED = 127
POLL_SECONDS = 0.02
KILL_ROUNDS = 200
"""A program that forks without end is killed again and again; each round takes POLL_SECONDS."""


def main(arguments: Sequence[str]) -> int:
    lifeline, grace, command = int(arguments[0]), float(arguments[1]), arguments[2:]
    os.set_inheritable(lifeline, False)
    wake = _wake_up_by_signals()
    _prctl(PR_SET_CHILD_SUBREAPER, 1)
    supervisor = os.getpid()
    program = os.fork()
    if program == 0:
        _become(command, supervisor)
    _let_go_of_the_pipe()
    status: int | None = None
    while status is None:
        ready, _, _ = select.select([lifeline, wake], [], [])
        if lifeline in ready or (wake in ready and signal.SIGTERM in os.read(wake, 64)):
            break
        status = _reap().get(program)
    _end(grace if status is None else 0.0)
    return 0 if status is None else status


def _wake_up_by_signals() -> int:
    """A descriptor on which every signal arrives as a byte."""
    read, write = os.pipe()
    os.set_blocking(write, False)
    signal.set_wakeup_fd(write, warn_on_full_buffer=False)
    for number in (signal.SIGCHLD, signal.SIGTERM):
        signal.signal(number, lambda *_: None)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal's Ctrl-C is for the gateway, which then tells us
    return read


def _become(command: Sequence[str], supervisor: int) -> None:
    """The child: a process group of its own, no core dumps, no new privileges, and it dies with its supervisor."""
    try:
        os.setpgid(0, 0)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        _prctl(PR_SET_NO_NEW_PRIVS, 1)
        _prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != supervisor:
            os._exit(EXIT_NOT_STARTED)  # it died before that was said
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGINT):
            signal.signal(number, signal.SIG_DFL)  # Python ignores them, and a program inherits what is ignored
        os.execv(command[0], list(command))  # noqa: S606 - no shell is the point
    except OSError as error:
        os.write(2, f"{command[0]} cannot be started: {error.strerror}\n".encode())
    os._exit(EXIT_NOT_STARTED)


def _let_go_of_the_pipe() -> None:
    """Or the gateway would never see that the program closed its output."""
    nothing = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nothing, descriptor)


def _reap() -> dict[int, int]:
    """Every child that has ended, adopted ones too, with its exit status (128 and more: a signal)."""
    ended: dict[int, int] = {}
    with contextlib.suppress(ChildProcessError):
        while True:
            child, status = os.waitpid(-1, os.WNOHANG)
            if child == 0:
                break
            code = os.waitstatus_to_exitcode(status)
            ended[child] = code if code >= 0 else 128 - code
    return ended


def _end(grace: float) -> None:
    """SIGTERM, after the grace SIGKILL, until nobody is left."""
    deadline = time.monotonic() + grace
    if grace:
        _signal_all(signal.SIGTERM)
    while grace and _descendants() and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)
        _reap()
    for _ in range(KILL_ROUNDS):
        _signal_all(signal.SIGKILL)
        _reap()
        if not _descendants():
            return
        time.sleep(POLL_SECONDS)


def _signal_all(number: int) -> None:
    for process in _descendants():
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(process, number)


def _descendants() -> list[int]:
    parents = _parents()
    found = [os.getpid()]
    for process in found:
        found += [child for child, parent in parents.items() if parent == process]
    return found[1:]


def _parents() -> dict[int, int]:
    """Every process, and its parent (proc(5): after the name in brackets, state and parent).

    One that has ended and was not waited for is still one: nobody else may be there to wait for it.
    """
    parents: dict[int, int] = {}
    for name in os.listdir("/proc"):  # noqa: PTH208 - nothing but names is needed
        if name.isdigit():
            with contextlib.suppress(OSError), open(f"/proc/{name}/stat", "rb") as file:  # noqa: PTH123 - as little as possible is imported
                parents[int(name)] = int(file.read().rpartition(b")")[2].split()[1])
    return parents


def _prctl(option: int, value: int) -> None:
    if sys.platform == "linux" and ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
