"""What a sampler is told of a search for hyper-parameters, and what it proposes."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal

from hooktune.contract.search_space import SearchChoices, SearchMark, SearchRange, search_mark

if TYPE_CHECKING:
    from pydantic import BaseModel

TrialState = Literal["finished", "running", "pruned", "failed"]

STEPS_OF_A_RUN: Final = 1000
_SIGNIFICANT_DIGITS: Final = 3


@dataclass(frozen=True)
class Dimension:
    """A hyper-parameter that is searched, and what it may be."""

    name: str
    mark: SearchMark
    """A `SearchRange` or `SearchChoices`."""
    is_integer: bool
    """Whether a range holds whole numbers alone."""
    default: Any

    @property
    def count(self) -> int | None:
        """How many values it may have; None of a range of all numbers."""
        if isinstance(self.mark, SearchChoices):
            return len(self.mark.values)
        if self.is_integer:
            return math.floor(self.mark.high) - math.ceil(self.mark.low) + 1
        return None if self.mark.low < self.mark.high else 1

    def at(self, place: float) -> Any:
        """Return the value at a place between 0 and 1; evenly drawn places give even draws."""
        if isinstance(self.mark, SearchChoices):
            last = len(self.mark.values) - 1
            return self.mark.values[min(int(place * (last + 1)), last)]
        low, high = self.mark.low, self.mark.high
        if self.is_integer:
            first, last = math.ceil(low), math.floor(high)
            # Each whole number has an equal share, the outer ones too.
            low, high = (first - 0.5, last + 0.5) if not self.mark.log else (first, last)
            return min(max(round(self._between(low, high, place)), first), last)
        rounded = float(f"{self._between(low, high, place):.{_SIGNIFICANT_DIGITS}g}")
        return min(max(rounded, low), high)

    def place_of(self, value: Any) -> float | None:
        """Return the place between 0 and 1 of a value; None where it has none."""
        if isinstance(self.mark, SearchChoices):
            values = list(self.mark.values)
            return (values.index(value) + 0.5) / len(values) if value in values else None
        if isinstance(value, bool) or not isinstance(value, int | float):
            return None
        low, high = self.mark.low, self.mark.high
        if self.mark.log:
            if value <= 0:
                return None
            value, low, high = math.log(value), math.log(low), math.log(high)
        return min(max((value - low) / (high - low), 0.0), 1.0) if high > low else 0.5

    def _between(self, low: float, high: float, place: float) -> float:
        assert isinstance(self.mark, SearchRange)
        if not self.mark.log:
            return low + place * (high - low)
        return math.exp(math.log(low) + place * (math.log(high) - math.log(low)))


@dataclass(frozen=True)
class Trial:
    """A run as a sampler sees it: its hyper-parameters, and what came of them."""

    params: dict[str, Any]
    """All hyper-parameters, as JSON values."""
    state: TrialState
    value: float | None = None
    """The main metric, turned so that more is better; known of a finished run, and of no other. A
    run that a guard holds back has no more than the starting model."""
    steps: dict[int, float] = field(default_factory=dict)
    """Of a pruned run its value, turned alike, by how many thousandths of its training it had."""
    run_id: str = ""


@dataclass(frozen=True)
class Search:
    """What is known when the hyper-parameters of a run are to be proposed."""

    dimensions: tuple[Dimension, ...]
    """What is searched, and not fixed by the user."""
    defaults: dict[str, Any]
    """All hyper-parameters where nothing is searched, with those that the user has fixed."""
    trials: tuple[Trial, ...]
    """The other runs of the iteration's search, in the order of their numbers."""
    earlier: tuple[Trial, ...]
    """Runs of the method's earlier iterations: the last iteration first, and of each the best
    first. Their values cannot be compared across iterations, and so are left out."""
    number: int
    """The number of the run in its search, from 0."""
    max_runs: int
    """How many runs are asked for."""
    seed: int
    """Made of the iteration's seed and its batch, as each week would draw the same otherwise."""
    attempt: int = 0
    """How many proposals for this run could not be taken: the method refuses such a set, or another
    run has it. Propose something else each time."""

    def active(self, values: Mapping[str, Any]) -> Iterator[Dimension]:
        """Yield what is searched under some values: all but what a condition leaves out."""
        known = {**self.defaults, **values}
        for dimension in self.dimensions:
            if dimension.mark.applies(known):
                yield dimension

    def at(self, places: Mapping[str, float]) -> dict[str, Any]:
        """Return the values at places between 0 and 1, without those that a condition leaves out.

        Args:
            places: A place for each of `dimensions`, by name.
        """
        values: dict[str, Any] = {}
        for dimension in self.dimensions:
            if dimension.mark.applies({**self.defaults, **values}):
                values[dimension.name] = dimension.at(places[dimension.name])
        return values


@dataclass(frozen=True)
class Proposal:
    """The hyper-parameters that a sampler proposes for a run."""

    values: Mapping[str, Any]
    """By name; what is left out has its default."""
    origin: str
    """Where they come from, such as `the defaults`."""


def search_dimensions(space: "type[BaseModel]", fixed: Mapping[str, Any]) -> tuple[Dimension, ...]:
    """Return what is searched of a class of hyper-parameters: what others depend on comes first.

    Args:
        space: What a method's `hyper_parameters` returned.
        fixed: What the user has fixed, by name.
    """
    found = {
        name: Dimension(
            name,
            mark,
            info.annotation is int or info.annotation == int | None,
            info.get_default(call_default_factory=True, validated_data={}),
        )
        for name, info in space.model_fields.items()
        if name not in fixed and (mark := search_mark(info)) is not None
    }
    ordered: dict[str, Dimension] = {}
    while len(ordered) < len(found):
        for name, dimension in found.items():
            if all(other in ordered or other not in found for other in dimension.mark.when):
                ordered.setdefault(name, dimension)
    return tuple(ordered.values())


def count_sets(dimensions: tuple[Dimension, ...]) -> int | None:
    """Return how many sets there can be at most, None where they cannot be counted."""
    counts = [dimension.count for dimension in dimensions]
    return None if None in counts else math.prod(count for count in counts if count is not None)


def extreme_values(dimensions: tuple[Dimension, ...]) -> Iterator[dict[str, Any]]:
    """Yield the ends of what is searched, each value alone."""
    for dimension in dimensions:
        if isinstance(dimension.mark, SearchChoices):
            ends = dimension.mark.values
        else:
            ends = (dimension.at(0.0), dimension.at(1.0))
        for value in ends:
            yield {dimension.name: value}
