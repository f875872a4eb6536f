"""Of many who do the same thing at the same moment, over two worker processes and on both databases.

`RACE_ROUNDS=200` runs the full number; `tools/races.py` writes what came out into docs/races.md.
"""

import os
from pathlib import Path

import pytest

from tests.wire._bifrost import Installation
from tests.wire._races import RACES, Race

pytestmark = pytest.mark.wire

ROUNDS = int(os.environ.get("RACE_ROUNDS", "20"))


@pytest.mark.parametrize("race", RACES, ids=lambda race: str(race.name))
def test_a_race_has_the_winners_that_are_promised(database_url: str, tmp_path: Path, race: Race) -> None:
    """TC-057, TC-035, TC-189, R1, R2, contract §§5, 6: every round, whoever of them it is."""
    installation = Installation(tmp_path, database_url, {"server": {"workers": 2, "log_level": "error"}})
    with installation.running():
        for _ in range(ROUNDS):
            assert len(race.run(installation)) in race.winners
