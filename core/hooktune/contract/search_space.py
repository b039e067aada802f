"""What of a class of hyper-parameters is worth searching, and the class as people read it."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args, get_origin

from hooktune.contract.fields import accepts, bounds_in_words
from hooktune.errors import did_you_mean

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
    when: Mapping[str, Any] = field(default_factory=dict, hash=False)
    """What other hyper-parameters have to be, by name, for this one to be searched; otherwise it
    stays at its default. A tuple holds several values, any of which will do."""

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

    def applies(self, params: Mapping[str, Any]) -> bool:
        """Tell whether it is searched beside these hyper-parameters."""
        return _applies(self.when, params)

    @property
    def condition_in_words(self) -> str:
        """When it is searched, such as `kind is a or b`."""
        return _in_words(self.when)

    def __str__(self) -> str:
        log, when = ", log=True" if self.log else "", _when_in_code(self.when)
        return f"SearchRange({self.low}, {self.high}{log}{when})"


@dataclass(frozen=True)
class SearchChoices:
    """Marks a hyper-parameter as worth searching among a few values.

    Raises:
        ValueError: There are no values.
    """

    values: tuple[Any, ...]
    when: Mapping[str, Any] = field(default_factory=dict, hash=False)
    """As that of a `SearchRange`."""

    def __post_init__(self) -> None:
        if not self.values:
            raise ValueError("SearchChoices has no values to choose among. Name one at least.")

    def applies(self, params: Mapping[str, Any]) -> bool:
        """Tell whether it is searched beside these hyper-parameters."""
        return _applies(self.when, params)

    @property
    def condition_in_words(self) -> str:
        """When it is searched, such as `kind is a or b`."""
        return _in_words(self.when)

    def __str__(self) -> str:
        return f"SearchChoices({self.values}{_when_in_code(self.when)})"


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
            _type_in_words(info.annotation),
            info.get_default(call_default_factory=True, validated_data={}),
            bounds_in_words(info),
            search_mark(info),
            info.description or "",
        )
        for name, info in space.model_fields.items()
    ]


def search_mark(info: "FieldInfo") -> SearchMark | None:
    """Return what a field's values are drawn from; None where it is not searched."""
    marks = [mark for mark in info.metadata if isinstance(mark, SearchMark)]
    return marks[-1] if marks else None


def refused_draws(space: "type[BaseModel]") -> Iterator[str]:
    """Say what is wrong with the search marks of a class, which is told when it is declared."""
    for name, info in space.model_fields.items():
        mark = search_mark(info)
        if mark is None:
            continue
        ends = (mark.low, mark.high) if isinstance(mark, SearchRange) else mark.values
        for value in ends:
            if not accepts(space, name, value):
                yield (
                    f"{name!r} is searched at {value!r}, which its own bounds refuse. Mark only "
                    "what is allowed with SearchRange or SearchChoices."
                )
        yield from _problems_of_condition(space, name, mark)


def _problems_of_condition(space: "type[BaseModel]", name: str, mark: SearchMark) -> Iterator[str]:
    for other, wanted in mark.when.items():
        if other not in space.model_fields:
            known = did_you_mean(other, space.model_fields)
            yield f"{name!r} is searched depending on {other!r}, which is no field. {known}"
            continue
        for value in wanted if isinstance(wanted, tuple) else (wanted,):
            if not accepts(space, other, value):
                yield (
                    f"{name!r} is searched where {other!r} is {value!r}, which that field refuses. "
                    "Name values that it takes."
                )
        if name in _depends_on(space, other):
            yield f"{name!r} is searched depending on {other!r}, which depends on it in turn."


def _depends_on(space: "type[BaseModel]", name: str) -> set[str]:
    """Return all that a field's being searched depends on, itself among them."""
    found, left = set[str](), [name]
    while left:
        each = left.pop()
        info = space.model_fields.get(each)
        if each not in found and info is not None:
            mark = search_mark(info)
            left += [] if mark is None else list(mark.when)
        found.add(each)
    return found


def _applies(when: Mapping[str, Any], params: Mapping[str, Any]) -> bool:
    return all(
        params.get(name) in wanted if isinstance(wanted, tuple) else params.get(name) == wanted
        for name, wanted in when.items()
    )


def _in_words(when: Mapping[str, Any]) -> str:
    return " and ".join(
        f"{name} is {' or '.join(map(str, wanted)) if isinstance(wanted, tuple) else wanted}"
        for name, wanted in when.items()
    )


def _when_in_code(when: Mapping[str, Any]) -> str:
    return f", when={dict(when)}" if when else ""


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
