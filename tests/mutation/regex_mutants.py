"""A regular expression with one thing changed: a bound, a repetition, a member of a class, an alternative, a look ahead."""

import re
from collections.abc import Iterator

_CLASS = re.compile(r"\[\^?\]?(?:\\.|[^\]\\])*\]", re.DOTALL)
_MEMBER = re.compile(r"(?:\\.|[^\\])(?:-(?:\\.|[^\]\\]))?", re.DOTALL)
_BOUNDS = re.compile(r"\{(\d+)(?:,(\d*))?\}")
_ESCAPE = re.compile(r"\\.", re.DOTALL)


def changed(pattern: str) -> Iterator[str]:
    """Only what is a regular expression again, and another one."""
    for other in {**dict.fromkeys(_repetitions(pattern)), **dict.fromkeys(_alternatives(pattern))}:
        if other != pattern and _compiles(other):
            yield other


def _compiles(pattern: str) -> bool:
    try:
        re.compile(pattern)
    except re.error:
        return False
    return True


def _repetitions(pattern: str) -> Iterator[str]:
    place = 0
    while place < len(pattern):
        before, rest = pattern[:place], pattern[place:]
        length = 1
        if escape := _ESCAPE.match(pattern, place):
            length = len(escape[0])
        elif found := _CLASS.match(pattern, place):
            length = len(found[0])
            for other in _classes(found[0]):
                yield before + other + pattern[place + length :]
        elif bounds := _BOUNDS.match(pattern, place):
            length = len(bounds[0])
            for other in _bounds(bounds):
                yield before + other + pattern[place + length :]
        elif rest.startswith(("(?!", "(?=")):
            yield f"{before}(?{'=' if rest[2] == '!' else '!'}{rest[3:]}"
            length = 3
        elif rest.startswith("(?"):
            length = 2
        elif rest[0] in "*+":
            yield before + ("+" if rest[0] == "*" else "*") + rest[1:]
        elif rest[0] == "?":
            yield before + rest[1:]
        place += length


def _bounds(found: re.Match[str]) -> Iterator[str]:
    low, high = int(found[1]), found[2]
    if high is None:
        yield from (f"{{{low + 1}}}", f"{{{max(low - 1, 0)}}}")
    else:
        yield from (f"{{{low + 1},{high}}}", f"{{{max(low - 1, 0)},{high}}}")
        if high:
            yield from (f"{{{low},{int(high) + 1}}}", f"{{{low},{int(high) - 1}}}")


def _classes(text: str) -> Iterator[str]:
    head = "[^" if text.startswith("[^") else "["
    body = text[len(head) : -1]
    yield ("[" if head == "[^" else "[^") + body + "]"
    members = [found.span() for found in _MEMBER.finditer(body)]
    if len(members) > 1:
        for start, end in members:
            yield f"{head}{body[:start]}{body[end:]}]"


def _alternatives(pattern: str) -> Iterator[str]:
    """Without one of them, at every depth."""
    open_groups, place = [[0]], 0
    while place < len(pattern):
        skipped = _ESCAPE.match(pattern, place) or _CLASS.match(pattern, place)
        if skipped:
            place = skipped.end()
            continue
        if pattern[place] == "(":
            group = re.compile(r"\((?:\?(?:P<\w+>|[:=!]|<[=!]))?").match(pattern, place)
            open_groups.append([group.end() if group else place + 1])
        elif pattern[place] == "|":
            open_groups[-1].append(place + 1)
        elif pattern[place] == ")":
            yield from _without_one(pattern, open_groups.pop(), place)
        place += 1
    yield from _without_one(pattern, open_groups[0], len(pattern))


def _without_one(pattern: str, starts: list[int], end: int) -> Iterator[str]:
    ends = [start - 1 for start in starts[1:]] + [end]
    parts = [pattern[start:stop] for start, stop in zip(starts, ends, strict=True)]
    if len(parts) > 1:
        for number in range(len(parts)):
            yield pattern[: starts[0]] + "|".join(parts[:number] + parts[number + 1 :]) + pattern[end:]
