"""What a mutant is, and which ones a file has."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Mutant:
    """One change to one file."""

    file: str
    """Relative to the project."""

    where: str
    """The function, by its qualified name, or the named SQL statement; empty for the module itself."""

    line: int
    what: str
    """The change in words that stay the same when lines move: what was there, and what is there instead."""

    text: str
    """The whole file, changed."""

    @property
    def key(self) -> tuple[str, str, str]:
        """What a list of equivalent mutants names it by."""
        return self.file, self.where, self.what

    @property
    def digest(self) -> str:
        return hashlib.sha256(f"{self.file}\n{self.text}".encode()).hexdigest()


def of_file(root: Path, file: str, only: tuple[str, ...] = ()) -> list[Mutant]:
    """Every mutant of a file in the order of its lines; `only` keeps those whose `where` begins so."""
    from tests.mutation import python_mutants, sql_mutants  # noqa: PLC0415 - they make what is defined here

    maker = sql_mutants.mutants if file.endswith(".sql") else python_mutants.mutants
    found = sorted(maker(file, (root / file).read_text()), key=lambda mutant: mutant.line)
    return [mutant for mutant in _numbered(found) if not only or mutant.where.startswith(only)]


def _numbered(found: Iterable[Mutant]) -> Iterator[Mutant]:
    """Each text once, and of equal changes in one place each with a number."""
    texts: set[str] = set()
    seen: Counter[tuple[str, str, str]] = Counter()
    for mutant in found:
        if mutant.text in texts:
            continue
        texts.add(mutant.text)
        seen[mutant.key] += 1
        number = seen[mutant.key]
        yield mutant if number == 1 else replace(mutant, what=f"{mutant.what} (no. {number})")
