"""Whether a method's hyper-parameters are described well enough to be searched and recorded."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

from hooktune.contract.fields import accepts
from hooktune.contract.search_space import refused_draws
from hooktune.testing.report import Fault

if TYPE_CHECKING:
    from pydantic import BaseModel

_BOUNDS: Final = {"minimum": -1, "exclusiveMinimum": 0, "maximum": 1, "exclusiveMaximum": 0}
"""The bounds of a JSON schema, and what leads from each to a number that it forbids."""


def check_params(space: "type[BaseModel]") -> None:
    """Check the class that `hyper_parameters` returned.

    Raises:
        Fault: A default or something worth searching is out of bounds, a number has no bounds or
            they are not minded, a field is not described, or the values do not survive JSON.
    """
    problems = list(_problems(space))
    if problems:
        raise Fault(" ".join(problems))


def _problems(space: "type[BaseModel]") -> Iterator[str]:
    from pydantic import ValidationError

    defaults = space()
    try:
        again = space.model_validate_json(defaults.model_dump_json())
        properties = space.model_json_schema()["properties"] if space.model_fields else {}
    except ValidationError as error:
        problem = error.errors()[0]
        where = ".".join(map(str, problem["loc"])) or "together"
        yield (
            f"the defaults of {space.__name__} break its own rules ({where}: {problem['msg']}). "
            "Give a default within the bounds."
        )
        return
    except Exception as error:
        yield (
            f"the hyper-parameters of {space.__name__} cannot be written as JSON "
            f"({type(error).__name__}: {error}). Use numbers, texts, booleans, None and lists of "
            "them, since they are recorded on the run and read again."
        )
        return
    if again != defaults:
        yield (
            f"the values of {space.__name__} change when they are written as JSON and read again. "
            "Use types that pydantic reads back as they were."
        )
    for name, property_ in properties.items():
        yield from _problems_of_property(space, name, property_)
    for name, info in space.model_fields.items():
        if not info.description:
            yield f"{name!r} has no description; tell what it does: Field(..., description=...)."
    yield from refused_draws(space)


def _problems_of_property(
    space: "type[BaseModel]", name: str, property_: dict[str, Any]
) -> Iterator[str]:
    numeric = [
        kind
        for kind in property_.get("anyOf", [property_])
        if kind.get("type") in ("integer", "number") and not kind.keys() & {"const", "enum"}
    ]
    for kind in numeric:
        bounds = _BOUNDS.keys() & kind.keys()
        if not bounds:
            yield (
                f"the number {name!r} has no bounds, so that a slip of the keyboard ruins a run; "
                "give it those that make sense: Field(..., gt=0, le=1)."
            )
        for bound in sorted(bounds) if len(numeric) == 1 else ():
            wrong = kind[bound] + _BOUNDS[bound]
            if accepts(space, name, wrong):
                yield (
                    f"{name!r} takes {wrong!r}, which is out of its bounds. Let a validator refuse "
                    "a value and never replace it."
                )
