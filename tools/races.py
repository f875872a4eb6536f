"""Runs the races of tests/wire/_races.py and writes docs/races.md: how often how many won, and who it was.

python tools/races.py               200 rounds of each race on both databases; some minutes
python tools/races.py --rounds 20   fewer
"""

import argparse
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from tests.support.databases import fresh_postgresql  # noqa: E402 - a tool of the tests, not of the product
from tests.wire._bifrost import Installation  # noqa: E402
from tests.wire._races import AT_ONCE, RACES, Race  # noqa: E402

PAGE = ROOT / "docs" / "races.md"
DATABASES = ("SQLite", "PostgreSQL")
WORKERS = 2
HEAD = f"""\
# Races

<!-- written by tools/races.py -->

{AT_ONCE} requests on connections of their own, all but the last byte of each sent beforehand and the last bytes at one
moment, to a server of {WORKERS} worker processes. Each round also checks every status, and what the tokens are worth
afterwards (`tests/wire/_races.py`). `tests/wire/test_races.py` runs 20 rounds of each.

| race | database | who may win | rounds by number of winners | winner by the order of sending |
|---|---|---|---|---|
"""


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=200)
    rounds = parser.parse_args(arguments).rounds
    lines = [_line(race, name, rounds) for race in RACES for name in DATABASES]
    PAGE.write_text(HEAD + "".join(lines))
    return 0


def _line(race: Race, name: str, rounds: int) -> str:
    numbers: Counter[int] = Counter()
    places: Counter[str] = Counter()
    with _installation(name) as installation, installation.running():
        for _ in range(rounds):
            winners = race.run(installation)
            numbers[len(winners)] += 1
            if race.has_one_winner:
                places[_place(winners[0])] += 1
    sys.stderr.write(f"{race.name} on {name}: {dict(numbers)}\n")
    winners_of = ", ".join(f"{number} won in {count}" for number, count in sorted(numbers.items()))
    placed = ", ".join(f"{place}: {count}" for place, count in sorted(places.items()))
    return f"| {race.what} | {name} | {race.wins} | {winners_of} | {placed} |\n"


def _place(winner: int) -> str:
    """In which tenth of those who were sent the winner was."""
    tenth = winner * 10 // AT_ONCE
    return f"{tenth * AT_ONCE // 10 + 1:02} to {(tenth + 1) * AT_ONCE // 10:02}"


@contextmanager
def _installation(name: str) -> Iterator[Installation]:
    with tempfile.TemporaryDirectory(prefix="bifrost-races-") as directory:
        url = f"sqlite:///{directory}/bifrost.db" if name == "SQLite" else fresh_postgresql(_cluster())
        sections = {"server": {"workers": WORKERS, "log_level": "error"}}
        yield Installation(Path(directory), url, sections)


def _cluster() -> Path:
    path = Path(tempfile.gettempdir()) / "bifrost-races-postgresql"
    path.mkdir(exist_ok=True)
    return path


if __name__ == "__main__":
    sys.exit(main())
