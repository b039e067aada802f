"""The shipped search: what earlier iterations found comes first, and bounds the draws."""

from typing import Any, Final

from hooktune import Proposal, Search, SearchChoices, Trial
from hooktune_search.draws import from_sobol, sobol_places

_REPEATED: Final = 2
"""How many of the best sets are run again. With three, less was found in as many runs."""
_AROUND: Final = 5
"""How many of the best sets the draws are made around."""
_WIDENED: Final = 0.25
"""By how much of its width the box around them is widened on each side."""
_LEAST_WIDENED: Final = 0.1
"""The same at least, as a share of the whole range."""


def from_earlier(search: Search) -> Proposal | None:
    """Propose the best sets of earlier iterations and the defaults, then draws around the best.

    Where nothing is known of the method, the defaults and then a Sobol sequence.
    """
    tried = [trial.params for trial in search.trials]
    first = [proposal for proposal in _first_ones(search) if proposal.values not in tried]
    if search.attempt < len(first):
        return first[search.attempt]
    best = _best(search, _AROUND)
    return _around(search, best) if best else from_sobol(search)


def _first_ones(search: Search) -> list[Proposal]:
    """Return what is tried before anything is drawn."""
    repeated = [
        Proposal(trial.params, f"an earlier iteration's run {trial.run_id}")
        for trial in _best(search, _REPEATED)
    ]
    if all(trial.params != search.defaults for trial in search.earlier):
        # The best one is worth more, should there be a single run.
        repeated.insert(1, Proposal(search.defaults, "the defaults"))
    return repeated


def _best(search: Search, count: int) -> list[Trial]:
    return [trial for trial in search.earlier if trial.state == "finished"][:count]


def _around(search: Search, best: list[Trial]) -> Proposal | None:
    """Draw from the box that the best sets span, somewhat widened."""
    if not search.dimensions:
        return None
    places = sobol_places(search)
    for dimension in search.dimensions:
        values = [trial.params.get(dimension.name) for trial in best]
        if isinstance(dimension.mark, SearchChoices):
            # Those of the best sets count once more for each, and none is ruled out.
            pool: list[Any] = [*dimension.mark.values, *values]
            drawn = pool[min(int(places[dimension.name] * len(pool)), len(pool) - 1)]
            places[dimension.name] = dimension.place_of(drawn) or places[dimension.name]
            continue
        known = [place for value in values if (place := dimension.place_of(value)) is not None]
        low, high = min(known, default=0.0), max(known, default=1.0)
        margin = max(_WIDENED * (high - low), _LEAST_WIDENED)
        low, high = max(low - margin, 0.0), min(high + margin, 1.0)
        places[dimension.name] = low + places[dimension.name] * (high - low)
    unused = {dimension.name: dimension.default for dimension in search.dimensions}
    values_around = {**best[0].params, **unused, **search.at(places)}
    return Proposal(values_around, f"a draw around the {len(best)} best of earlier iterations")
