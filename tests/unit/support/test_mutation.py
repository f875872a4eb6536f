"""The tool that changes the code that decides sees what tests notice, and what they do not."""

import subprocess
import sys
from pathlib import Path

from tests.mutation import subjects
from tests.mutation.results import equivalents, page

PROJECT = Path(__file__).parents[3]
CODE = "LIMIT = 3\n\n\ndef allowed(count):\n    return count >= 0 and count < LIMIT\n"
TESTS = (
    "from {name} import allowed\n\n\ndef test_it():\n    assert allowed(0) and allowed(2) and not allowed(3){more}\n"
)
BELOW = " and not allowed(-1)"
ENTRY = '[[equivalent]]\nfile = "{name}.py"\nwhere = "allowed"\nchanges = ["{change}"]\nreason = "planted"\n'


def _project(root: Path, name: str, more: str, equivalent: str = "", code: str = CODE) -> None:
    (root / f"{name}.py").write_text(code)
    (root / "test_planted.py").write_text(TESTS.format(name=name, more=more))
    (root / "conftest.py").write_text("")
    (root / "subjects.toml").write_text(f'[planted]\nfile = "{name}.py"\ntests = ["test_planted.py"]\n')
    (root / "equivalent.toml").write_text(equivalent)


def _run(root: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tests.mutation", "--root", str(root), "--data", ".", "--jobs", "1", *options]
    path = f"{PROJECT}:{root}"
    return subprocess.run(
        command,
        cwd=PROJECT,
        env={"PYTHONPATH": path, "PATH": ""},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def test_a_change_that_a_test_notices_is_killed(tmp_path: Path) -> None:
    """Every mutant of the planted function is noticed, so the run is good."""
    _project(tmp_path, "planted_whole", BELOW)
    done = _run(tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 not noticed" in done.stdout


def test_a_change_that_no_test_notices_is_told_by_its_line(tmp_path: Path) -> None:
    """A missing test: nothing is asked below zero."""
    _project(tmp_path, "planted_half", "")
    done = _run(tmp_path)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "planted_half.py:5 allowed:" in done.stdout
    assert "0 not noticed" not in done.stdout


def test_what_could_not_be_planted_has_not_been_noticed(tmp_path: Path) -> None:
    """A module that has a table of its functions: no test looks at the number below it, whatever is tried first."""
    _project(tmp_path, "planted_table", BELOW, code=f"{CODE}\n\nEVERY = (allowed,)\nSPARE = 7\n")
    done = _run(tmp_path)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "2 not noticed" in done.stdout
    assert "planted_table.py:9 : `7` becomes `8`" in done.stdout


def test_a_default_that_is_changed_is_changed_for_those_who_leave_it_out(tmp_path: Path) -> None:
    """Defaults are made when a function is defined: its code alone does not have them."""
    _project(tmp_path, "planted_default", "", code="def allowed(count, limit=3):\n    return count < limit\n")
    done = _run(tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 not noticed" in done.stdout


def test_an_entry_of_the_list_that_does_not_survive_is_an_error(tmp_path: Path) -> None:
    """Or the list would hide what comes later."""
    _project(tmp_path, "planted_listed", BELOW, ENTRY.format(name="planted_listed", change="`x` becomes `y`"))
    done = _run(tmp_path)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "equivalent.toml has what does not survive" in done.stdout


def test_what_was_judged_is_not_judged_again(tmp_path: Path) -> None:
    """A run that was interrupted goes on; a changed test makes every verdict old."""
    _project(tmp_path, "planted_again", BELOW)
    assert "killed" in _run(tmp_path).stdout
    verdicts = tmp_path / ".cache" / "mutation" / "verdicts.jsonl"
    first = verdicts.read_text()
    _run(tmp_path)
    assert verdicts.read_text() == first
    _project(tmp_path, "planted_again", "")
    assert _run(tmp_path).returncode == 1
    assert len(verdicts.read_text()) > len(first)


def test_a_subject_that_is_none_is_refused(tmp_path: Path) -> None:
    """A word that is written wrongly is no good run."""
    _project(tmp_path, "planted_named", BELOW)
    assert _run(tmp_path, "plantet").returncode == 2


def test_the_page_is_about_the_subjects_and_the_equivalent_mutants_that_there_are() -> None:
    """Ours: `python -m tests.mutation --write` writes it. What came out of a run only a run can tell."""
    written = (PROJECT / "docs" / "mutation.md").read_text()
    data = PROJECT / "tests" / "mutation"
    results, equivalent = written.split("\n## Equivalent mutants\n")
    rows = [row.split(" | ")[0].removeprefix("| ") for row in results.splitlines() if row.startswith("| ")]
    assert rows[2:-1] == list(subjects.read(data / "subjects.toml"))
    assert equivalent == page([], equivalents(data / "equivalent.toml")).split("\n## Equivalent mutants\n")[1]
