"""Which files are mutated, and which tests must notice."""

import hashlib
import tomllib
from dataclasses import dataclass, field
from pathlib import Path

from tests.mutation.mutants import Mutant, of_file


@dataclass(frozen=True, slots=True)
class Subject:
    name: str
    file: str
    tests: tuple[str, ...]
    """Paths or node ids, the fastest first."""

    only: tuple[str, ...] = ()
    """Of the file only what is in these classes, functions or statements; empty for all of it."""

    without: str = field(default="postgresql")
    """Tests with this word in their id are left out: the SQL is the same text for both databases."""

    def mutants(self, root: Path) -> list[Mutant]:
        return of_file(root, self.file, self.only)

    def tests_digest(self, root: Path) -> str:
        """Changes when a test of the subject does, or what its tests stand on."""
        files = {root / test.partition("::")[0] for test in self.tests}
        texts = [path for given in files for path in (given.rglob("*.py") if given.is_dir() else (given,))]
        return hashlib.sha256(b"\0".join(path.read_bytes() for path in sorted(texts))).hexdigest()


def read(path: Path) -> dict[str, Subject]:
    """From a TOML file with a table for each subject."""
    return {
        name: Subject(name, entry["file"], tuple(entry["tests"]), tuple(entry.get("only", ())))
        for name, entry in tomllib.loads(path.read_text()).items()
    }
