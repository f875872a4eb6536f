"""Durations of limits and budgets."""

import pytest

from bifrost.governance.durations import milliseconds
from bifrost.governance.errors import InvalidLimit

DAY = 86_400_000


@pytest.mark.parametrize(
    ("text", "long"),
    [
        ("30s", 30_000),
        ("1m", 60_000),
        ("1h", 3_600_000),
        ("1d", DAY),
        ("2w", 14 * DAY),
        ("1M", 30 * DAY),
        ("1Y", 365 * DAY),
        ("10Y", 3_650 * DAY),
    ],
)
def test_a_duration_is_a_number_and_a_unit(text: str, long: int) -> None:
    """Contract §9: `reset_duration`; `m` is a minute and `M` a month."""
    assert milliseconds(text, param="x") == long


@pytest.mark.parametrize(
    "text",
    [
        "",
        "1",
        "m",
        "0m",
        "-1m",
        "1.5h",
        "1 m",
        "1m ",
        "1D",
        "1H",
        "60",
        "01m",
        "1m\n",
        "1000000s",
        "11Y",
        "\u0661m",
        "1mm",
    ],
)
def test_anything_else_is_refused_and_the_member_is_named(text: str) -> None:
    """Contract §2: `error.param`."""
    with pytest.raises(InvalidLimit) as refused:
        milliseconds(text, param="rate_limit.request_reset_duration")
    assert refused.value.param == "rate_limit.request_reset_duration"
