"""Anything in any order: what holds of codes, grants, tokens and accounts holds always.

`MODEL_EXAMPLES=500` looks for longer.
"""

import itertools
import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.flows._model import Model
from tests.support.databases import fresh_postgresql, fresh_sqlite
from tests.support.oauth_upstream import OAuthUpstream
from tests.support.servers import serving

EXAMPLES = int(os.environ.get("MODEL_EXAMPLES", "20"))
STEPS = 30
PHASES = [Phase.explicit, Phase.reuse, Phase.generate] + [Phase.shrink] * ("MODEL_SHRINK" in os.environ)


@pytest.mark.timeout(EXAMPLES * 30)
@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_no_order_of_events_breaks_what_is_promised(
    database: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """Contract §§5, 6, 8; R1, R2, R3: one code gives at most one grant, a grant has one living refresh token and is not
    lost without a reason, what ended opens nothing, and no account is used for anybody but its owner; with jumps of the
    clock, requests at once, and kills in the middle of each.
    """
    numbers = itertools.count()

    def fresh() -> str:
        if database == "sqlite":
            return fresh_sqlite(tmp_path / f"{next(numbers)}.db", request.getfixturevalue("sqlite_template"))
        directory, template = map(request.getfixturevalue, ("postgresql_directory", "postgresql_template"))
        return fresh_postgresql(directory, template)

    guarded = OAuthUpstream()
    with serving(guarded.app()) as origin:
        guarded.origin = origin
        machine = type(
            "Machine", (Model,), {"database_url": staticmethod(fresh), "directory": tmp_path, "guarded": guarded}
        )
        run_state_machine_as_test(
            machine,
            settings=settings(
                max_examples=EXAMPLES,
                stateful_step_count=STEPS,
                deadline=None,
                print_blob=True,
                phases=PHASES,
                report_multiple_bugs=False,
                suppress_health_check=list(HealthCheck),
            ),
        )
