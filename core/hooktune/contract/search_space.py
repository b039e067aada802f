"""What of a class of hyper-parameters is worth searching, and the class as people read it."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args, get_origin

from hooktune.contract.fields import accepts, bounds_in_words

if TYPE_CHECKING:
    from pydantic import BaseModel
    from pydantic.fields import FieldInfo


@dataclass(frozen=True)
class SearchRange:
    """Marks a numeric hyper-parameter as worth searching between two bounds, both included.

    Put it into the field's annotation: `Annotated[float, SearchRange(1e-6, 1e-4, log=True)]`.

    Raises:
        ValueError: The bounds are not in order, not finite, or have no logarithm where that is
            drawn.
    """

    low: float
    high: float
    log: bool = False
    """Draw the logarithm evenly, for a value whose order of magnitude matters."""

    def __post_init__(self) -> None:
        if not (math.isfinite(self.low) and math.isfinite(self.high)):
            raise ValueError(f"{self} has a bound that is not finite.")
        if self.low > self.high:
            raise ValueError(f"{self} has its bounds the wrong way round: the lower one is first.")
        if self.log and self.low <= 0:
            raise ValueError(
                f"{self} draws logarithms, which {self.low} has none of. Begin above 0, or leave "
                "out log=True."
            )

    def __str__(self) -> str:
        return f"SearchRange({self.low}, {self.high}{', log=True' if self.log else ''})"


@dataclass(frozen=True)
class SearchChoices:
    """Marks a hyper-parameter as worth searching among a few values.

    Raises:
        ValueError: There are no values.
    """

    values: tuple[Any, ...]

    def __post_init__(self) -> None:
        if not self.values:
            raise ValueError("SearchChoices has no values to choose among. Name one at least.")

    def __str__(self) -> str:
        return f"SearchChoices({self.values})"


SearchMark = SearchRange | SearchChoices


@dataclass(frozen=True)
class HyperParameter:
    """A hyper-parameter as people read it."""

    name: str
    type: str
    """Such as `int`, `float or none` or `'a' or 'b'`."""
    default: Any
    bounds: str
    """Such as `above 0 and at most 1`; empty where it has none."""
    search: SearchMark | None
    """What random draws are made from; None where it stays at its default."""
    description: str


def describe_hyper_parameters(space: "type[BaseModel] | None") -> list[HyperParameter]:
    """Describe the hyper-parameters of a method, in the order of their fields.

    Args:
        space: What a method's `hyper_parameters` returned; None for a method without any.
    """
    if space is None:
        return []
    return [
        HyperParameter(
            name,
            _type_in_words(field.annotation),
            field.get_default(call_default_factory=True, validated_data={}),
            bounds_in_words(field),
            search_mark(field),
            field.description or "",
        )
        for name, field in space.model_fields.items()
    ]


def search_mark(field: "FieldInfo") -> SearchMark | None:
    """Return what a field's values are drawn from; None where it is not searched."""
    marks = [mark for mark in field.metadata if isinstance(mark, SearchMark)]
    return marks[-1] if marks else None


def refused_draws(space: "type[BaseModel]") -> Iterator[str]:
    """Say which search marks hold a value that their own fields refuse."""
    for name, field in space.model_fields.items():
        mark = search_mark(field)
        values = (mark.low, mark.high) if isinstance(mark, SearchRange) else ()
        values = mark.values if isinstance(mark, SearchChoices) else values
        for value in values:
            if not accepts(space, name, value):
                yield (
                    f"{name!r} is searched at {value!r}, which its own bounds refuse. Mark only "
                    "what is allowed with SearchRange or SearchChoices."
                )


def _type_in_words(annotation: Any) -> str:
    if get_origin(annotation) is Annotated:
        return _type_in_words(get_args(annotation)[0])
    if get_origin(annotation) is Literal:
        return " or ".join(repr(value) for value in get_args(annotation))
    if annotation is type(None):
        return "none"
    if type(annotation) is type:
        return annotation.__name__
    if get_args(annotation) and get_origin(annotation) not in (list, tuple, dict, set):
        return " or ".join(_type_in_words(part) for part in get_args(annotation))
    return str(annotation).replace("typing.", "")
