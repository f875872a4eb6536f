"""Runs the tests of mutants, each in a process of its own that is forked when all that does not change is loaded.

A mutant inside a function or a statement is put into a session that has collected its tests, and only the tests that
reach the function are run. One of a module's own lines is loaded in its place, before anything has imported it.
"""

import contextlib
import json
import os
import resource
import select
import signal
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pytest
from _pytest.main import pytest_runtestloop as run_tests

from tests.mutation import planting
from tests.mutation.mutants import Mutant
from tests.mutation.subjects import Subject

Outcome = Literal["killed", "survived", "timed out"]
SETTLED, FAILED = 0, 1
WALL_SECONDS, CPU_SECONDS = 60, 15
"""What the tests of a mutant may take beyond ten times what they take without one."""


@dataclass(frozen=True, slots=True)
class Verdict:
    outcome: Outcome
    by: str = ""
    """The test that noticed."""


@dataclass(frozen=True, slots=True)
class Child:
    outcome: Outcome
    told: Any = None


class CannotRunError(Exception):
    """The tests of a subject do not pass without a change."""


def fork(work: Callable[[], Any], *, cpu: float = 0, wall: float = 0) -> Child:
    """Do it in a process of its own, and hand back what it returns: None is for `survived`, a JSON value for `killed`."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        _be_child(work, writer, int(cpu))
    os.close(writer)
    try:
        said = _said(reader, time.monotonic() + wall if wall else None)
    finally:
        os.close(reader)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGKILL)
        _, status = os.waitpid(pid, 0)
    if said is None or (os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGXCPU):
        return Child("timed out")
    if not said:
        return Child("killed", "the process ended")
    told = json.loads(said)
    return Child("survived" if told is None else "killed", told)


def _be_child(work: Callable[[], Any], writer: int, cpu: int) -> None:
    os.setpgid(0, 0)
    if cpu:
        spent = int(time.process_time()) + 1
        resource.setrlimit(resource.RLIMIT_CPU, (spent + cpu, spent + cpu + 1))
    for stream in (sys.stdout.fileno(), sys.stderr.fileno()) if not os.environ.get("MUTATION_LOUD") else ():
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream)
    try:
        said = json.dumps(work()).encode()
    except BaseException as error:  # noqa: BLE001 - whatever it is, it has been noticed
        said = json.dumps(f"{type(error).__name__}: {error}"[:300]).encode()
    os.write(writer, said)
    os._exit(SETTLED)


def _said(reader: int, until: float | None) -> bytes | None:
    """All that the child says, or None when it is late."""
    said = b""
    while True:
        left = None if until is None else max(0.0, until - time.monotonic())
        if not select.select([reader], [], [], left)[0]:
            return None
        part = os.read(reader, 65_536)
        if not part:
            return said
        said += part


class Session:
    """A pytest plugin: the tests are collected, and then run for each mutant instead of once."""

    def __init__(self, subject: Subject, root: Path, work: Callable[["Session"], None]) -> None:
        self.subject, self._root, self._work = subject, root, work
        self.items: list[pytest.Item] = []
        self._session: pytest.Session | None = None
        self._current = ""
        self._reached: defaultdict[str, set[str]] = defaultdict(set)
        self.failed = ""

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        self._session = session
        self.items = [item for item in session.items if self.subject.without not in item.nodeid]
        session.config.option.maxfail = 1
        with contextlib.suppress(ImportError):
            _find_without_shrinking()
        self._work(self)
        return True

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        self._current = item.nodeid
        return (yield)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed and not self.failed:
            self.failed = report.nodeid

    def run(self, names: set[str] | None = None) -> str | None:
        """The first test that fails, if any."""
        assert self._session is not None
        self._session.items = [item for item in self.items if names is None or item.nodeid in names]
        try:
            run_tests(self._session)
        except self._session.Failed:
            return self.failed or "a test"
        return self.failed or None

    def reached(self) -> dict[str, list[str]] | str:
        """Which tests reach which function or statement of the subject's file; or the one that fails."""
        seen = _SeenSet(self)
        if self.subject.file.endswith(".sql"):
            planting.statements(self._root, self.subject.file, seen=seen)
        else:
            self._trace(str(self._root / self.subject.file), seen)
        failed = self.run()
        sys.settrace(None)
        if failed:
            return failed
        return {where: sorted(names) for where, names in self._reached.items()}

    def note(self, where: str) -> None:
        self._reached[where].add(self._current)

    def _trace(self, path: str, seen: "_SeenSet") -> None:
        def called(frame: Any, _event: str, _argument: Any) -> None:
            if frame.f_code.co_filename == path:
                seen.add(frame.f_code.co_qualname.partition(".<locals>")[0])

        sys.settrace(called)
        threading.settrace(called)


