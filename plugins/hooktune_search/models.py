"""Samplers that learn from results, by Optuna: the study is made anew before each proposal.

Optuna's own storages are not used: the tracking store holds all that a study is made of, so that
it goes on after any death and is shared by any number of processes.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from hooktune import Dimension, Proposal, Search, SearchChoices, Trial

if TYPE_CHECKING:
    from optuna import Trial as AskedTrial
    from optuna.distributions import BaseDistribution
    from optuna.samplers import BaseSampler
    from optuna.trial import FrozenTrial


def from_tpe(search: Search) -> Proposal | None:
    """Let tree-structured Parzen estimators choose (Bergstra et al., 2011)."""
    from optuna.samplers import TPESampler

    return _asked(search, lambda seed: TPESampler(seed=seed, constant_liar=True), "TPE")


def from_gp(search: Search) -> Proposal | None:
    """Let a Gaussian process choose, by the logarithm of the expected improvement."""
    from optuna.samplers import GPSampler

    return _asked(search, lambda seed: GPSampler(seed=seed), "a Gaussian process")


def _asked(
    search: Search, make_sampler: "Callable[[int], BaseSampler]", name: str
) -> Proposal | None:
    import optuna

    if not search.dimensions:
        return None
    entropy = np.random.SeedSequence([search.seed, search.number, search.attempt])
    with _silent():
        sampler = make_sampler(int(entropy.generate_state(1)[0]))
        study = optuna.create_study(direction="maximize", sampler=sampler)
        study.add_trials([_frozen(search, trial) for trial in search.trials])
        return Proposal(_suggested(search, study.ask()), name)


def _suggested(search: Search, asked: "AskedTrial") -> dict[str, Any]:
    values: dict[str, Any] = {}
    for dimension in search.dimensions:
        if not dimension.mark.applies({**search.defaults, **values}):
            continue
        if isinstance(dimension.mark, SearchChoices):
            chosen = asked.suggest_categorical(dimension.name, range(len(dimension.mark.values)))
            values[dimension.name] = dimension.mark.values[chosen]
        else:
            values[dimension.name] = dimension.at(asked.suggest_float(dimension.name, 0, 1))
    return values


def _frozen(search: Search, trial: Trial) -> "FrozenTrial":
    """Return a run as Optuna knows it; where it had a value that is not searched, without that."""
    from optuna.trial import TrialState, create_trial

    params, distributions = {}, {}
    for dimension in search.active(trial.params):
        place = dimension.place_of(trial.params.get(dimension.name))
        if place is not None:
            distributions[dimension.name] = _distribution(dimension)
            params[dimension.name] = (
                int(place * len(dimension.mark.values))
                if isinstance(dimension.mark, SearchChoices)
                else place
            )
    states = {
        "finished": TrialState.COMPLETE,
        "running": TrialState.RUNNING,
        "pruned": TrialState.PRUNED,
        "failed": TrialState.FAIL,
    }
    return create_trial(
        state=states[trial.state],
        params=params,
        distributions=distributions,
        value=trial.value if trial.state == "finished" else None,
        intermediate_values=trial.steps,
    )


def _distribution(dimension: Dimension) -> "BaseDistribution":
    from optuna.distributions import CategoricalDistribution, FloatDistribution

    if isinstance(dimension.mark, SearchChoices):
        return CategoricalDistribution(range(len(dimension.mark.values)))
    return FloatDistribution(0, 1)


@contextmanager
def _silent() -> Iterator[None]:
    """Keep Optuna from telling of each study, as there is one for each run."""
    from optuna import logging

    before = logging.get_verbosity()
    logging.set_verbosity(logging.ERROR)
    try:
        yield
    finally:
        logging.set_verbosity(before)
