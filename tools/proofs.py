"""Writes the pages that say which test shows what: of attacks, of failures of the field, of what MCP and OAuth ask.

docs/security-coverage.md, docs/field-coverage.md, docs/mcp-coverage.md.

python tools/proofs.py            write the pages
python tools/proofs.py --check    change nothing; exit 1 when a page is not what would be written

A table is a TOML file of rows in sections:

    [[section]]
    title = "Redirect URIs"

    [section.row.TC-001]
    priority = "P0"                 # P0 and P1 (also without this line) need a test; anything lower may have one
    holds = "What must hold, in one sentence."
    note = "What a reader should know: a rule that was decided otherwise, or why a unit test is enough."
    reason = "Why there is no test; only in a row without one."

A test shows a row by naming its id in its docstring. That is looked up in both directions, and exit 1 means too that a
row has no test, or that a docstring names a row that does not exist.
"""

import argparse
import ast
import re
import sys
import tomllib
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parent.parent
TESTS = ROOT / "tests"
NOTE = "<!-- Written by tools/proofs.py from {data} and the docstrings of the tests; change those. -->\n"
NEEDS_A_TEST = ("P0", "P1")
HOW = {
    "browser": "in Chromium",
    "wire": "over the wire",
    "flows": "running gateway",
    "contract": "both databases",
    "unit": "unit",
}
"""What a test of each folder runs against, the nearest to a user first."""


@dataclass(frozen=True, slots=True)
class Table:
    """A list of what must hold, how its rows are named in docstrings, and the page that is made of it."""

    data: str
    page: str
    row_id: str
    introduction: str


TABLES = (
    Table(
        data="tests/coverage/security.toml",
        page="docs/security-coverage.md",
        row_id=r"\bTC-\d{3}\b",
        introduction="""\
# Attacks and the tests that show they fail

Every attack and fault that this project holds itself to, and the tests that carry it out. P0 must hold in every
version, P1 in every release, P2 is looked at before one. What is defended and how is in
[SECURITY.md](../SECURITY.md).
""",
    ),
    Table(
        data="tests/coverage/field.toml",
        page="docs/field-coverage.md",
        row_id=r"\bR\d{1,2}\b",
        introduction="""\
# Failures of the field and the tests that show they do not happen here

What went wrong for people who used other gateways, authorization servers and clients of this kind, and the tests that
show what happens here.
""",
    ),
    Table(
        data="tests/coverage/mcp.toml",
        page="docs/mcp-coverage.md",
        row_id=r"\b(?:A|RS|G|T|V|X)\d{1,2}\b",
        introduction="""\
# What MCP and OAuth ask, and the tests that show it

What the revisions of MCP, and the specifications that they stand on, ask of an authorization server, of a protected MCP
server and of a gateway, each in one sentence, and the tests that show it. Where this gateway does something else, the
last column says what and why.
""",
    ),
)
READING = """
A row that is *shown* names the tests that do it; all of them run with `make test`, and none is skipped unless its
row says so. After each is what it runs against: a browser, a gateway in its own process over the wire, a running
gateway in the test's process, a store on both databases, or a unit alone.
"""


@dataclass(frozen=True, slots=True)
class Row:
    id: str
    section: str
    holds: str
    priority: str = "P0"
    note: str = ""
    reason: str = ""

    @property
    def needs_a_test(self) -> bool:
        return self.priority in NEEDS_A_TEST and not self.reason


@dataclass(frozen=True, slots=True)
class Docstring:
    """A docstring below tests/; `test` is false for those of helpers and modules, which show nothing."""

    path: str
    name: str
    text: str
    test: bool
    skipped: bool

    @property
    def how(self) -> str:
        return HOW.get(self.path.split("/")[1], "unit")

    def __str__(self) -> str:
        return f"{self.path}::{self.name}"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Write the pages of coverage below docs/.")
    parser.add_argument("--check", action="store_true", help="change nothing, and exit 1 if anything is not right")
    chosen = parser.parse_args(arguments)
    found = [fault for table in tables() for fault in faults(table)]
    for table in tables():
        path, text = ROOT / table.page, page(table)
        if path.exists() and path.read_text() == text:
            continue
        if chosen.check:
            found.append(f"{table.page} is not up to date; run: python tools/proofs.py")
        else:
            path.write_text(text)
    sys.stderr.writelines(f"{fault}\n" for fault in found)
    return 1 if found else 0


