"""What a cell of a table may hold, and as what it is read.

All raise a `ValueError`, or a `TypeError`, where it holds something else.
"""

import json
from typing import Any, Final

import numpy as np

from hooktune import MAX_NAME_LENGTH, MAX_POSITION, parse_time

_MOST_CLICKS: Final = 10_000
_FLOAT32_MAX: Final = 3.4028234e38
_TRUE: Final = frozenset({"true", "yes", "t", "y"})
_FALSE: Final = frozenset({"false", "no", "f", "n"})


def to_text(value: Any) -> str:
    """Return a name."""
    if isinstance(value, bool | float | bytes | list | dict):
        raise ValueError
    text = str(value)
    if not 0 < len(text) <= MAX_NAME_LENGTH:
        raise ValueError
    return text


def to_query(value: Any) -> str | None:
    """Return a query; None where it is blank."""
    if not isinstance(value, str | int) or isinstance(value, bool):
        raise ValueError
    return str(value).strip() or None


def to_position(value: Any) -> int:
    """Return a position, which is a whole number."""
    number = to_number(value)
    if not number.is_integer() or not 0 <= number <= MAX_POSITION:
        raise ValueError
    return int(number)


def to_clicks(value: Any) -> int:
    """Return how many clicks there were; true and false are one and none."""
    text = str(value).strip().casefold()
    if text in _TRUE or text in _FALSE:
        return int(text in _TRUE)
    number = to_number(value)
    if not number.is_integer() or not 0 <= number <= _MOST_CLICKS:
        raise ValueError
    return int(number)


def to_number(value: Any) -> float:
    """Return a number that a float32 holds."""
    if isinstance(value, bool | list | dict | bytes):
        raise ValueError
    number = float(value)
    if not np.isfinite(number) or abs(number) > _FLOAT32_MAX:
        raise ValueError
    return number


def to_time(value: Any) -> tuple[int | None, str]:
    """Return a time in microseconds since 1970, and the form in which it is stated."""
    return parse_time(value.isoformat() if hasattr(value, "isoformat") else value)


def to_list(value: Any) -> list[str]:
    """Return names, which may be stated as a list in JSON."""
    found = json.loads(value) if isinstance(value, str) else value
    if not isinstance(found, list):
        raise ValueError
    return [to_text(each) for each in found]
