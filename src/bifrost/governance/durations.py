"""Durations of limits and budgets, as the published API writes them: `30s`, `1m`, `1h`, `1d`, `1w`, `1M`, `1Y`."""

import re

from bifrost.base.clock import SECOND
from bifrost.governance.errors import InvalidLimit

_FORM = re.compile(r"([1-9][0-9]{0,5})([smhdwMY])")
_UNIT_SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 7 * 86_400, "M": 30 * 86_400, "Y": 365 * 86_400}
MAX_SECONDS = 10 * _UNIT_SECONDS["Y"]


def milliseconds(text: str, *, param: str) -> int:
    """How long it is; a month is 30 days and a year 365. Raises InvalidLimit, which names `param`."""
    match = _FORM.fullmatch(text)
    seconds = int(match[1]) * _UNIT_SECONDS[match[2]] if match else 0
    if not 0 < seconds <= MAX_SECONDS:
        raise InvalidLimit(
            f"{param} must be written like 30s, 1m, 1h, 1d, 1w, 1M or 1Y, at most ten years.", param=param
        )
    return seconds * SECOND
