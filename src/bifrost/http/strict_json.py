"""JSON with one reading only: no duplicate keys, no NaN, bounded depth and numbers, real Unicode."""

import json
import math
from typing import Any

from bifrost.base.errors import Invalid

MAX_DEPTH = 16
MAX_DIGITS = 32


def loads(raw: bytes) -> Any:
    """Raises Invalid with a sentence on what is wrong."""
    try:
        value = _decoder.decode(raw.decode())
    except UnicodeDecodeError as error:
        raise Invalid("The body is not UTF-8.") from error
    except RecursionError as error:
        raise Invalid(f"The JSON is nested deeper than {MAX_DEPTH} levels.") from error
    except ValueError as error:
        raise Invalid("The body is not valid JSON.") from error
    # without escapes there is neither, and with so few brackets no depth: most bodies need not be walked through
    if b"\\u" in raw or raw.count(b"{") + raw.count(b"[") > MAX_DEPTH:
        _check(value, MAX_DEPTH)
    return value


def _check(value: object, depth: int) -> None:
    if depth < 0:
        raise Invalid(f"The JSON is nested deeper than {MAX_DEPTH} levels.")
    if isinstance(value, str):
        _check_text(value)
    elif isinstance(value, dict):
        for name, member in value.items():
            _check_text(name)
            _check(member, depth - 1)
    elif isinstance(value, list):
        for member in value:
            _check(member, depth - 1)


def _check_text(text: str) -> None:
    try:
        is_text = b"\x00" not in text.encode()
    except UnicodeEncodeError:
        is_text = False
    if not is_text:
        raise Invalid("The JSON contains a NUL or half of a surrogate pair.")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise Invalid("The JSON contains the same member twice.")
    return members


def _no_constant(_name: str) -> None:
    raise Invalid("The JSON contains a number that is none: NaN or Infinity.")


def _bounded_int(digits: str) -> int:
    return int(_bounded(digits))


def _bounded_float(digits: str) -> float:
    number = float(_bounded(digits))
    if math.isinf(number):
        raise Invalid("The JSON contains a number that is too large.")
    return number


def _bounded(digits: str) -> str:
    if len(digits) > MAX_DIGITS:
        raise Invalid(f"The JSON contains a number of more than {MAX_DIGITS} digits.")
    return digits


_decoder = json.JSONDecoder(
    object_pairs_hook=_unique, parse_constant=_no_constant, parse_int=_bounded_int, parse_float=_bounded_float
)