class _SeenSet(set[str]):
    def __init__(self, session: Session) -> None:
        super().__init__()
        self._session = session

    def add(self, where: str) -> None:
        self._session.note(where)


def _find_without_shrinking() -> None:
    """A counterexample need not be small here."""
    from hypothesis import Phase, settings  # noqa: PLC0415 - a project may do without it

    settings.register_profile("mutation", parent=settings(), phases=(Phase.explicit, Phase.generate))
    settings.load_profile("mutation")


def pytest_main(subject: Subject, plugin: object, scratch: Path) -> int:
    quiet = ["-q", "-p", "no:xdist", "-W", "ignore::pytest.PytestAssertRewriteWarning"]
    return int(pytest.main([*quiet, f"--basetemp={scratch}", *subject.tests], plugins=[plugin]))


def judged(
    subject: Subject, mutants: list[Mutant], root: Path, scratch: Path, tell: Callable[[Mutant, Verdict], None]
) -> None:
    """Tells the verdict on every mutant. Raises CannotRunError."""
    later: list[Mutant] = []

    def work(session: Session) -> None:
        began, spent = time.monotonic(), os.times()
        reached = fork(session.reached).told
        if not isinstance(reached, dict):
            raise CannotRunError(f"{subject.name}: {reached} fails without any change")
        now = os.times()
        limits = Limits(
            10 * (now.children_user - spent.children_user) + CPU_SECONDS,
            10 * (time.monotonic() - began) + WALL_SECONDS,
        )
        for mutant in mutants:
            verdict = _in_session(session, mutant, root, reached, limits)
            if verdict is None:
                later.append(mutant)
            else:
                tell(mutant, verdict)
        for mutant in later:
            tell(mutant, asked(mutant, limits))

    asked = _Fresh(subject, root, scratch)
    try:
        ended = pytest_main(subject, Session(subject, root, work), scratch / "session")
    finally:
        asked.close()
    if ended not in (0, 5):
        raise CannotRunError(f"{subject.name}: pytest ended with {ended}")


@dataclass(frozen=True, slots=True)
class Limits:
    cpu: float
    wall: float


def _in_session(
    session: Session, mutant: Mutant, root: Path, reached: dict[str, list[str]], limits: Limits
) -> Verdict | None:
    """None for a mutant that must be there before its module is loaded."""
    is_sql = mutant.file.endswith(".sql")
    names = set(reached.get(mutant.where, ())) if mutant.where else None
    if names is not None and not names:
        return Verdict("survived", "no test reaches it") if is_sql else None

    def work() -> Any:
        if is_sql:
            planting.statements(root, mutant.file, mutant.text)
        elif not planting.into_loaded(root, mutant):
            return False
        return session.run(names)

    child = fork(work, cpu=limits.cpu, wall=limits.wall)
    if child.told is False:
        return None
    return Verdict(child.outcome, str(child.told or ""))


class _Fresh:
    """A process that has loaded the libraries but nothing of the project, and forks itself for each mutant."""

    def __init__(self, subject: Subject, root: Path, scratch: Path) -> None:
        self._asks, asks = os.pipe()
        answers, self._answers = os.pipe()
        self._pid = os.fork()
        if self._pid == 0:
            os.close(asks)
            os.close(answers)
            self._serve(subject, root, scratch)
            os._exit(SETTLED)
        os.close(self._asks)
        os.close(self._answers)
        self._asking, self._answered = os.fdopen(asks, "w"), os.fdopen(answers)

    def __call__(self, mutant: Mutant, limits: Limits) -> Verdict:
        asked = [mutant.file, mutant.where, mutant.line, mutant.what, mutant.text, limits.cpu, limits.wall]
        self._asking.write(f"{json.dumps(asked)}\n")
        self._asking.flush()
        outcome, by = json.loads(self._answered.readline())
        return Verdict(outcome, by)

    def close(self) -> None:
        self._asking.close()
        self._answered.close()
        os.waitpid(self._pid, 0)

    def _serve(self, subject: Subject, root: Path, scratch: Path) -> None:
        for line in os.fdopen(self._asks):
            *fields, cpu, wall = json.loads(line)
            mutant = Mutant(*fields)
            child = fork(lambda mutant=mutant: _once(subject, mutant, root, scratch), cpu=cpu, wall=wall)  # type: ignore[misc]
            os.write(self._answers, f"{json.dumps([child.outcome, str(child.told or '')])}\n".encode())


def _once(subject: Subject, mutant: Mutant, root: Path, scratch: Path) -> str | None:
    planting.before_import(root, mutant)
    found: list[str | None] = []
    plugin = Session(subject, root, lambda session: found.append(session.run()))
    ended = pytest_main(subject, plugin, scratch / "fresh")
    return found[0] if found else f"nothing can be collected ({ended})"
