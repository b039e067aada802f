"""What tags hold, read back: anybody who may write to a store can have edited them."""

from typing import Any, Final

from pydantic_core import from_json

_MOST_DIGITS: Final = 18


def json_object(text: str | None) -> dict[str, Any] | None:
    """Read a JSON object; an empty one where there is no text, None where it is something else."""
    try:
        value = from_json(text or "{}")  # unlike json.loads, it takes no depth for an error of ours
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def metrics_in(text: str | None) -> dict[str, float] | None:
    """Read metrics; none where there is no text, None where it holds something else."""
    found = json_object(text)
    if found is None:
        return None
    try:
        return {name: _number(value) for name, value in found.items()}
    except (TypeError, OverflowError):
        return None


def whole_number(text: str | None) -> int | None:
    """Read a whole number that is not negative; None where there is none."""
    return int(text) if text and text.isdecimal() and len(text) <= _MOST_DIGITS else None


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError
    return float(value)
