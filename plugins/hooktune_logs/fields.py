"""The fields of JSON objects, each checked when it is read."""

from typing import Any

from hooktune import MAX_NAME_LENGTH, MAX_POSITION, parse_time, shortened
from hooktune_logs.refinement import refinement


def text_in(stated: dict[str, Any], *fields: str) -> str | None:
    """Return the first of some fields that holds a text or a whole number; None where none does.

    Raises:
        ValueError: One of them holds something else, or too much.
    """
    for field in fields:
        value = stated.get(field)
        if value is None or value == "":
            continue
        if (
            isinstance(value, bool)
            or not isinstance(value, str | int)
            or len(str(value)) > MAX_NAME_LENGTH
        ):
            raise ValueError(
                f"the field {field!r} should be a text of {MAX_NAME_LENGTH} characters at most, "
                f"and is {shortened(value)}."
            )
        return str(value)
    return None


def object_in(stated: dict[str, Any], field: str) -> dict[str, Any]:
    """Return a field that holds an object; an empty one where it is missing.

    Raises:
        ValueError: It holds something else.
    """
    value = stated.get(field)
    if value is not None and not isinstance(value, dict):
        raise ValueError(f"the field {field!r} should be an object, and is {shortened(value)}.")
    return value or {}


def refinement_in(stated: dict[str, Any], *fields: str) -> str | None:
    """Return by what results were sorted or filtered, if one of some fields states it.

    Raises:
        ValueError: It holds something that cannot say it.
    """
    for field in fields:
        try:
            found = refinement(stated.get(field))
        except ValueError:
            raise ValueError(
                f"the field {field!r} should be a text or a list, and is "
                f"{shortened(stated[field])}."
            ) from None
        if found is not None:
            return found
    return None


def list_in(stated: dict[str, Any], field: str) -> list[Any]:
    """Return a field that holds a list; an empty one where it is missing.

    Raises:
        ValueError: It holds something else.
    """
    value = stated.get(field)
    if value is not None and not isinstance(value, list):
        raise ValueError(f"the field {field!r} should be a list, and is {shortened(value)}.")
    return value or []


def item_in(stated: Any, names: tuple[str, ...], position: str) -> tuple[str, int | None]:
    """Return an item of a list, and its position.

    Args:
        stated: The object that describes it.
        names: The fields that may hold its name.
        position: The field that may hold its position.

    Raises:
        ValueError: It has no name, or its position is none.
    """
    name = text_in(stated, *names) if isinstance(stated, dict) else None
    if name is None:
        raise ValueError(f"an item has no {names[0]!r}, and is {shortened(stated)}.")
    return name, position_of(stated.get(position), position)


def position_of(stated: Any, field: str) -> int | None:
    """Return a position, which may be stated as a text; None where it is blank or missing.

    Raises:
        ValueError: It is none.
    """
    return None if stated is None or stated == "" else whole_position(stated, field)


def whole_position(stated: Any, field: str) -> int:
    """Return a position that is stated as a whole number, or as the text of one.

    Raises:
        ValueError: It is none.
    """
    if isinstance(stated, str) and stated.isdecimal():
        stated = int(stated)
    if isinstance(stated, bool) or not isinstance(stated, int) or not 0 <= stated <= MAX_POSITION:
        raise ValueError(
            f"the field {field!r} should be a whole number from 0 to {MAX_POSITION}, and is "
            f"{shortened(stated)}."
        )
    return stated


def time_in(stated: dict[str, Any], *fields: str) -> int | None:
    """Return the time in the first of some fields that holds one, in microseconds since 1970.

    Raises:
        ValueError: It holds something else.
    """
    for field in fields:
        try:
            time, _ = parse_time(stated.get(field))
        except (ValueError, TypeError, OverflowError):
            raise ValueError(
                f"the field {field!r} should be a time, and is {shortened(stated[field])}."
            ) from None
        if time is not None:
            return time
    return None
