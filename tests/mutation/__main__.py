"""Change one thing at a time in the code that decides, and see whether its tests notice.

    python -m tests.mutation [NAME ...]

Every mutant that no test noticed is printed; docs/mutation.md lists those that are left, each with the reason.
"""

import argparse
import ast
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

ROOT = Path(__file__).parents[2]
SECONDS = 240
"""For the tests of one mutant; a mutant that makes them hang is noticed."""


@dataclass(frozen=True)
class Subject:
    file: str
    tests: tuple[str, ...]


SUBJECTS = {
    "redirect_uri": Subject("src/bifrost/protocol/redirect_uri.py", ("tests/unit/protocol", "tests/fuzz")),
    "pkce": Subject("src/bifrost/protocol/pkce.py", ("tests/unit/protocol/test_pkce.py", "tests/fuzz")),
    "addresses": Subject("src/bifrost/http/addresses.py", ("tests/unit/http/test_addresses.py", "tests/fuzz")),
    "browser": Subject(
        "src/bifrost/authserver/browser.py",
        ("tests/unit/authserver/test_browser.py", "tests/flows/test_consent_cookies.py", "tests/flows/test_consent.py"),
    ),
    "sealed_clients": Subject(
        "src/bifrost/authserver/sealed_clients.py", ("tests/unit/authserver/test_sealed_clients.py", "tests/fuzz")
    ),
    "claims": Subject(
        "src/bifrost/storage/queries/authserver.sql",
        (
            "tests/contract/test_authserver_store.py",
            "tests/contract/test_authserver_store_limits.py",
            "tests/contract/test_authserver_store_races.py",
            "tests/flows/test_refresh_replays.py",
            "tests/flows/test_consent_lifecycle.py",
            "tests/flows/test_consent_lock.py",
        ),
    ),
}

_COMPARED: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
}
_CALLED = {"fullmatch": "match", "all": "any", "any": "all"}
_CONDITION = re.compile(r"(?:WHERE|AND)\s+([a-z_.]+ (?:IS (?:NOT )?NULL|[<>=]+ (?::\w+|\w+\.\w+|''|\w+)))")

Change = tuple[str, Callable[[], object], Callable[[], object]]
"""What it is, in words; how it is made, and taken back."""


@dataclass(frozen=True)
class Mutant:
    line: int
    what: str
    text: str
    """The whole file, mutated."""


def of_python(text: str) -> Iterator[Mutant]:
    tree = ast.parse(text)
    for node in ast.walk(tree):
        for what, change, undo in _changes(node):
            change()
            yield Mutant(getattr(node, "lineno", 0), what, ast.unparse(tree))
            undo()


def _changes(node: ast.AST) -> Iterator[Change]:
    if isinstance(node, ast.Compare):
        for place, found in enumerate(node.ops):
            other = _COMPARED[type(found)]()
            what = f"{type(found).__name__} becomes {type(other).__name__}"
            yield what, partial(node.ops.__setitem__, place, other), partial(node.ops.__setitem__, place, found)
    elif isinstance(node, ast.BoolOp):
        swapped = ast.Or() if isinstance(node.op, ast.And) else ast.And()
        yield _attribute(node, "op", swapped, f"{type(node.op).__name__} becomes {type(swapped).__name__}")
    elif isinstance(node, ast.Constant) and isinstance(node.value, int):
        value = not node.value if isinstance(node.value, bool) else node.value + 1
        yield _attribute(node, "value", value, f"{node.value} becomes {value}")
    elif isinstance(node, ast.If | ast.IfExp):
        yield _attribute(node, "test", ast.UnaryOp(ast.Not(), node.test), "the condition is turned round")
    elif isinstance(node, ast.Attribute) and node.attr in _CALLED:
        yield _attribute(node, "attr", _CALLED[node.attr], f"{node.attr} becomes {_CALLED[node.attr]}")


def _attribute(node: ast.AST, name: str, value: object, what: str) -> Change:
    return what, partial(setattr, node, name, value), partial(setattr, node, name, getattr(node, name))


def of_sql(text: str) -> Iterator[Mutant]:
    """Each condition of a statement that changes something is left out once."""
    for statement in re.finditer(r"^(?:UPDATE|DELETE|INSERT)[^;]*;", text, re.MULTILINE):
        for condition in _CONDITION.finditer(statement[0]):
            start, end = (statement.start() + place for place in condition.span(1))
            line = text.count("\n", 0, start) + 1
            yield Mutant(line, f"without {condition[1]}", f"{text[:start]}1 = 1{text[end:]}")


def survivors(subject: Subject, copy: Path) -> Iterator[Mutant]:
    original = (ROOT / subject.file).read_text()
    mutants = list(of_sql(original) if subject.file.endswith(".sql") else of_python(original))
    place = copy / Path(subject.file).relative_to("src")
    print(f"{subject.file}: {len(mutants)} mutants", flush=True)
    assert not _noticed(subject, copy), "its tests fail without any change"
    for mutant in mutants:
        place.write_text(mutant.text)
        if not _noticed(subject, copy):
            yield mutant
    place.write_text(original)


def _noticed(subject: Subject, copy: Path) -> bool:
    environment = {**os.environ, "PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:xdist", *subject.tests]
    try:
        ended = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, timeout=SECONDS, check=False)
    except subprocess.TimeoutExpired:
        return True
    return ended.returncode != 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of: {', '.join(SUBJECTS)} (default: all)")
    chosen = parser.parse_args().names or list(SUBJECTS)
    if unknown := set(chosen) - set(SUBJECTS):
        parser.error(f"no such subject: {', '.join(sorted(unknown))}")
    with tempfile.TemporaryDirectory() as directory:
        copy = Path(directory) / "src"
        shutil.copytree(ROOT / "src", copy)
        for name in chosen:
            left = 0
            for mutant in survivors(SUBJECTS[name], copy):
                left += 1
                print(f"  line {mutant.line}: {mutant.what}", flush=True)
            print(f"  {left} not noticed", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
