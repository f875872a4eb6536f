"""What came out: remembered between runs, compared with the list of equivalent mutants, written as a page."""

import hashlib
import json
import tomllib
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.mutation.mutants import Mutant
from tests.mutation.running import Verdict
from tests.mutation.subjects import Subject

Key = tuple[str, str, str]


class Remembered:
    """Verdicts by mutant and tests, in a file of lines that is only added to."""

    def __init__(self, path: Path) -> None:
        self._path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = path.read_text().splitlines() if path.exists() else []
        self._verdicts = {entry.pop("digest"): Verdict(**entry) for entry in map(json.loads, lines)}

    def find(self, mutant: Mutant, tests: str) -> Verdict | None:
        return self._verdicts.get(_digest(mutant, tests))

    def keep(self, mutant: Mutant, tests: str, verdict: Verdict) -> None:
        digest = _digest(mutant, tests)
        self._verdicts[digest] = verdict
        with self._path.open("a") as file:
            file.write(json.dumps({"digest": digest, **asdict(verdict)}) + "\n")


def _digest(mutant: Mutant, tests: str) -> str:
    return hashlib.sha256(f"{mutant.digest}{tests}".encode()).hexdigest()


def equivalents(path: Path) -> dict[Key, str]:
    """The mutants that are as good as what they change, each with the reason."""
    entries = tomllib.loads(path.read_text()).get("equivalent", []) if path.exists() else []
    return {
        (entry["file"], entry["where"], change): entry["reason"] for entry in entries for change in entry["changes"]
    }


@dataclass(frozen=True, slots=True)
class Report:
    subject: Subject
    verdicts: dict[Mutant, Verdict]
    not_run: tuple[Mutant, ...] = ()

    def survivors(self, known: dict[Key, str]) -> list[Mutant]:
        """Those that are on no list."""
        return [mutant for mutant in self._left() if mutant.key not in known]

    def stale(self, known: dict[Key, str]) -> list[Key]:
        """Entries of the list about this subject that no survivor matches, and none that may yet be one."""
        left = {mutant.key for mutant in (*self._left(), *self.not_run)}
        mutants = {mutant.key for mutant in self.verdicts}
        return [key for key in known if self._is_about(key, mutants) and key not in left]

    def _is_about(self, key: Key, mutants: set[Key]) -> bool:
        only = self.subject.only
        return key in mutants or (key[0] == self.subject.file and (not only or key[1].startswith(only)))

    def counted(self, known: dict[Key, str]) -> Counter[str]:
        counts: Counter[str] = Counter(verdict.outcome for verdict in self.verdicts.values())
        counts["equivalent"] = sum(mutant.key in known for mutant in self._left())
        counts["not noticed"] = len(self.survivors(known))
        counts["not run"] = len(self.not_run)
        return counts

    def _left(self) -> Iterator[Mutant]:
        return (mutant for mutant, verdict in self.verdicts.items() if verdict.outcome == "survived")


HEAD = """\
<!-- Written by `python -m tests.mutation --write` from what was run; change tests/mutation/*.toml or the tests. -->

# Mutation testing

A test that cannot fail shows nothing. Here the code that decides is changed, one thing at a time: a comparison, a bound,
a condition that is left out, a check that is not made, an answer that is another one, a character class of a regular
expression, a condition or an assignment of an SQL statement. Then the tests that concern it are run. A change that none
of them notices is either a test that is missing, or code that does nothing, or one of the mutants at the end of this
page, which behave as the code does.

    make mutation                                    # everything; verdicts are remembered in .cache/mutation
    python -m tests.mutation redirect_uri claims     # only these
    python -m tests.mutation --fresh redirect_uri    # whatever is remembered

Files are never changed: a mutant is put into the memory of a process that has loaded the rest and collected the tests,
and only the tests that reach the changed function or statement are run. SQL is tried on SQLite; its text is the same for
both databases. The run fails when a mutant survives that is not listed, and when one is listed that does not survive.

## What was run

| subject | changed | mutants | killed | timed out | equivalent | not noticed | not run |
| --- | --- | --- | --- | --- | --- | --- | --- |
"""


def page(reports: Iterable[Report], known: dict[Key, str]) -> str:
    lines = [HEAD]
    total: Counter[str] = Counter()
    for report in reports:
        counts = report.counted(known)
        counts["mutants"] = len(report.verdicts) + len(report.not_run)
        total += counts
        only = f" ({', '.join(f'`{name}`' for name in report.subject.only)})" if report.subject.only else ""
        changed = f"`{report.subject.file}`{only}"
        lines.append(_row(report.subject.name, changed, counts))
    lines.append(_row("**all**", "", total))
    lines.append("\n## Equivalent mutants\n\nWhat survives, and why nothing is wrong with it.\n\n")
    lines.append("| where | change | reason |\n| --- | --- | --- |\n")
    for (file, where, what), reason in known.items():
        name = file.removeprefix("src/bifrost/").removeprefix("storage/queries/")
        lines.append(f"| `{name}` {where} | {_cell(what)} | {_cell(reason)} |\n")
    return "".join(lines)


def _row(name: str, changed: str, counts: Counter[str]) -> str:
    numbers = (counts[word] for word in ("mutants", "killed", "timed out", "equivalent", "not noticed", "not run"))
    return f"| {name} | {changed} | {' | '.join(map(str, numbers))} |\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
