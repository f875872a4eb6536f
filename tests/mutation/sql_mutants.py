"""Named SQL statements with one condition, one bound or one assignment changed."""

import re
from collections.abc import Iterator

from tests.mutation.mutants import Mutant

_STATEMENT = re.compile(r"^-- name: (\w+)[$^!]*\n((?:(?!^-- name:).*\n?)*)", re.MULTILINE)
_BEGINS = re.compile(r"\b(?:WHERE|AND|OR|ON(?! CONFLICT)|WHEN)\s+|\((?!SELECT\b)", re.IGNORECASE)
_ENDS = re.compile(
    r"(?<![\w:])(?:AND|OR|THEN|RETURNING|ORDER|LIMIT|ON|UNION|GROUP|WHERE|LEFT|JOIN|SET|ELSE|END)\b|;", re.IGNORECASE
)
_IS_CONDITION = re.compile(r"=|<|>|\bIS\b|\bEXISTS\b|\bLIKE\b|\bIN\b|^NOT |^(?:\w+\.)?(?:is_\w+|pending|disabled)$")
_BOUND = re.compile(r"(?<![<>])(<=|>=|<|>)(?![<>=])")
_OTHER_BOUND = {"<": "<=", "<=": "<", ">": ">=", ">=": ">"}
_ASSIGNED = re.compile(r"(?:\bSET|,)\s+((\w+)\s*=\s*)", re.IGNORECASE)
_ONCE = re.compile(r"ON CONFLICT \((\w+)\) DO (NOTHING)")
_ADDED = re.compile(r"([+-]) (1|:\w+)\b")


def mutants(file: str, text: str) -> Iterator[Mutant]:
    for statement in _STATEMENT.finditer(text):
        code = re.sub(r"--.*", lambda found: " " * len(found[0]), statement[2])  # comments, with every place kept
        for start, end, new in {**dict.fromkeys(_changes(code))}:
            old = " ".join(code[start:end].split())
            at = statement.start(2)
            line = text.count("\n", 0, at + start) + 1
            changed = text[: at + start] + new + text[at + end :]
            yield Mutant(file, statement[1], line, f"`{old}` becomes `{new}`", changed)


Change = tuple[int, int, str]


def _changes(code: str) -> Iterator[Change]:
    for start, end in _conditions(code):
        yield start, end, "TRUE"
        yield start, end, "FALSE"
        for bound in _BOUND.finditer(code, start, end):
            if "SELECT" not in code[start:end]:
                yield start, end, f"{code[start : bound.start()]}{_OTHER_BOUND[bound[1]]}{code[bound.end() : end]}"
    yield from _assignments(code)
    for once in _ONCE.finditer(code):  # what comes a second time is taken as well
        yield once.start(2), once.end(2), f"UPDATE SET {once[1]} = excluded.{once[1]}"
    for added in _ADDED.finditer(code):
        yield added.start(), added.end(), f"{added[1]} 0"


def _conditions(code: str) -> Iterator[tuple[int, int]]:
    for begins in _BEGINS.finditer(code):
        start, end = begins.end(), _end(code, begins.end())
        while end > start and code[end - 1].isspace():
            end -= 1
        if _IS_CONDITION.search(code[start:end]) and not code[start:end].startswith("SELECT"):
            yield start, end


def _end(code: str, place: int) -> int:
    """Where the condition that begins here ends: before the next word of the statement at the same depth."""
    depth = 0
    while place < len(code):
        if code[place] == "(":
            depth += 1
        elif code[place] == ")":
            depth -= 1
            if depth < 0:
                return place
        elif depth == 0 and _ENDS.match(code, place):
            return place
        place += 1
    return place


def _assignments(code: str) -> Iterator[Change]:
    """What an UPDATE sets stays as it was."""
    for assigned in _ASSIGNED.finditer(code):
        if not re.search(r"\bSET\b", code[: assigned.end(1)], re.IGNORECASE):
            continue
        start, end = assigned.end(1), _value_end(code, assigned.end(1))
        table = re.search(r"INSERT INTO (\w+)", code)
        column = f"{table[1]}.{assigned[2]}" if table else assigned[2]
        if code[start:end].strip() not in (column, assigned[2]):
            yield assigned.start(1), end, f"{assigned[2]} = {column}"


def _value_end(code: str, place: int) -> int:
    depth = 0
    cases = 0
    while place < len(code):
        if code[place] in "()":
            depth += 1 if code[place] == "(" else -1
        word = re.compile(r"\b(?:CASE|END|WHERE|RETURNING)\b|[,;]").match(code, place) if depth == 0 else None
        if word:
            if word[0] in ("CASE", "END"):
                cases += 1 if word[0] == "CASE" else -1
            elif cases == 0:
                break
        place += 1
    while code[place - 1].isspace():
        place -= 1
    return place
