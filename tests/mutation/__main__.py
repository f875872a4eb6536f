"""Change one thing at a time in the code that decides, and see whether its tests notice.

    python -m tests.mutation [--fresh] [--write] [--jobs N] [SUBJECT ...]

Prints every mutant that no test noticed and that is not in equivalent.toml, and exits with 1 when there is one, or when
an entry there is not true any more. `--write` runs nothing and writes docs/mutation.md from what is remembered.
"""

import argparse
import importlib
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

from tests.mutation.mutants import Mutant
from tests.mutation.results import Remembered, Report, equivalents, page
from tests.mutation.running import CannotRunError, Verdict, judged
from tests.mutation.subjects import Subject, read

HERE = Path(__file__).parent
LIBRARIES = (
    *("pytest", "_pytest.main", "hypothesis", "starlette.applications", "msgspec", "cryptography.x509", "aiosql"),
    *("asyncpg", "httpx2", "httptools", "jinja2", "structlog", "uvicorn", "prometheus_client"),
)
"""Loaded once; nothing of the project is."""


def main() -> int:
    options = _options()
    root = Path(options.root).resolve()
    subjects = read(root / options.data / "subjects.toml")
    if unknown := set(options.names) - set(subjects):
        print(f"no such subject: {', '.join(sorted(unknown))}", file=sys.stderr)
        return 2
    os.chdir(root)
    chosen = [subjects[name] for name in options.names] or list(subjects.values())
    memory = root / ".cache" / "mutation" / "verdicts.jsonl"
    if options.fresh:
        memory.unlink(missing_ok=True)
    failed = False if options.write else _run(chosen, root, memory, options.jobs)
    reports = [_report(subject, root, Remembered(memory)) for subject in chosen]
    known = equivalents(root / options.data / "equivalent.toml")
    if options.write:
        (root / "docs" / "mutation.md").write_text(page(reports, known))
    wrong = sum([_print(report, known) for report in reports])
    return 1 if wrong or failed else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="SUBJECT", help="one of subjects.toml (default: all)")
    parser.add_argument("--fresh", action="store_true", help="forget every verdict first")
    parser.add_argument("--write", action="store_true", help="only write docs/mutation.md")
    parser.add_argument("--jobs", type=int, default=2, help="subjects at a time")
    parser.add_argument("--root", default=HERE.parents[1], help="the project")
    parser.add_argument("--data", default="tests/mutation", help="where subjects.toml and equivalent.toml are")
    return parser.parse_args()


def _run(chosen: list[Subject], root: Path, memory: Path, jobs: int) -> bool:
    """Whether the tests of a subject could not be run."""
    os.nice(10)
    for library in LIBRARIES:
        importlib.import_module(library)
    waiting, running, failed = list(chosen), 0, False
    while waiting or running:
        if waiting and running < jobs:
            subject, running = waiting.pop(0), running + 1
            sys.stdout.flush()
            if os.fork() == 0:
                os._exit(_judge(subject, root, memory))
        else:
            running -= 1
            failed = os.wait()[1] != 0 or failed
    return failed


def _judge(subject: Subject, root: Path, memory: Path) -> int:
    """In a process of its own. What pytest prints is shown only when nothing could be run."""
    remembered, tests = Remembered(memory), subject.tests_digest(root)
    mutants = [mutant for mutant in subject.mutants(root) if remembered.find(mutant, tests) is None]
    done, began = 0, time.monotonic()
    scratch = Path(tempfile.mkdtemp(prefix="bifrost-mutation-"))
    screen = os.fdopen(os.dup(sys.stdout.fileno()), "w", buffering=1)
    with (scratch / "log").open("wb") as log:
        for stream in (sys.stdout, sys.stderr):
            os.dup2(log.fileno(), stream.fileno())

    def tell(mutant: Mutant, verdict: Verdict) -> None:
        nonlocal done
        done += 1
        remembered.keep(mutant, tests, verdict)
        if verdict.outcome != "killed" or done % 25 == 0 or done == len(mutants):
            print(f"{subject.name}: {done}/{len(mutants)}, {time.monotonic() - began:.0f} s", end="", file=screen)
            print(f"; {verdict.outcome}: {mutant.where}:{mutant.line} {mutant.what}", file=screen)

    try:
        if mutants:
            judged(subject, mutants, root, scratch, tell)
    except CannotRunError as error:
        sys.stdout.flush()
        print((scratch / "log").read_text()[-3000:], error, sep="\n", file=screen)
        return 1
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return 0


def _report(subject: Subject, root: Path, remembered: Remembered) -> Report:
    tests = subject.tests_digest(root)
    found = {mutant: remembered.find(mutant, tests) for mutant in subject.mutants(root)}
    verdicts = {mutant: verdict for mutant, verdict in found.items() if verdict is not None}
    return Report(subject, verdicts, not_run=tuple(mutant for mutant, verdict in found.items() if verdict is None))


def _print(report: Report, known: dict[tuple[str, str, str], str]) -> int:
    """The number of things that are wrong."""
    survivors, stale = report.survivors(known), report.stale(known)
    counts = ", ".join(f"{number} {word}" for word, number in sorted(report.counted(known).items()))
    print(f"{report.subject.name}: {len(report.verdicts)} mutants: {counts}")
    for mutant in survivors:
        print(f"  {mutant.file}:{mutant.line} {mutant.where}: {mutant.what} [{report.verdicts[mutant].by}]")
    for _, where, what in stale:
        print(f"  equivalent.toml has what does not survive: {where}: {what}")
    return len(survivors) + len(stale)


if __name__ == "__main__":
    sys.exit(main())