def tables() -> tuple[Table, ...]:
    return tuple(table for table in TABLES if (ROOT / table.data).exists())


def faults(table: Table) -> list[str]:
    """Everything about a table that is not true: in words, for whoever has to put it right."""
    known, shown = {row.id: row for row in rows(table)}, proofs(table)
    unknown = [
        f"{docstring}: there is no row {name} in {table.data}"
        for docstring in docstrings()
        for name in re.findall(table.row_id, docstring.text)
        if name not in known
    ]
    misspelt = [f"{name}: an id that no docstring can name" for name in known if not re.fullmatch(table.row_id, name)]
    return unknown + misspelt + [fault for row in known.values() for fault in _faults(row, shown[row.id])]


def _faults(row: Row, tests: Sequence[Docstring]) -> Iterator[str]:
    if row.needs_a_test and not tests:
        yield f"{row.id}: no test names it in its docstring, and no reason is given"
    if row.reason and tests:
        yield f"{row.id}: has a test ({tests[0]}); take its reason out"
    if tests and not row.note and all(test.how == "unit" for test in tests):
        yield f"{row.id}: only unit tests show it; show it in a running gateway, or note why that is enough"


def rows(table: Table) -> Iterator[Row]:
    """The rows of a table in the order of its file. Raises TypeError for a member that a row does not have."""
    for section in tomllib.loads((ROOT / table.data).read_text())["section"]:
        for name, members in section["row"].items():
            yield Row(id=name, section=section["title"], **members)


def proofs(table: Table) -> Mapping[str, list[Docstring]]:
    """For each row the tests that name it, the nearest to a user first."""
    order, shown = list(HOW.values()), defaultdict(list)
    for docstring in sorted(docstrings(), key=lambda one: (order.index(one.how), str(one))):
        for name in dict.fromkeys(re.findall(table.row_id, docstring.text)):
            if docstring.test:
                shown[name].append(docstring)
    return shown


@cache
def docstrings() -> tuple[Docstring, ...]:
    return tuple(one for path in sorted(TESTS.rglob("*.py")) for one in _docstrings(path))


def _docstrings(path: Path) -> Iterator[Docstring]:
    tree, relative = ast.parse(path.read_text()), str(path.relative_to(ROOT))
    whole = _says_skip(tree.body)
    for node in ast.walk(tree):
        if not isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        name, decorators = getattr(node, "name", ""), getattr(node, "decorator_list", [])
        yield Docstring(
            path=relative,
            name=name,
            text=ast.get_docstring(node) or "",
            test=name.startswith("test_") and path.name.startswith("test_"),
            skipped=whole or _says_skip(decorators) or (bool(name) and _says_skip(node.body)),
        )


def _says_skip(parts: Sequence[ast.AST]) -> bool:
    """Whether one of them is, or marks with, pytest's way not to run a test; functions inside are not looked into."""
    outside = [part for part in parts if not isinstance(part, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)]
    names = {node.attr for part in outside for node in ast.walk(part) if isinstance(node, ast.Attribute)}
    return bool(names & {"skip", "skipif", "xfail", "importorskip"})


# ---- the page -------------------------------------------------------------------------------------------------------


def _without(number: int) -> str:
    if number == 0:
        return "every one has a test"
    return "1 has no test and says why" if number == 1 else f"{number} have no test and say why"


def page(table: Table) -> str:
    listed, shown = list(rows(table)), proofs(table)
    without = sum(not shown[row.id] for row in listed)
    parts = [NOTE.format(data=table.data), table.introduction, READING]
    parts.append(f"\n{len(listed)} rows; {_without(without)}.\n")
    section = ""
    for row in listed:
        if row.section != section:
            section = row.section
            parts.append(f"\n## {section}\n\n| row | what must hold | shown by | result |\n| --- | --- | --- | --- |\n")
        parts.append(_line(row, shown[row.id]))
    return "".join(parts)


def _line(row: Row, tests: Sequence[Docstring]) -> str:
    shown = "<br>".join(f"`{test}` ({test.how})" for test in tests)
    cells = (f"{row.id} {row.priority}", row.holds, shown or "-", _result(row, tests))
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |\n"


def _result(row: Row, tests: Sequence[Docstring]) -> str:
    skipped = [f"`{test.name}` can be skipped." for test in tests if test.skipped]
    verdict = "shown." if tests else "no test."
    return " ".join([verdict, *skipped, *filter(None, (row.note, row.reason))])


if __name__ == "__main__":
    sys.exit(main())
