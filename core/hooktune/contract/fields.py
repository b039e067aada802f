"""What people are told of a pydantic field: which values it takes, and why it refuses one."""

from collections.abc import Mapping
from typing import Any, Final

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

_BOUNDS: Final = {"gt": "above", "ge": "at least", "lt": "below", "le": "at most"}


def bounds_in_words(field: FieldInfo) -> str:
    """Return the bounds of a number, such as `above 0 and at most 1`; empty where it has none."""
    bounds = [
        f"{word} {bound if isinstance(bound, int) else f'{bound:g}'}"
        for attribute, word in _BOUNDS.items()
        for mark in field.metadata
        if (bound := getattr(mark, attribute, None)) is not None
    ]
    return " and ".join(bounds)


def allowed_in_words(field: FieldInfo) -> str:
    """Return the sentences that tell a field's bounds and its default."""
    bounds = bounds_in_words(field)
    allowed = f"Allowed: {bounds}. " if bounds else ""
    default = field.default
    if isinstance(default, tuple):
        default = ", ".join(map(str, default))
    elif not isinstance(default, int | float):
        default = str(default)
    return f"{allowed}Its default is {default!r}."


def reason_in_words(problem: Mapping[str, Any]) -> str:
    """Return why pydantic refuses a value, without a full stop.

    Args:
        problem: One of a `ValidationError`'s `errors()`.
    """
    message = str(problem["msg"]).removeprefix("Value error, ")
    return message.replace("Input should be", "it should be").rstrip(".")


def accepts(space: type[BaseModel], name: str, value: object) -> bool:
    """Tell whether a field takes a value, whatever the others would have to be beside it."""
    try:
        space.model_validate({name: value})
    except ValidationError as error:
        return all(problem["loc"][:1] != (name,) for problem in error.errors())
    return True
