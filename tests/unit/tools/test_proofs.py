"""tools/proofs.py must see what is missing: a table that cannot fail would show nothing."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tools import proofs

TABLE = """\
[[section]]
title = "First"

[section.row.TC-901]
priority = "P0"
holds = "One thing | another."

[section.row.TC-902]
priority = "P1"
holds = "A second thing."
"""
PROVEN = '''\
"""A module."""

import pytest


def test_one() -> None:
    """TC-901: so it is."""
    assert True


async def test_two() -> None:
    """Contract, TC-902."""
    assert True
'''


class Project:
    """A project of one table and one file of tests."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.table = proofs.Table("tests/rows.toml", "docs/page.md", r"\bTC-\d{3}\b", "# Page\n")
        (root / "docs").mkdir()
        self.write(TABLE, PROVEN)

    def write(self, table: str, tests: str, folder: str = "flows") -> None:
        (self.root / "tests" / folder).mkdir(parents=True, exist_ok=True)
        (self.root / "tests" / "rows.toml").write_text(table)
        (self.root / "tests" / folder / "test_it.py").write_text(tests)
        proofs.docstrings.cache_clear()

    def faults(self) -> list[str]:
        return proofs.faults(self.table)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Project]:
    monkeypatch.setattr(proofs, "ROOT", tmp_path)
    monkeypatch.setattr(proofs, "TESTS", tmp_path / "tests")
    made = Project(tmp_path)
    monkeypatch.setattr(proofs, "TABLES", (made.table,))
    yield made
    proofs.docstrings.cache_clear()


def test_a_table_whose_rows_all_have_tests_is_whole(project: Project) -> None:
    """Ours: also by coroutines."""
    assert project.faults() == []


def test_a_row_without_a_test_is_a_fault(project: Project) -> None:
    """Ours: the first direction."""
    project.write(TABLE, PROVEN.replace("TC-902", "nothing"))
    (fault,) = project.faults()
    assert fault.startswith("TC-902: no test names it")


def test_a_reason_takes_the_place_of_a_test_but_never_stands_beside_one(project: Project) -> None:
    """Ours: a reason that is no longer true must go."""
    project.write(TABLE + 'reason = "It cannot be."\n', PROVEN.replace("TC-902", "nothing"))
    assert project.faults() == []
    project.write(TABLE + 'reason = "It cannot be."\n', PROVEN)
    (fault,) = project.faults()
    assert "take its reason out" in fault


def test_a_docstring_with_an_unknown_row_is_a_fault_wherever_it_stands(project: Project) -> None:
    """Ours: the other direction; a helper's docstring shows nothing, but may not be wrong either."""
    project.write(TABLE, PROVEN.replace("A module.", "TC-999.") + 'def helper():\n    """TC-998."""\n')
    assert [fault.split()[-3] for fault in project.faults()] == ["TC-999", "TC-998"]


@pytest.mark.parametrize("name", ["helper", "_test_two"])
def test_what_is_no_test_shows_nothing(project: Project, name: str) -> None:
    """Ours: only what pytest runs counts."""
    project.write(TABLE, PROVEN.replace("test_two", name))
    assert project.faults()[0].startswith("TC-902: no test")


def test_a_row_that_only_units_show_needs_a_word_about_it(project: Project) -> None:
    """Ours: attacks are carried out against something that runs."""
    project.write("", "", "flows")
    project.write(TABLE, PROVEN, "unit")
    assert [fault[:6] for fault in project.faults()] == ["TC-901", "TC-902"]
    project.write(TABLE.replace("priority", 'note = "Why."\npriority'), PROVEN, "unit")
    assert project.faults() == []


def test_below_p1_a_row_may_do_without(project: Project) -> None:
    """Ours."""
    project.write(TABLE.replace('"P1"', '"P2"'), PROVEN.replace("TC-902", "nothing"))
    assert project.faults() == []


@pytest.mark.parametrize(
    "tests",
    [
        PROVEN.replace("def test_one", "@pytest.mark.skipif(True)\ndef test_one").replace("async @", "@"),
        PROVEN.replace("    assert True\n\n\nasync", "    pytest.skip('no')\n\n\nasync"),
        PROVEN.replace("import pytest\n", "import pytest\n\npytestmark = pytest.mark.skip\n"),
    ],
    ids=["marked", "in the test", "the whole file"],
)
def test_a_test_that_can_be_skipped_is_named_so(project: Project, tests: str) -> None:
    """Ours: what does not run shows nothing."""
    project.write(TABLE, tests)
    assert "shown. `test_one` can be skipped." in proofs.page(project.table)


def test_the_page_is_written_and_then_up_to_date(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    """Ours: written once, checked for ever."""
    assert proofs.main(["--check"]) == 1
    assert "docs/page.md is not up to date" in capsys.readouterr().err
    assert proofs.main([]) == 0
    assert proofs.main(["--check"]) == 0
    page = (project.root / "docs" / "page.md").read_text()
    assert "2 rows; every one has a test." in page
    assert (
        "| TC-901 P0 | One thing \\| another. | `tests/flows/test_it.py::test_one` (running gateway) | shown. |" in page
    )


def test_the_id_of_a_row_is_one_that_a_docstring_can_name(project: Project) -> None:
    """Ours: a row whose id is misspelt could never be shown."""
    project.write(TABLE.replace("TC-902", "TC-92"), PROVEN.replace("TC-902", "nothing"))
    assert "TC-92: an id that no docstring can name" in project.faults()
