"""The search of an iteration: which runs it has, and which hyper-parameters each of them gets."""

import logging
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

from hooktune.contract.fields import reason_in_words
from hooktune.contract.proposal import (
    Dimension,
    Proposal,
    Search,
    Trial,
    count_sets,
    extreme_values,
    search_dimensions,
)
from hooktune.iteration.run_keys import RunKeys, json_values
from hooktune.iteration.trials import trial_of
from hooktune.plugin.samplers import Samplers
from hooktune.tracking import Iteration, RunRecord
from hooktune.tracking.search_tags import PROPOSED_BY_TAG, search_tags

if TYPE_CHECKING:
    from pydantic import BaseModel

logger = logging.getLogger(__name__)

_ATTEMPTS: Final = 50
"""How many proposals are asked for until one can be taken."""
_REPEATED: Final = 2
"""How many sets there may be beyond those that are searched: the best of earlier iterations."""


@dataclass(frozen=True)
class Chosen:
    """The hyper-parameters that a run gets."""

    number: int
    """The number of the run in its search, from 0."""
    params: "BaseModel | None"
    """None for a method without any."""
    origin: str
    """Where they come from, in words."""
    tags: Mapping[str, str] = field(repr=False, default_factory=dict)
    """What the store is told of it."""


@dataclass(frozen=True, eq=False)
class RunSearch:
    """The search of an iteration, as far as it does not change while runs are done."""

    space: "type[BaseModel] | None"
    """What the method's `hyper_parameters` returned."""
    fixed: Mapping[str, Any]
    """What the user has fixed, as `parse_params` returns it."""
    samplers: Samplers
    sampler: str | None
    """Who proposes; None where no plugin does, for the defaults alone."""
    max_runs: int
    seed: int
    keys: RunKeys = field(repr=False)
    earlier: tuple[Trial, ...] = field(default=(), repr=False)
    """Runs of earlier iterations, with what the user has fixed now."""

    @cached_property
    def dimensions(self) -> tuple[Dimension, ...]:
        """What is searched."""
        return () if self.space is None else search_dimensions(self.space, self.fixed)

    @cached_property
    def defaults(self) -> dict[str, Any]:
        """The set of hyper-parameters where nothing is searched, as JSON values."""
        return {} if self.space is None else json_values(self.space(**self.fixed))

    @property
    def numbers(self) -> range:
        """The numbers of the runs that are asked for: no more than there are sets."""
        if self.sampler is None or self.space is None:
            return range(1)
        count = count_sets(self.dimensions)
        if count is None:
            return range(self.max_runs)
        searched = {dimension.name for dimension in self.dimensions}
        others = sum(
            any(
                trial.params[name] != value
                for name, value in self.defaults.items()
                if name not in searched
            )
            for trial in self.earlier
        )
        return range(min(self.max_runs, count + min(others, _REPEATED)))

    def possible_sets(self, runs: Iterable[RunRecord]) -> "list[BaseModel | None]":
        """Return sets that hold each value that any run may have, beside any other ones.

        Args:
            runs: The iteration's runs so far, some of which may be gone on with.
        """
        if self.space is None:
            return [None]
        base = self.space(**self.fixed)
        recorded = [run.params for run in runs if self.keys.number_of(run) is not None]
        recorded += [trial.params for trial in self.earlier]
        valid = [params for values in recorded if (params := self._read(values)) is not None]
        ends = [base.model_copy(update=end) for end in extreme_values(self.dimensions)]
        return [base, *valid, *ends]

    def choose(
        self, number: int, runs: Iterable[RunRecord], iteration: Iteration | None
    ) -> Chosen | None:
        """Choose the hyper-parameters of a run that is about to begin.

        One that was begun before keeps what it had.

        Args:
            number: The number of the run.
            runs: The iteration's runs as the store has them now.
            iteration: The iteration; None where it is not begun.

        Returns:
            What it gets; None where nothing is left to try.

        Raises:
            RequestError: No plugin brings the sampler.
            PluginError: The sampler failed.
        """
        latest = self._latest(runs)
        begun = latest.pop(number, None)
        if begun is not None and (kept := self._as_begun(number, begun)) is not None:
            return kept
        return self._propose(number, self._trials(latest, iteration))

    def preview(
        self, numbers: Iterable[int], runs: Iterable[RunRecord], iteration: Iteration | None
    ) -> Iterator[Chosen]:
        """Tell what would be run, were no more known of any run than now.

        Args:
            numbers: The numbers of the runs that are to be done.
            runs: The iteration's runs as the store has them now.
            iteration: The iteration; None where it is not begun.
        """
        latest = self._latest(runs)
        trials = self._trials(latest, iteration)
        for number in numbers:
            trials.pop(number, None)
            kept = self._as_begun(number, latest[number]) if number in latest else None
            chosen = kept or self._propose(number, trials)
            if chosen is None:
                return
            trials[number] = Trial(json_values(chosen.params), "running")
            yield chosen

    def _latest(self, runs: Iterable[RunRecord]) -> dict[int, RunRecord]:
        """Return the last run of each number."""
        return {number: run for run in runs if (number := self.keys.number_of(run)) is not None}

    def _trials(
        self, runs: Mapping[int, RunRecord], iteration: Iteration | None
    ) -> dict[int, Trial]:
        if iteration is None:
            return {}
        return {number: trial_of(iteration, run) for number, run in runs.items()}

    def _as_begun(self, number: int, run: RunRecord) -> Chosen | None:
        if self.space is None:
            return _without_params(number)
        params = self._read(run.params)
        origin = run.tags.get(PROPOSED_BY_TAG, "an earlier version")
        return None if params is None else self._chosen(number, params, origin)

    def _propose(self, number: int, trials: Mapping[int, Trial]) -> Chosen | None:
        if self.space is None:
            return _without_params(number)
        known = tuple(trials[each] for each in sorted(trials))
        taken = [trial.params for trial in known]
        search = Search(
            self.dimensions, self.defaults, known, self.earlier, number, self.max_runs, self.seed
        )
        refusal = ""
        for attempt in range(_ATTEMPTS):
            proposal = self._ask(replace(search, attempt=attempt))
            if proposal is None:
                break
            params, reason = _validated(self.space, {**proposal.values, **self.fixed})
            if params is None:
                refusal = reason
            elif json_values(params) not in taken:
                return self._chosen(number, params, proposal.origin)
        if refusal:
            logger.warning(
                "no set of hyper-parameters was found for run %d, as %s refuses many, such as one "
                "for this reason: %s. Narrow its search ranges to what fits together.",
                number + 1, self.space.__name__, refusal,
            )  # fmt: skip
        return None

    def _ask(self, search: Search) -> Proposal | None:
        if self.sampler is not None:
            return self.samplers.propose(self.sampler, search)
        return Proposal({}, "the defaults") if search.attempt == search.number == 0 else None

    def _chosen(self, number: int, params: "BaseModel", origin: str) -> Chosen:
        searched = {dimension.name for dimension in self.dimensions}
        searched |= {
            name for name, value in json_values(params).items() if value != self.defaults[name]
        }
        names = tuple(sorted(searched - self.fixed.keys()))
        return Chosen(number, params, origin, search_tags(number, names, origin))

    def _read(self, values: Mapping[str, Any]) -> "BaseModel | None":
        return None if self.space is None else _validated(self.space, values)[0]


def _without_params(number: int) -> Chosen:
    """Choose for a method that has no hyper-parameters."""
    origin = "the defaults"
    return Chosen(number, None, origin, search_tags(number, (), origin))


def _validated(
    space: "type[BaseModel]", values: Mapping[str, Any]
) -> "tuple[BaseModel | None, str]":
    """Return a set of hyper-parameters, or why the method refuses it."""
    from pydantic import ValidationError

    try:
        return space.model_validate(dict(values)), ""
    except ValidationError as error:
        return None, "; ".join(reason_in_words(problem) for problem in error.errors())
